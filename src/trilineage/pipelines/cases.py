"""The cases recipe: what expression, images and concepts say of one patient, put together and held against each alone.

Read from top to bottom. The modules it uses, in the order of the work:

    _cases.config                       every option, with defaults
    core.artifacts                      the Runs of the lineages, of which only files are read
    _cases.evidence                     parts, labels and probabilities of each patient; leaks refused
    data.taxonomy                       the tree whose nodes the classes of every lineage are
    _cases.hearing                      the words of each lineage as opinions on the leaves of that tree
    evaluation.fusion, evaluation.opinion_pool, evaluation.calibration, evaluation.hierarchy.conformal
    _cases.fusing                       weights and sets on validation patients, opinions on test patients
    evaluation.intervals, evaluation.comparison, evaluation.hierarchy.scores
    _cases.scores                       all together beside each alone
    _cases.agreement, _cases.store      what is written to the Run, and read back
    _cases.newcomers, _cases.predict    new patients, from what `predict` of the lineages wrote
    _cases.explain                      a case per held-out patient, from what `explain` wrote to the Runs

References
----------
Genest and Zidek 1986, Combining Probability Distributions: A Critique and an Annotated Bibliography, Statist. Science
1(1): the logarithmic opinion pool. Here a lineage may be missing, and weights are fitted on patients that trained none.
"""

from pathlib import Path

from trilineage.core.artifacts import Run
from trilineage.pipelines._cases.config import Config
from trilineage.pipelines._cases.evidence import read_lineages
from trilineage.pipelines._cases.explain import explain_run
from trilineage.pipelines._cases.fusing import fuse_lineages
from trilineage.pipelines._cases.predict import Together, predict_to_folder
from trilineage.pipelines._cases.scores import score_fusion
from trilineage.pipelines._cases.store import open_run, write_results

__all__ = ["Config", "Together", "explain", "fit", "predict"]


def fit(config: Config, out: Path | str, *, device: str = "auto", overwrite: bool = False) -> Run:
    """Weigh the lineages on validation patients, fuse test patients, and score all together beside each alone.

    Parameters
    ----------
    config
        All options; see `Config`. The Runs that it names are read, never changed.
    out
        Folder of the Run. A finished one of the same configuration and the same Runs is returned as it is.
    device
        As of every recipe; there is nothing here that a device would do.
    overwrite
        Remove a Run that is there.

    Raises
    ------
    ArtifactError
        A Run is missing, of another kind, unfinished, or says nothing of validation or test patients.
    LeakageError
        A patient tests in one Run and learns in another, or has another diagnosis there.
    ConfigError
        A Run was cross-validated, or the folder holds a Run of another configuration.
    LabelError, TaxonomyError, CohortError
        The classes of the Runs are no nodes of the tree or overlap, or no validation patient has a label.
    """
    lineages = read_lineages(config)
    run = open_run(config, lineages, Path(out), overwrite=overwrite)
    if run.is_complete:
        return run
    fused = fuse_lineages(lineages, config)
    write_results(run, lineages, fused, score_fusion(fused, config), config)
    run.finish()
    return Run.open(run.path)


def explain(run: Run | Path | str) -> Run:
    """Gather a case for every test patient: the decision along the tree, who says what, and the evidence.

    Written to `cases/` of the Run: `NAME.json` and the pictures it names, copied from the Runs of the lineages. What a
    Run shows of single patients comes from its own `explain`, which must have been asked for it (`rna explain`,
    `images explain --per-patient N`, `concepts explain --per-patient N`); what is missing is named in the case.

    Raises
    ------
    ArtifactError
        The Run is not finished, or a Run that it was fused from has moved or changed.
    AlteredFileError
        A file was changed after it was written.
    """
    return explain_run(run)


def predict(
    run: Run | Path | str,
    *,
    rna: Path | str | None = None,
    images: Path | str | None = None,
    concepts: Path | str | None = None,
    out: Path | str,
) -> Together:
    """Fuse what the lineages say of new patients; each patient by those that know it.

    Parameters
    ----------
    run
        A finished Run of `fit`.
    rna
        The h5ad file that `rna predict` wrote.
    images, concepts
        The folders that `images predict` and `concepts predict` wrote.
    out
        Folder to write: `patients.csv` (decision, way, set, agreement, probabilities), `evidence.csv` (what each
        lineage says) and `about.json`.

    Raises
    ------
    ConfigError
        Nothing is given.
    FormatError
        A file or folder is not what that `predict` writes.
    ArtifactError
        It comes of another Run than the one that was fused.
    """
    named = {"rna": rna, "images": images, "concepts": concepts}
    given = {name: Path(path) for name, path in named.items() if path is not None}
    return predict_to_folder(run, given, out=Path(out))
