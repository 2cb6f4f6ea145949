"""The concepts recipe: from the tokens of a cell to concepts one can look at, and to the barcode of a patient.

Read from top to bottom. The modules it uses, in the order of the work:

    _concepts.config                    every option, with defaults
    data.images.open, data.cohort, data.splits      images, patients, and a split that cannot leak
    _concepts.material                  the three above, joined
    models.encoder, models.extraction, data.tokens  tokens of a frozen network, on disk or on the fly
    _concepts.tokens                    the tokens of a cohort
    models.sae, training.objectives.sae, training.loop      the sparse autoencoder and the one loop
    _concepts.dictionary                autoencoders, trained or brought along
    models.sae.controls, models.sae.encode_images, data.codes
    _concepts.coding                    codes of all images, under the autoencoder and its controls
    evaluation.sae, evaluation.concepts reconstruction, statistics, tests
    _concepts.testing, _concepts.verdicts           which latents are concepts
    evaluation.barcodes, data.barcodes  patients as barcodes
    _concepts.patients                  barcodes, subtypes, what marks a disease
    core.artifacts                      the Run
    _concepts.store, _concepts.profiles, _concepts.results   what is written to the Run, and read back
    _concepts.explain, _concepts.focusing, _concepts.pathways, _concepts.predict, _concepts.compare,
    _concepts.subtype_study, _concepts.exchange, _concepts.review       what is done with it

References
----------
Dasdelen et al. 2025, CytoSAE (MICCAI, arXiv 2507.12464), built on Lim et al. 2025, PatchSAE (ICLR, arXiv 2412.05276).
Here barcodes are divided by the number of images, explained variance is about the mean token, latents are tested on
patients held out, and every figure stands beside that of raw neurons, principal components and a random dictionary.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from trilineage.core.artifacts import Run
from trilineage.data.sae_formats.weights import SaeWeights
from trilineage.evaluation.concepts.review import Review, ReviewSheet
from trilineage.models.encoder import build_encoder
from trilineage.models.extraction import ExtractionReport
from trilineage.pipelines._concepts.coding import MODEL, encode_cohort, make_controls
from trilineage.pipelines._concepts.compare import compare_cohorts
from trilineage.pipelines._concepts.config import Config
from trilineage.pipelines._concepts.dictionary import make_dictionaries, require_possible
from trilineage.pipelines._concepts.exchange import export_weights, import_weights
from trilineage.pipelines._concepts.explain import explain_run
from trilineage.pipelines._concepts.material import describe_material, gather
from trilineage.pipelines._concepts.predict import Barcoded, predict_to_folder
from trilineage.pipelines._concepts.results import Fitted, write_results
from trilineage.pipelines._concepts.review import export_review as write_review
from trilineage.pipelines._concepts.review import read_sheets
from trilineage.pipelines._concepts.store import open_run, write_dictionary, write_source
from trilineage.pipelines._concepts.subtype_study import SubtypeConfig, study_subtypes
from trilineage.pipelines._concepts.tokens import (
    describe_tokens,
    extract_share,
    open_tokens,
    remove_own,
)
from trilineage.pipelines._regions import Regions
from trilineage.pipelines._runs import finish_run, is_done
from trilineage.training.place import Place, choose_place

__all__ = [
    "Barcoded",
    "Config",
    "Regions",
    "SubtypeConfig",
    "compare",
    "explain",
    "export_dictionary",
    "export_review",
    "fit",
    "import_dictionary",
    "predict",
    "read_review",
    "subtype",
    "tokens",
]


def fit(config: Config, out: Path | str, *, device: str = "auto", overwrite: bool = False) -> Run:
    """Learn concepts from the tokens of images, test them on patients held out, and make barcodes of patients.

    Parameters
    ----------
    config
        All options; see `Config`.
    out
        Folder of the Run. If it holds an unfinished Run of the same configuration, work goes on where it stopped;
        a finished one is returned as it is.
    device
        `auto`, `cpu`, `cuda` or `cuda:N`.
    overwrite
        Remove a Run that is there.

    Raises
    ------
    DataError, LeakageError, ConfigError, ArtifactError
        As the parts; nothing that was finished is lost.
    Interrupted
        On SIGTERM or Ctrl-C: shards, checkpoints and codes that are written stay.
    """
    material = gather(config)
    encoder = build_encoder(config.encoder, config.data.shape)
    require_possible(config, encoder.width)
    place = choose_place(config.seed, device)
    run = open_run(config, material, Path(out), place=place, overwrite=overwrite)
    if is_done(run):
        return run
    place = place.of_run(run)
    reader = open_tokens(run, material, encoder, config, place)
    found = make_dictionaries(reader, material, config, place.stage("dictionary"))
    fitted = Fitted(material, reader, encoder, found)
    done = finish_run(run, place, lambda: _write_all(run, fitted, config, place))
    if place.processes.is_main:
        remove_own(
            done, config
        )  # not before the Run is finished: after a kill they would have to be made again
    return done


def _write_all(run: Run, fitted: Fitted, config: Config, place: Place) -> None:
    """Write what was fitted, and what there is to know about it."""
    run.write_json("cohort.json", describe_material(fitted.material))
    write_source(run, fitted.reader.source, describe_tokens(fitted.reader, config))
    write_dictionary(run, fitted.dictionaries.first)
    run.write_json("history.json", {"holdout": fitted.dictionaries.history})
    _examine(run, fitted, config, place)


def _examine(run: Run, fitted: Fitted, config: Config, place: Place) -> None:
    """Encode all images under the autoencoder and its controls, and find out what there is to know."""
    first = fitted.dictionaries.first
    controls, twins = (
        make_controls(first, fitted.reader, fitted.material, config, name=name)
        for name in ("controls", "twins")
    )
    subjects = {MODEL: first, **controls}
    others = {MODEL: fitted.dictionaries.members[1:]} | {name: [twin] for name, twin in twins.items()}
    coded = encode_cohort(run, subjects, fitted.reader, config, place)
    write_results(run, fitted, coded, others, config, place)


def explain(
    run: Run | Path | str,
    *,
    n_concepts: int = 0,
    names: Path | None = None,
    classifier: Path | None = None,
    regions: Regions | None = None,
    per_patient: int = 0,
    device: str = "auto",
) -> Run:
    """Describe and draw the concepts of a Run: a card each, with the images that show it.

    Written to `explain/` of the Run: `cards.json`, sheets of pictures, `names.csv` to correct, and where asked for
    `focus.json` (activation by region of the cell) and `pathways.json` (what a decision owes to each latent).

    Parameters
    ----------
    n_concepts
        Latents that get a card, those with the strongest association first; 0: all strong ones.
    names
        CSV of names that experts gave (latent, name, reviewer, note); they take the place of drafts.
    classifier
        Run of `images fit` on the same network, whose decisions are followed back to latents.
    regions
        Masks or boxes of the cells.
    per_patient
        Concepts whose cells are drawn for each test patient, those that stand out most; above 0 also writes
        `explain/patients.json`, each test patient beside the training patients.

    Raises
    ------
    ArtifactError
        The encoder is no longer the one of the Run.
    ConfigError
        No image has a region, or the classifier has another network.
    FormatError, ColumnError, DataError
        The names cannot be used.
    """
    return explain_run(
        run,
        n_concepts=n_concepts,
        names=names,
        classifier=classifier,
        regions=regions or Regions(),
        per_patient=per_patient,
        device=device,
    )


def predict(
    run: Run | Path | str,
    data: Path | str,
    *,
    out: Path | str,
    device: str = "auto",
    options: Mapping[str, Any] | None = None,
) -> Barcoded:
    """Make barcodes of new patients and hold them against the cohort of a Run.

    Codes go to disk part by part, and work goes on where it stopped if the same command is given again.

    Parameters
    ----------
    run
        A finished Run of `fit`.
    data
        Images in any supported layout, or a single one; patients are taken from a manifest.
    out
        Folder to write: `barcodes.h5ad`, `patients.json` (subtype, nearest patients, what is out of the common),
        `images.csv` (strongest latents of each image), `profile.npz`, and `about.json` with the shift of the cohort.
    options
        How to read the images, as fields of `ImageDataSettings`.

    Raises
    ------
    ArtifactError
        The Run is not finished, its encoder is another one now, or the folder holds codes of other images.
    DataError
        The images cannot be read at all; single unreadable ones are counted and named.
    Interrupted
        On SIGTERM or Ctrl-C, after the part at hand.
    """
    return predict_to_folder(run, Path(data), out=Path(out), device=device, options=options or {})


def compare(cohorts: Sequence[Path | str], out: Path | str, *, overwrite: bool = False) -> Run:
    """Compare cohorts concept by concept; where their dictionaries differ, dictionaries latent by latent.

    Parameters
    ----------
    cohorts
        Runs of `fit` or folders of `predict`, the one that concepts were described on first.
    out
        Folder of the Run to write.

    Raises
    ------
    ArtifactError
        They are of different encoders, or of different autoencoders without their Runs.
    """
    return compare_cohorts(cohorts, Path(out), overwrite=overwrite)


def subtype(barcodes: Path | str, config: SubtypeConfig, out: Path | str, *, overwrite: bool = False) -> Run:
    """Classify patients by barcodes that exist, over repeated patient folds, and find what marks each disease.

    Parameters
    ----------
    barcodes
        Barcodes as h5ad, or a folder of HDF5 features per patient (AML-Hehr).

    Raises
    ------
    FormatError, MatrixError, CohortError
        The file or the folder cannot be used.
    """
    return study_subtypes(Path(barcodes), config, Path(out), overwrite=overwrite)


def tokens(config: Config, out: Path | str, *, shard: str = "0/1", device: str = "auto") -> ExtractionReport:
    """Extract tokens to a folder that `fit` reads as `tokens.folder`: everything, or a share on each machine.

    Parameters
    ----------
    out
        Folder of the shards; what is finished there stays.
    shard
        `I/N`: part I of N, counted from 0.

    Raises
    ------
    ConfigError, ArtifactError, DataError, StorageError
        As `models.extraction.extract_tokens`; finished shards are kept.
    """
    return extract_share(config, Path(out), shard=shard, device=device)


def import_dictionary(path: Path | str, out: Path | str) -> SaeWeights:
    """Bring an autoencoder of CytoSAE, SAELens, sparsify or dictionary_learning along as a `.safetensors` file.

    Raises
    ------
    FormatError, UnsafeFileError
        It is none of these, or carries code, which is not run.
    """
    return import_weights(Path(path), Path(out))


def export_dictionary(
    run: Path | str, out: Path | str, *, form: Literal["safetensors", "saelens"] = "saelens"
) -> SaeWeights:
    """Write the autoencoder of a Run (or of an imported file) for other packages."""
    return export_weights(Path(run), Path(out), form=form)


def export_review(
    run: Run | Path | str,
    out: Path | str,
    *,
    n_concepts: int = 40,
    n_controls: int = 20,
    overwrite: bool = False,
) -> ReviewSheet:
    """Write a sheet and pictures for blinded reviewers; what each item is stays in the Run (`review/key.json`).

    Parameters
    ----------
    out
        Folder for the reviewers: `sheet.csv` to fill in (`is_concept`: yes or no), `items/NUMBER.png`.
    n_concepts
        Concepts to be judged, those with the strongest association first.
    n_controls
        Random sets of images hidden among them.
    overwrite
        Give up a review that the Run has already.

    Raises
    ------
    ConfigError
        The Run has a review already, or there is nothing to review.
    """
    return write_review(run, Path(out), n_concepts=n_concepts, n_controls=n_controls, overwrite=overwrite)


def read_review(run: Run | Path | str, sheets: Sequence[Path | str]) -> Review:
    """Read filled sheets, one a reviewer: shares confirmed with intervals, the same of controls, agreement.

    Written to `review/` of the Run: `review.json` (votes by latent, p-values) and `scores.json`.

    Raises
    ------
    ConfigError
        Two sheets have the same name.
    ArtifactError
        The Run has no review.
    FormatError, ColumnError, DataError
        A sheet cannot be read, or answers another review.
    """
    return read_sheets(run, [Path(sheet) for sheet in sheets])
