"""The images recipe: from cell images to a decision on a tree of diagnoses, with a map of where it was seen.

Read from top to bottom. The modules it uses, in the order of the work:

    _images.config                      every option, with defaults
    data.images.open                    any layout in, one checked table out
    data.taxonomy                       the tree of diagnoses
    data.cohort, data.splits            patients, labels, and a split that cannot leak
    _images.material                    the four above, joined
    models.backbones.build, models.hierarchy, models.image_classifier, models.parent_networks
    data.images.batches, data.images.augmentation
    training.objectives.hierarchy, training.loop    the losses and the one loop
    _images.network                     networks of one split, trained
    evaluation.hierarchy.temperatures   calibration on validation patients
    _images.fold                        the five above for one split
    _images.attention, models.pooling   decisions for patients by attention
    evaluation.hierarchy.scores, evaluation.hierarchy.tables
    _images.scores                      the model beside the majority, per image, patient and site
    evaluation.hierarchy.conformal, evaluation.hierarchy.novelty, evaluation.hierarchy.sites
    _images.trust                       sets, likeness to training, stains, self-test
    core.artifacts                      the Run
    _images.store, _images.pictures     what is written to the Run, and read back
    _images.predict, _images.explain, _images.compare, _images.agree    what is done with it
    _images.pretrain                    an encoder from images without labels, for `backbone.weights`
    _images.probe                       what the features of an encoder tell, beside those of random weights

References
----------
Hamdi et al. 2023, Breaking Down the Hierarchy: A New Approach to Leukemia Classification, arXiv 2502.10899. Here the
patient is the unit of splits, scores, weights and intervals.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from trilineage.core.artifacts import Run
from trilineage.data.splits import Split
from trilineage.evaluation.hierarchy.patients import Decided
from trilineage.explain.saliency.methods import SaliencySettings
from trilineage.models.backbones.bundled import chosen_backbone
from trilineage.pipelines._images.agree import agree_with_readers
from trilineage.pipelines._images.attention import attend
from trilineage.pipelines._images.compare import compare_variants
from trilineage.pipelines._images.config import Config
from trilineage.pipelines._images.explain import explain_run
from trilineage.pipelines._images.fold import Fold, fit_fold, whole_split
from trilineage.pipelines._images.material import (
    Material,
    describe_material,
    gather,
    split_patients,
    with_origin_noted,
)
from trilineage.pipelines._images.pictures import write_mistakes
from trilineage.pipelines._images.predict import Diagnosis, predict_to_folder
from trilineage.pipelines._images.pretrain import (
    fit_encoder,
    gather_unlabelled,
    open_pretraining_run,
    write_pretraining,
)
from trilineage.pipelines._images.pretrain_config import PretrainConfig
from trilineage.pipelines._images.probe import gather_probing, open_probe_run, write_probes
from trilineage.pipelines._images.probe_config import ProbeConfig
from trilineage.pipelines._images.scores import score_run
from trilineage.pipelines._images.store import open_run, write_fold, write_results
from trilineage.pipelines._images.trust import write_fold_trust, write_trust
from trilineage.pipelines._regions import Regions
from trilineage.pipelines._runs import finish_run, fit_splits, is_done
from trilineage.training.place import Place, choose_place

__all__ = [
    "Config",
    "Diagnosis",
    "PretrainConfig",
    "ProbeConfig",
    "Regions",
    "agree",
    "compare",
    "explain",
    "fit",
    "predict",
    "pretrain",
    "probe",
]


def fit(config: Config, out: Path | str, *, device: str = "auto", overwrite: bool = False) -> Run:
    """Learn to classify cell images along a taxonomy and score the result on patients held out.

    The patients are split; network, temperatures, conformal threshold and novelty score are fitted inside the training
    part. With several splits (cross-validation, leave-one-site-out) the scores are of the pooled test predictions,
    and the model that is kept is trained once more on everyone.

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
        On SIGTERM or Ctrl-C, after a checkpoint was written.
    """
    backbone = chosen_backbone(config.backbone, is_frozen=config.frozen)
    config = config.replace(backbone=backbone)  # the Run names it, whatever ships with a later version
    material = gather(config)
    splits = split_patients(material, config)
    material = with_origin_noted(material, splits, config)
    place = choose_place(config.seed, device)
    run = open_run(config, material, Path(out), place=place, overwrite=overwrite)
    if is_done(run):
        return run
    place, whole = place.of_run(run), partial(whole_split, material, config)
    folds = fit_splits(splits, place, partial(_fit_split, run, material, config), whole=whole)
    attended = attend(material, folds, config, place)
    return finish_run(run, place, lambda: _write(run, material, folds, attended, config))


def _fit_split(run: Run, material: Material, config: Config, split: Split, place: Place) -> Fold:
    """Fit inside one split, and keep the weights under the name of the stage."""
    fold = fit_fold(material, split, config, place)
    if place.processes.is_main:
        write_fold(run, fold, config, material, place.name)
        write_fold_trust(run, fold, material, config, place)
    return fold


def _write(
    run: Run,
    material: Material,
    folds: Sequence[Fold],
    attended: Decided | None,
    config: Config,
) -> None:
    """Score the pooled test predictions and write what was found."""
    run.write_json("cohort.json", describe_material(material))
    write_results(run, material, folds, score_run(material, folds, config, attended), config)
    write_trust(run, material, folds, config)
    write_mistakes(run, material)


def predict(
    run: Run | Path | str,
    data: Path | str,
    *,
    out: Path | str,
    device: str = "auto",
    options: Mapping[str, Any] | None = None,
) -> Diagnosis:
    """Predict new images.

    Work goes to disk part by part and goes on where it stopped if the same command is given again.

    Parameters
    ----------
    run
        A finished Run of `fit`.
    data
        Images in any supported layout, or a single one; patients are taken from a manifest.
    out
        Folder to write: `predictions.csv` (decision, conformal set, likeness to training, probability of every node),
        `patients.csv` and `about.json`.
    options
        How to read the images, as fields of `ImageDataSettings` (`patient_column`, `format`, ...).

    Raises
    ------
    DataError
        The images cannot be read at all; single unreadable ones are counted and named.
    Interrupted
        On SIGTERM or Ctrl-C, between two parts.
    """
    return predict_to_folder(run, Path(data), out=Path(out), device=device, options=options or {})


def explain(  # noqa: PLR0913  (the options of the command, one by one)
    run: Run | Path | str,
    *,
    n_images: int = 32,
    settings: SaliencySettings | None = None,
    node: str | None = None,
    data: Path | str | Mapping[str, Any] | None = None,
    regions: Regions | None = None,
    per_patient: int = 0,
    device: str = "auto",
) -> Run:
    """Show where decisions were seen, and check that the maps are true.

    Written to `explain/` of the Run: `maps.npz`, contact sheets, scores against regions (pointing game, energy inside,
    shares of nucleus, cytoplasm and background), deletion and insertion beside maps of noise, and the correlation of
    the maps with those of randomised weights.

    Parameters
    ----------
    n_images
        Images explained, evenly over their labels.
    settings
        Method and its options.
    node
        Explain this node in every image; None: every node on the path to the decision.
    data
        Labelled images in place of the test images of the Run: a path, or options to read them with (fields of
        `ImageDataSettings`, the path among them, and `label_map`).
    regions
        Masks or boxes of the cells.
    per_patient
        Cells of each test patient that are drawn beside their maps: those that move its decision most
        (`explain/patients.csv`, `explain/patients/`).

    Raises
    ------
    ConfigError
        A map is zero everywhere, the method does not fit the network, or no image has a region.
    """
    return explain_run(
        run,
        n_images=n_images,
        settings=settings or SaliencySettings(),
        node=node,
        data={"path": str(data)} if isinstance(data, str | Path) else data,
        regions=regions or Regions(),
        per_patient=per_patient,
        device=device,
    )


def compare(
    config: Config,
    out: Path | str,
    *,
    vary: Mapping[str, Sequence[Any]] | None = None,
    device: str = "auto",
    overwrite: bool = False,
) -> Run:
    """Fit one model per combination of options on the same splits and compare them over the same patients.

    Parameters
    ----------
    vary
        Values by dotted option; several options make a grid. None compares the published ones: flat, base and
        multilabel hierarchical, each with ViT-Small and ConvNeXt-Tiny.
    """
    return compare_variants(config, Path(out), vary=vary, device=device, overwrite=overwrite, fit=fit)


def agree(run: Run | Path | str, readers: Path | str, *, columns: Mapping[str, Any] | None = None) -> Run:
    """Measure the agreement of readers with each other, with the labels and with the model on its test images.

    Written to `agreement/` of the Run: Cohen's kappa of every two, weighted by clinical cost too, Fleiss' of all.

    Parameters
    ----------
    readers
        CSV with one row per image and reader, or one column per reader.
    columns
        Columns by what they hold, as `item`, `reader`, `label`, `readers`, `patient` of `read_reader_table`.

    Raises
    ------
    CohortError
        The readers have read none of the test images.
    LabelError
        A reader's label is no node.
    """
    return agree_with_readers(run, Path(readers), columns=dict(columns or {}))


def pretrain(
    config: PretrainConfig, out: Path | str, *, device: str = "auto", overwrite: bool = False
) -> Run:
    """Train an encoder on images, labelled or not, for classifiers (`backbone.weights`) and concepts (`encoder.run`).

    Patches are hidden and filled in; where labels are known, the class is learned from the same view. Training goes on
    where it stopped if the same call is made again.

    Parameters
    ----------
    config
        All options; see `PretrainConfig`.
    out
        Folder of the Run: configuration, split, course of the training, and the encoder in half precision under the
        names of timm.
    device
        `auto`, `cpu`, `cuda` or `cuda:N`; several processes (torchrun) share every batch.
    overwrite
        Remove a Run that is there.

    Raises
    ------
    DataError, LeakageError, ConfigError, ArtifactError
        As the parts; nothing that was finished is lost.
    Interrupted
        On SIGTERM or Ctrl-C, after a checkpoint was written.
    """
    learned = gather_unlabelled(config)
    place = choose_place(config.seed, device)
    run = open_pretraining_run(config, learned, Path(out), place=place, overwrite=overwrite)
    if is_done(run):
        return run
    place = place.of_run(run)
    model, history = fit_encoder(learned, config, place)
    return finish_run(run, place, lambda: write_pretraining(run, learned, model, history, config))


def probe(config: ProbeConfig, out: Path | str, *, device: str = "auto", overwrite: bool = False) -> Run:
    """Measure what the features of a frozen encoder tell: a linear probe and the nearest neighbours.

    Written with intervals, beside the same network with random weights: scores of the label over all test images, per
    site and on another data set (`scores.json`), and scores of each attribute (`attributes.json`).

    Parameters
    ----------
    config
        All options; see `ProbeConfig`.
    out
        Folder of the Run.
    device
        `auto`, `cpu`, `cuda` or `cuda:N`.
    overwrite
        Remove a Run that is there.

    Raises
    ------
    DataError, LeakageError, ConfigError, ArtifactError
        As the parts.
    """
    probing = gather_probing(config)
    place = choose_place(config.seed, device)
    run = open_probe_run(probing, Path(out), place=place, overwrite=overwrite)
    if is_done(run):
        return run
    return finish_run(run, place, lambda: write_probes(run, probing, place))
