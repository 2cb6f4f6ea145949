"""Deal whole patients to parts so that every class is spread over the parts."""

import numpy as np
from jaxtyping import Float, Int

from trilineage.core.errors import CohortError

N_TRIES = 50
"""Random orders tried before a table with several labels per patient counts as impossible to deal."""


def deal_shares(
    counts: Int[np.ndarray, "patient class"], share: float, *, rng: np.random.Generator
) -> Int[np.ndarray, " patient"]:
    """Choose about `share` of the patients of each class: 1 where chosen, 0 elsewhere.

    A class with at least two patients has at least one on either side; a class with one keeps it at 0.
    Patients with several labels are dealt greedily by their samples (approximate).

    Parameters
    ----------
    counts
        Samples of each patient in each class.
    share
        In (0, 1).
    rng
        Source of the order in which patients are dealt.

    Raises
    ------
    CohortError
        If no order of dealing leaves every class at 0.
    """
    if not _has_one_label_each(counts):
        return _deal_greedily(counts, np.array([1.0 - share, share]), rng)
    chosen = np.zeros(len(counts), dtype=np.int64)
    for code in range(counts.shape[1]):
        members = rng.permutation(np.flatnonzero(counts[:, code]))
        if len(members) >= 2:
            n_chosen = int(np.clip(round(share * len(members)), 1, len(members) - 1))
            chosen[members[:n_chosen]] = 1
    return chosen


def deal_folds(
    counts: Int[np.ndarray, "patient class"], n_folds: int, *, rng: np.random.Generator
) -> Int[np.ndarray, " patient"]:
    """Return the fold, from 0 to n_folds - 1, of each patient.

    Within a class the folds hold the same number of patients but for one; the remainders of the classes go to
    different folds, so that the folds are of about equal size.

    Raises
    ------
    CohortError
        If no order of dealing leaves every class outside each fold.
    """
    if not _has_one_label_each(counts):
        return _deal_greedily(counts, np.full(n_folds, 1.0 / n_folds), rng)
    folds = np.zeros(len(counts), dtype=np.int64)
    names = rng.permutation(n_folds)
    n_dealt = 0
    for code in range(counts.shape[1]):
        members = rng.permutation(np.flatnonzero(counts[:, code]))
        folds[members] = names[(n_dealt + np.arange(len(members))) % n_folds]
        n_dealt += len(members)
    return folds


def _has_one_label_each(counts: Int[np.ndarray, "patient class"]) -> bool:
    return bool(((counts > 0).sum(axis=1) <= 1).all())


def _deal_greedily(
    counts: Int[np.ndarray, "patient class"], shares: Float[np.ndarray, " part"], rng: np.random.Generator
) -> Int[np.ndarray, " patient"]:
    """Try random orders; keep the deal closest to the shares among those that leave each class outside each part.

    The idea is that of scikit-learn's StratifiedGroupKFold: place the patients with the most uneven labels first,
    each where the shares of the classes come closest to what is wanted.
    """
    best, best_cost = None, np.inf
    for _ in range(N_TRIES):
        parts, cost = _deal_once(counts, shares, rng)
        if cost < best_cost and _trains_every_class(counts, parts, len(shares)):
            best, best_cost = parts, cost
    if best is None:
        n_patients = (counts > 0).sum(axis=0)
        raise CohortError(
            "the patients cannot be dealt so that every class can be trained on",
            seen=f"patients per class: {', '.join(map(str, n_patients))}",
            allowed="for every part, a patient of each class outside it",
            remedy="ask for fewer folds or leave the smallest classes out",
        )
    return best


def _deal_once(
    counts: Int[np.ndarray, "patient class"], shares: Float[np.ndarray, " part"], rng: np.random.Generator
) -> tuple[Int[np.ndarray, " patient"], float]:
    portions = counts / np.maximum(counts.sum(axis=0), 1)
    jitter = rng.random(len(counts)) * portions.std(axis=1).max()
    parts = np.zeros(len(counts), dtype=np.int64)
    held = np.zeros((len(shares), counts.shape[1]))
    for patient in np.argsort(-(portions.std(axis=1) + jitter), kind="stable"):
        before = (held / shares[:, None] - 1.0) ** 2
        after = ((held + portions[patient]) / shares[:, None] - 1.0) ** 2
        part = int(np.argmin(((after - before) * shares[:, None]).sum(axis=1)))
        parts[patient] = part
        held[part] += portions[patient]
    return parts, float((((held / shares[:, None]) - 1.0) ** 2 * shares[:, None]).sum())


def _trains_every_class(
    counts: Int[np.ndarray, "patient class"], parts: Int[np.ndarray, " patient"], n_parts: int
) -> bool:
    """Whether every part is used and training outside each tested part sees every class (part 0 of two is kept)."""
    tested = range(n_parts) if n_parts > 2 else range(n_parts - 1, n_parts)
    occurring = counts.sum(axis=0) > 0
    return all(
        (parts == part).any() and (counts[parts != part].sum(axis=0) > 0)[occurring].all() for part in tested
    )
