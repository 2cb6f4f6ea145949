"""Every random stream from one number: the same seed and words give the same numbers on every machine."""

import hashlib
import random
import sys

import numpy as np


def derive_seed(seed: int, *words: str | int) -> int:
    """Return a 63-bit number that depends on the seed and on every word, and on nothing else.

    It is the head of the SHA-256 of the seed and the words, so streams named by different words are independent and
    the value never changes with the platform, the process or the version of a library.

    Examples
    --------
    >>> derive_seed(0, "split", 3)
    4794503896235414837
    >>> derive_seed(0, "split", 3) == derive_seed(0, "split", "3")
    False
    """
    return int.from_bytes(_digest(seed, words)[:8], "little") >> 1


def generator(seed: int, *words: str | int) -> np.random.Generator:
    """Return a generator of its own for what the words name (`generator(seed, "bootstrap", fold)`).

    Examples
    --------
    >>> int(generator(7, "demo").integers(1000)) == int(generator(7, "demo").integers(1000))
    True
    """
    entropy = int.from_bytes(_digest(seed, words), "little")
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(entropy)))


def seed_everything(seed: int) -> None:
    """Seed the global generators of Python, numpy and, if it is already imported, torch.

    Our own code takes generators as arguments; this is for libraries that draw from the global ones.
    """
    random.seed(seed)
    np.random.seed(derive_seed(seed, "numpy") % 2**32)
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.manual_seed(seed)


def _digest(seed: int, words: tuple[str | int, ...]) -> bytes:
    """Hash the seed and the words with their kinds and lengths, so that no two lists give the same text."""
    digest = hashlib.sha256()
    for part in (int(seed), *words):
        text = part if isinstance(part, str) else str(int(part))
        kind = "s" if isinstance(part, str) else "i"
        digest.update(f"{kind}{len(text)}:{text}".encode())
    return digest.digest()
