"""One small table from a name to what it builds; an unknown name is answered with the known ones and the nearest."""

import difflib
from collections.abc import Callable
from typing import Generic, TypeVar

from trilineage.core.errors import UnknownOptionError

T = TypeVar("T")


class Registry(Generic[T]):
    """Table of things chosen by name.

    Parameters
    ----------
    kind
        What one entry is, in the singular, for messages: "classifier", "data source".

    Examples
    --------
    >>> shapes = Registry[str]("shape")
    >>> shapes.register("circle")("round")
    'round'
    >>> shapes.get("circle"), shapes.names()
    ('round', ('circle',))
    """

    def __init__(self, kind: str):
        self.kind = kind
        self._entries: dict[str, T] = {}

    def register(self, name: str) -> Callable[[T], T]:
        """Return a decorator that enters what it decorates under `name`.

        Raises
        ------
        ValueError
            If the name is taken: two parts of the program disagree, which no user can mend.
        """
        if name in self._entries:
            raise ValueError(f"The {self.kind} {name!r} is registered twice.")

        def enter(entry: T) -> T:
            self._entries[name] = entry
            return entry

        return enter

    def get(self, name: str) -> T:
        """Return the entry called `name`.

        Raises
        ------
        UnknownOptionError
            If there is none; the message names the known ones and the nearest.
        """
        if name not in self._entries:
            raise UnknownOptionError(
                f"there is no {self.kind} called {name!r}",
                allowed=", ".join(self._entries),
                remedy=nearest_remedy(name, self.names()),
            )
        return self._entries[name]

    def names(self) -> tuple[str, ...]:
        """Return the names in the order in which they were registered."""
        return tuple(self._entries)


def nearest_remedy(name: str, known: tuple[str, ...]) -> str:
    """Say which known name a mistyped one probably meant, as the remedy of an error.

    Examples
    --------
    >>> nearest_remedy("transfromer", ("transformer", "linear"))
    "perhaps 'transformer' was meant"
    >>> nearest_remedy("zzz", ("transformer", "linear"))
    'choose one of these'
    """
    folded = {candidate.lower(): candidate for candidate in reversed(known)}
    matches = difflib.get_close_matches(name.lower(), folded, n=1, cutoff=0.5)
    return f"perhaps {folded[matches[0]]!r} was meant" if matches else "choose one of these"
