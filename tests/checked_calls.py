"""Types and shapes are checked at every call of the package: its functions are wrapped while it is imported.

jaxtyping's own import hook does that too, but takes half of the time of the tests: it checks arguments twice, binds the
signature at each call even where nothing is an array, compiles all checkers at import, and keeps Python from its
compiled files of whatever else is imported on the way, torch among them.
"""

import ast
import contextlib
import dataclasses
import functools
import inspect
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import CodeType, ModuleType
from typing import Any, ForwardRef, Self, get_args, get_type_hints

from beartype import BeartypeConf, beartype
from jaxtyping import AbstractArray, TypeCheckError, jaxtyped

# An int is welcome where a float is asked for, as PEP 484 says.
_beartype = beartype(conf=BeartypeConf(is_pep484_tower=True, violation_type=TypeCheckError))

_is_on = True


@contextlib.contextmanager
def switched_off() -> Iterator[None]:
    """Check no calls for a while: a simulation calls the same functions with the same shapes thousands of times."""
    global _is_on
    before, _is_on = _is_on, False
    try:
        yield
    finally:
        _is_on = before


def checked(thing: Any) -> Any:
    """Return a function, or a dataclass, whose calls are checked; another class is returned as it is."""
    if inspect.isclass(thing):
        if dataclasses.is_dataclass(thing) and "__init__" in vars(thing):
            thing.__init__ = checked(thing.__init__)
        return thing
    checker: Callable[..., Any] | None = None

    @functools.wraps(thing)
    def call(*args: Any, **named: Any) -> Any:
        nonlocal checker
        __tracebackhide__ = True
        if not _is_on:
            return thing(*args, **named)
        if checker is None:  # at the first call: most functions have none
            checker = _checker(thing)
        return checker(*args, **named)

    return call


def _checker(function: Callable[..., Any]) -> Callable[..., Any]:
    known = {name: _resolved(kind, function) for name, kind in function.__annotations__.items()}
    function.__annotations__ = known
    if inspect.isgeneratorfunction(function):
        return jaxtyped(function, typechecker=_beartype)  # which does not look at what is yielded
    strict = _beartype(function)
    if not any(_may_have_shape(kind) for kind in known.values()):
        return strict

    def scoped(*args: Any, **named: Any) -> Any:
        __tracebackhide__ = True
        with jaxtyped("context"):  # an axis has one length within one call
            return strict(*args, **named)

    return scoped


def _resolved(kind: object, function: Callable[..., Any]) -> object:
    """Look up names in quotes; `Self` and what is only known to a type checker pass."""
    if kind is Self or Self in get_args(kind):
        return Any
    carrier = ModuleType("carrier")
    carrier.__annotations__ = {"kind": kind}
    try:
        return get_type_hints(carrier, function.__globals__, include_extras=True)["kind"]
    except NameError:
        return Any


def _may_have_shape(kind: object) -> bool:
    if isinstance(kind, list):  # arguments of a Callable
        return any(map(_may_have_shape, kind))
    is_array = inspect.isclass(kind) and issubclass(kind, AbstractArray)
    return is_array or isinstance(kind, str | ForwardRef) or any(map(_may_have_shape, get_args(kind)))


class _Loader(SourceFileLoader):
    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        tree = ast.parse(self.get_data(path), path)
        _decorate(tree.body)
        start = 1 if ast.get_docstring(tree) is not None else 0
        tree.body[start:start] = ast.parse(f"from {__name__} import checked as _checked_call").body
        return compile(tree, path, "exec", dont_inherit=True)


class _Finder(MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not fullname.startswith("trilineage.") or fullname.endswith("kernels"):  # kernels are compiled
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is None or spec.submodule_search_locations is not None:
            return None
        spec.loader = _Loader(fullname, str(spec.origin))
        return spec


def install() -> None:
    """Check the calls of every module of the package that is imported from now on."""
    sys.meta_path.insert(0, _Finder())


def _decorate(body: Iterable[ast.stmt]) -> None:
    """Decorate functions next to their `def`, classes around all other decorators."""
    for node in body:
        for part in ("body", "orelse", "handlers", "finalbody", "cases"):
            _decorate(getattr(node, part, ()))
        name = ast.Name("_checked_call", ast.Load())
        if isinstance(node, ast.FunctionDef):
            node.decorator_list.append(ast.copy_location(name, node))
        elif isinstance(node, ast.ClassDef):
            node.decorator_list.insert(0, ast.copy_location(name, node))
