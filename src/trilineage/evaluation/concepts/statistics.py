"""Figures of each latent over many images, counted batch by batch: how often, how strongly, and in which classes."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Self

import numpy as np
from jaxtyping import Bool, Float64, Int, Int64, Shaped

from trilineage.core.errors import ConfigError, DataError
from trilineage.data.codes.image_codes import ImageCodes
from trilineage.evaluation.concepts import statistics_kernels
from trilineage.evaluation.concepts.references import Candidates, Caps, References, Shortlist

STRONG_ABOVE = 1e-3
"""Mean activation above which a latent is strong."""
_LARGEST = 2.0**24
"""Mean activation from which sums of millions of images would overflow."""
_SETTINGS = ("n_latents", "n_classes", "max_references", "per_patient", "per_class", "with_cls")
_SUMS = ("high", "low", "class_counts", "class_images")


@dataclass(frozen=True)
class ConceptStatistics:
    """Figures per latent; those of dead ones are 0, never NaN."""

    n_images: int
    """Images seen."""
    counts: Int64[np.ndarray, " latent"]
    """Images that activate it."""
    frequency: Float64[np.ndarray, " latent"]
    """Share of the images that do, in [0, 1]."""
    mean_activation: Float64[np.ndarray, " latent"]
    """Mean over these of the mean activation of an image's tokens; 0 where there is none."""
    alive: Bool[np.ndarray, " latent"]
    """Whether any image activates it."""
    strong: Bool[np.ndarray, " latent"]
    """Whether its mean activation is above 1e-3."""
    class_counts: Int64[np.ndarray, "latent class"]
    """Images of each class that activate it."""
    class_images: Int64[np.ndarray, " class"]
    """Images of each class."""
    class_shares: Float64[np.ndarray, "latent class"]
    """Shares of the classes in the activation of its references, those of unknown class left out; sum to 1, or are all
    0 where no reference has a class."""
    entropy: Float64[np.ndarray, " latent"]
    """Entropy of these shares in nats: 0 where all references are of one class (and where there are none)."""
    relative_entropy: Float64[np.ndarray, " latent"]
    """Entropy / ln(number of classes), in [0, 1]."""

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return every field by name."""
        return {field.name: np.asarray(getattr(self, field.name)) for field in fields(self)}


class ConceptTally:
    """Counts from which statistics and references are made; may be saved, gone on with, and merged.

    Memory grows with latents times classes, not with images. Sums are of integers, so that not a bit of the figures
    depends on the order or the portions in which images come.

    Parameters
    ----------
    n_latents, n_classes
        Latents and classes there are.
    max_references
        Reference images per latent.
    per_patient, per_class
        How many of them may be of one patient, or of one class; 0: any number.
    with_cls
        Whether the CLS token counts as one of the tokens of an image.
    """

    def __init__(
        self,
        n_latents: int,
        n_classes: int,
        *,
        max_references: int = 16,
        per_patient: int = 2,
        per_class: int = 8,
        with_cls: bool = False,
    ):
        caps = Caps.of(max_references, per_patient, per_class)
        self.n_latents, self.n_classes, self.with_cls = n_latents, n_classes, with_cls
        self.max_references, self.per_patient, self.per_class = max_references, per_patient, per_class
        self.high, self.low = np.zeros(n_latents, np.int64), np.zeros(n_latents, np.int64)
        self.class_counts = np.zeros((n_latents, n_classes + 1), np.int64)
        self.class_images = np.zeros(n_classes + 1, np.int64)
        self.shortlist = Shortlist(n_latents, n_classes, caps)
        self._patients: dict[str, int] = {}

    @property
    def n_images(self) -> int:
        """Images seen."""
        return int(self.class_images.sum())

    def add(
        self,
        codes: ImageCodes,
        labels: Int[np.ndarray, " image"],
        patients: Shaped[np.ndarray, " image"],
    ) -> None:
        """Count a batch of images, each once.

        Parameters
        ----------
        codes
            Codes of the images.
        labels
            Class of each, -1 where unknown.
        patients
            Patient of each (str).

        Raises
        ------
        DataError
            If codes, labels and patients do not belong together or an activation is not finite.
        ConfigError
            If tokens are to be counted that the codes do not hold.
        """
        means = codes.means(with_cls=self.with_cls)
        self._require_fitting(codes, labels, patients, means)
        classes = np.where(labels < 0, self.n_classes, labels).astype(np.int32)
        is_candidate = np.zeros(codes.n_pairs, bool)
        sums = (self.high, self.low, self.class_counts, is_candidate)
        given = (codes.indptr, codes.latents, means, classes, self.shortlist.thresholds)
        statistics_kernels.tally(*given, *sums)
        self.class_images += np.bincount(classes, minlength=self.n_classes + 1)
        rows = codes.rows[is_candidate]
        self.shortlist.add(
            Candidates(
                codes.latents[is_candidate],
                means[is_candidate],
                codes.positions[rows],
                self._numbers(patients)[rows],
                classes[rows],
                codes.peak_patches[is_candidate],
            )
        )

    def merge(self, other: "ConceptTally") -> None:
        """Add what another tally, of other images, has seen.

        Raises
        ------
        ConfigError
            If it counts something else.
        """
        if self._settings() != other._settings():
            raise ConfigError(
                "two tallies count different things", seen=other._settings(), allowed=self._settings()
            )
        for name in _SUMS:
            getattr(self, name).__iadd__(getattr(other, name))
        self.high += self.low >> 48
        self.low &= (1 << 48) - 1
        its = other.shortlist.candidates()
        names = np.array(list(other._patients), dtype=str)
        self.shortlist.add(its._replace(patients=self._numbers(names)[its.patients]))

    def statistics(self) -> ConceptStatistics:
        """Return the figures over all images seen."""
        counts = self.class_counts.sum(axis=1)
        alive = counts > 0
        total = self.high / statistics_kernels.STEPS + self.low / 2.0**64
        mean_activation = np.divide(total, counts, out=np.zeros(self.n_latents), where=alive)
        shares = self._class_shares()
        logs = np.log(shares, out=np.zeros_like(shares), where=shares > 0)
        entropy = np.maximum(-(shares * logs).sum(axis=1), 0.0)
        return ConceptStatistics(
            n_images=self.n_images,
            counts=counts,
            frequency=counts / max(self.n_images, 1),
            mean_activation=mean_activation,
            alive=alive,
            strong=mean_activation > STRONG_ABOVE,
            class_counts=self.class_counts[:, :-1].copy(),
            class_images=self.class_images[:-1].copy(),
            class_shares=shares,
            entropy=entropy,
            relative_entropy=np.minimum(entropy / np.log(max(self.n_classes, 2)), 1.0),
        )

    def references(self) -> References:
        """Return the images that activate each latent most, capped per patient and class."""
        return self.shortlist.references()[0]

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return everything that was counted, by name."""
        named = {name: np.asarray(value) for name, value in self._settings().items()}
        named |= {name: getattr(self, name) for name in _SUMS}
        named["patients"] = np.array(list(self._patients), dtype=str)
        candidates = self.shortlist.candidates()._asdict()
        return named | {f"candidates.{name}": part for name, part in candidates.items()}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Self:
        """Return the tally that `to_arrays` was called on."""
        tally = cls(**{name: arrays[name].item() for name in _SETTINGS})
        for name in _SUMS:
            setattr(tally, name, arrays[name].copy())
        tally._patients = {name: number for number, name in enumerate(arrays["patients"].tolist())}
        parts = (arrays[f"candidates.{name}"] for name in Candidates._fields)
        tally.shortlist.add(Candidates(*parts))
        tally.shortlist.candidates()
        return tally

    def _settings(self) -> dict[str, int | bool]:
        return {name: getattr(self, name) for name in _SETTINGS}

    def _class_shares(self) -> Float64[np.ndarray, "latent class"]:
        """Return p_c = sum of the scores of references of class c / sum of all, without the cap per class.

        That cap would fill the list of a latent of one class with images of others.
        """
        references, classes = self.shortlist.references(has_class_cap=False)
        amounts = np.zeros((self.n_latents, self.n_classes))
        latents, ranks = np.nonzero(classes >= 0)
        np.add.at(amounts, (latents, classes[latents, ranks]), references.scores[latents, ranks])
        total = amounts.sum(axis=1, keepdims=True)
        return np.divide(amounts, total, out=np.zeros_like(amounts), where=total > 0)

    def _numbers(self, patients: Shaped[np.ndarray, " _"]) -> np.ndarray:
        """Return the number of each patient; new ones get the next."""
        names, places = np.unique(np.asarray(patients, dtype=str), return_inverse=True)
        known = self._patients
        numbers = [known.setdefault(name, len(known)) for name in names.tolist()]
        return np.array(numbers, dtype=np.int32)[places]

    def _require_fitting(
        self, codes: ImageCodes, labels: np.ndarray, patients: np.ndarray, means: np.ndarray
    ) -> None:
        codes.require_sound()
        is_label = (labels >= -1) & (labels < self.n_classes)
        if codes.n_latents != self.n_latents or not len(codes) == len(labels) == len(patients):
            raise DataError(
                "codes, labels and patients do not belong to this tally",
                seen=f"{len(codes)} images of {codes.n_latents} latents, {len(labels)} labels, "
                f"{len(patients)} patients",
                allowed=f"as many of each, and {self.n_latents} latents",
            )
        if not is_label.all():
            raise DataError(
                "a label that is no class", seen=labels[~is_label][0], allowed=f"-1 to {self.n_classes - 1}"
            )
        is_bad = ~(means < _LARGEST)
        if is_bad.any():
            raise DataError(
                f"{int(is_bad.sum())} of {len(means)} mean activations are not finite or too large",
                seen=f"{means[is_bad][0]} in the image at position {codes.positions[codes.rows[is_bad][0]]}",
                allowed=f"below {_LARGEST:,.0f}",
                remedy="extract the tokens again in float32, or leave out that image",
            )
