"""The tree of errors a caller may catch, grouped by what the caller can do next.

    TrilineageError
    ├── DataError                 mend the files
    │   ├── FormatError               not the format it claims, truncated, or unreadable
    │   ├── MatrixError               values that cannot be expression: NaN, negative or fractional counts, bad indices
    │   ├── ColumnError               a sample-table column that is absent or unusable
    │   ├── GeneAlignmentError        too few genes in common with the model
    │   ├── EmptyPopulationError      no sample left after choosing a population
    │   ├── ImageError                an image that cannot be decoded, is too large, or is no image of a cell
    │   ├── TaxonomyError             a tree of diagnoses with a cycle, an orphan, or two meanings of one name
    │   ├── LabelError                a label that is no node of the taxonomy (the nearest are named)
    │   ├── DownloadError             a public file that could not be fetched whole
    │   └── CohortError               patients and labels that cannot be split or scored
    ├── LeakageError              mend the split: the same patient or the same content on both sides
    ├── ConfigError               mend the options
    │   ├── UnknownOptionError        an option or name that does not exist (the nearest is named)
    │   └── DivergenceError           training whose loss or weights stopped being numbers
    ├── ArtifactError             make or update the Run
    │   ├── NewerVersionError         written by a newer trilineage
    │   ├── AlteredFileError          bytes differ from the digest recorded in the Run
    │   ├── UnsafeFileError           a pickle or another executable format where data should be
    │   └── StorageError              disk full, read-only or vanished output
    └── Interrupted               run the same command again to go on (exit code 75)

Every message has four parts: what was wrong, the value seen, what is allowed, what to do next.
"""

EXIT_INTERRUPTED = 75
"""Exit code of an interrupted command that left a checkpoint (EX_TEMPFAIL of sysexits.h)."""


class TrilineageError(Exception):
    """Base of every error raised on purpose.

    Parameters
    ----------
    what
        What was wrong, one clause without a full stop.
    seen
        The value that was met.
    allowed
        What would have been accepted.
    remedy
        What to do next, one clause without a full stop.
    """

    def __init__(self, what: str, *, seen: object = None, allowed: object = None, remedy: str | None = None):
        self.what, self.seen, self.allowed, self.remedy = what, seen, allowed, remedy
        parts = [what]
        if seen is not None:
            parts.append(f"seen: {seen}")
        if allowed is not None:
            parts.append(f"allowed: {allowed}")
        msg = "; ".join(parts) + "."
        if remedy is not None:
            msg += f" {remedy[0].upper()}{remedy[1:]}."
        super().__init__(msg)


class DataError(TrilineageError):
    """Input files or tables that must be mended."""


class FormatError(DataError):
    """A file that is not the format it claims to be, is truncated, or cannot be read."""


class MatrixError(DataError):
    """Matrix values or indices that cannot be expression."""


class ColumnError(DataError):
    """A column of the sample table that is absent or unusable."""


class GeneAlignmentError(DataError):
    """Too few genes in common between the data and the model."""


class EmptyPopulationError(DataError):
    """No sample is left after choosing a cell population."""


class ImageError(DataError):
    """An image that cannot be decoded, is too large, or is too small to be looked at."""


class TaxonomyError(DataError):
    """A taxonomy with a cycle, a node without a way to the root, or two meanings of one name."""


class LabelError(DataError):
    """A label that is no node of the taxonomy; the message names the nearest."""


class DownloadError(DataError):
    """A public file that could not be fetched, or whose digest is not the published one."""


class CohortError(DataError):
    """Patients and labels that cannot be split or scored honestly."""


class LeakageError(TrilineageError):
    """The same patient, or the same content, on both sides of a split."""


class ConfigError(TrilineageError):
    """Options that are wrong alone or together."""


class UnknownOptionError(ConfigError):
    """An option or a registered name that does not exist."""


class DivergenceError(ConfigError):
    """Training whose loss or weights stopped being finite numbers."""


class ArtifactError(TrilineageError):
    """A Run that is missing, incomplete or unfit for what was asked."""


class NewerVersionError(ArtifactError):
    """A file written by a newer version of this package."""


class AlteredFileError(ArtifactError):
    """A file whose bytes differ from the digest recorded in the Run."""


class UnsafeFileError(ArtifactError):
    """A pickle, or another format that can execute code, where plain data should be."""


class StorageError(ArtifactError):
    """Output that cannot be written: disk full, read-only, or gone."""


class Interrupted(TrilineageError):  # noqa: N818  (it is not a failure: the work can go on)
    """Work stopped by a signal after a checkpoint was written."""
