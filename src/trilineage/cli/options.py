"""Options that several commands share, and how they become a configuration."""

import functools
import inspect
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, NamedTuple, TypeVar

import typer

from trilineage.core.errors import ConfigError

Config = Annotated[
    Path | None, typer.Option("--config", "-c", help="TOML file of options; absent ones keep their defaults.")
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set", "-s", metavar="KEY=VALUE", help="Set one option by its dotted key; may be repeated."
    ),
]
ReadingSet = Annotated[
    list[str] | None,
    typer.Option(
        "--set", "-s", metavar="KEY=VALUE", help="How to read the file: layer, patient_key, state, ..."
    ),
]
Data = Annotated[
    Path | None,
    typer.Option(
        "--data", "-d", help="Expression file (h5ad, 10x h5 or folder, zarr, CSV/TSV); sets `data.path`."
    ),
]
Images = Annotated[
    Path | None,
    typer.Option(
        "--data",
        "-d",
        help="Folder per class, folder with a manifest, CSV or MedMNIST npz; sets `data.path`.",
    ),
]
Out = Annotated[Path, typer.Option("--out", "-o", help="Folder of the Run to write.")]
Device = Annotated[str, typer.Option(help="Where to compute: auto, cpu, cuda, cuda:1.")]
Threads = Annotated[
    int | None, typer.Option(min=1, help="Threads of the processor to use; all of them unless said.")
]
Resume = Annotated[
    bool | None,
    typer.Option(
        "--resume/--no-resume",
        help="Go on with the Run in --out if its configuration is the same (the default), or refuse a folder in use.",
    ),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Delete the Run in --out and start again.")]
Encoder = Annotated[
    str,
    typer.Option(
        "--encoder",
        "-e",
        help="bundled, a Run of `images fit` or `images pretrain`, or the name of a backbone.",
    ),
]
Weights = Annotated[
    str,
    typer.Option(
        help="Weights of that backbone: none, hub, a file or a Run; the published ones, where there are, unless said."
    ),
]
Run = Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a finished Run.")]

SettingsType = TypeVar("SettingsType")


class Fitting(NamedTuple):
    """What every command that fits was asked for, checked."""

    settings: Any
    """Configuration of the recipe: file, `--set` and options with a name of their own."""
    out: Path
    """Folder of the Run."""
    device: str
    """Where to compute."""
    overwrite: bool
    """Whether to delete a Run that is there."""

    def changed(self, options: Mapping[str, Any]) -> "Fitting":
        """Return the same with some options, by dotted key, changed."""
        return self._replace(settings=self.settings.replace(**options)) if options else self

    def run(self, work: Callable[..., Any], **more: Any) -> Any:
        """Return what a function of a recipe makes of it."""
        return work(self.settings, self.out, device=self.device, overwrite=self.overwrite, **more)


def fitting(
    recipe: str, *, settings: str = "Config", **named: tuple[str, Any]
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return a decorator that gives a command the options of every fit; the command takes them as one `Fitting`.

    Parameters
    ----------
    recipe
        Module of `trilineage.pipelines` whose configuration is read, after the threads were limited.
    settings
        Its name in that module.
    named
        Options of its own name: the key that each sets, with `__` for the dot, and its annotation.
    """
    before: dict[str, tuple[Any, Any]] = {"out": (Out, inspect.Parameter.empty)}
    after: dict[str, tuple[Any, Any]] = {name: (annotation, None) for name, (_, annotation) in named.items()}
    after |= {"config": (Config, None), "assignments": (Set, None), "device": (Device, "auto")}
    after |= {"threads": (Threads, None), "resume": (Resume, None), "overwrite": (Overwrite, False)}

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(command)
        def run(**given: Any) -> None:
            asked = {name: given.pop(name) for name in (*before, *after)}
            check_output(asked["out"], resume=asked["resume"], overwrite=asked["overwrite"])
            limit_threads(asked["threads"])
            values = {key: asked[name] for name, (key, _) in named.items()}
            wanted = getattr(import_module(f"trilineage.pipelines.{recipe}"), settings)
            config = configured(wanted, asked["config"], asked["assignments"], **values)
            command(Fitting(config, asked["out"], asked["device"], asked["overwrite"]), **given)

        own = list(inspect.signature(command).parameters.values())[1:]
        parameters = [*_parameters(before), *own, *_parameters(after)]
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        return run

    return decorate


def _parameters(options: dict[str, tuple[Any, Any]]) -> list[inspect.Parameter]:
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    return [
        inspect.Parameter(name, kind, annotation=annotation, default=default)
        for name, (annotation, default) in options.items()
    ]


def configured(
    settings: type[SettingsType], config: Path | None, assignments: Sequence[str] | None, **values: object
) -> SettingsType:
    """Read a configuration: the file, then `--set`, then the options with a name of their own (unless None).

    Parameters
    ----------
    settings
        A subclass of `trilineage.core.config.Settings`.
    values
        Values by dotted key, with `__` for the dot: `data__path=Path("x.h5ad")`.

    Raises
    ------
    ConfigError
        For a key or a value that cannot be used.
    """
    loaded = settings.load(config, list(assignments or ()))  # type: ignore[attr-defined]
    named = {key.replace("__", "."): str(value) for key, value in values.items() if value is not None}
    result: SettingsType = loaded.replace(**named) if named else loaded
    return result


def reading(assignments: Sequence[str] | None) -> dict[str, str]:
    """Read `--set` texts about one file: `layer=counts`, or as in a configuration, `data.layer=counts`.

    Raises
    ------
    ConfigError
        If a text is not of the form key=value.
    """
    from trilineage.core.overrides import parse_assignment

    pairs = (parse_assignment(text) for text in assignments or ())
    return {key.removeprefix("data."): value for key, value in pairs}


def varied(settings: type[SettingsType], assignments: Sequence[str]) -> dict[str, list[object]]:
    """Read `--vary` texts: each option with the values to try, of the type the option has.

    `autoencoder.n_latent=128,256` gives two numbers; values that are lists themselves stand in brackets:
    `autoencoder.hidden=[256],[512,256]`.

    Raises
    ------
    ConfigError
        If a text is not `key=value,value`, has fewer than two different values, or a key comes twice; for unknown
        options and values that an option does not take.
    """
    from trilineage.core.overrides import parse_assignment

    grid: dict[str, list[object]] = {}
    for text in assignments:
        key, written = parse_assignment(text)
        values = _split_outside_brackets(written)
        if key in grid or len(set(values)) < max(2, len(values)):
            raise ConfigError(
                f"option {key!r} cannot be varied like this",
                seen=text,
                allowed="each option once, with at least two different values between commas",
                remedy="write --vary autoencoder.n_latent=128,256,512",
            )
        grid[key] = [_typed(settings, key, value) for value in values]
    return grid


def _typed(settings: type[SettingsType], key: str, written: str) -> object:
    """Return one value of an option as its configuration holds it."""
    value: object = settings.load(None, [f"{key}={written}"])  # type: ignore[attr-defined]
    for name in key.split("."):
        value = getattr(value, name)
    return value


def encoder(name: str, weights: str) -> dict[str, str]:
    """Return the options, by dotted key, of the encoder that `--encoder` and `--weights` name.

    Raises
    ------
    ConfigError
        For weights beside an encoder that has its own.
    """
    from trilineage.models.encoder import encoder_options

    if name:
        return encoder_options(name, weights)
    return {"encoder.backbone.weights": weights} if weights else {}


def check_output(out: Path, *, resume: bool | None, overwrite: bool) -> None:
    """Refuse contradictory wishes, and with `--no-resume` a folder that holds a Run already.

    Raises
    ------
    ConfigError
        With the remedy.
    """
    if resume and overwrite:
        raise ConfigError(
            "--resume and --overwrite contradict each other",
            remedy="leave one of them out",
        )
    is_first = os.environ.get("RANK", "0") == "0"  # the others may see what the first has just begun
    if resume is False and not overwrite and is_first and (out / "run.json").exists():
        raise ConfigError(
            "--no-resume was asked for, and the folder holds a Run",
            seen=out,
            allowed="a new or empty folder",
            remedy="choose another --out, or add --overwrite to delete that Run",
        )


def limit_threads(n_threads: int | None) -> None:
    """Let the numeric libraries use this many threads; call it before they are loaded."""
    if n_threads is None:
        return
    if "numba" not in sys.modules:
        os.environ["NUMBA_NUM_THREADS"] = str(n_threads)
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(n_threads)
    import torch  # late: `trilineage --help` does without

    torch.set_num_threads(n_threads)


def _split_outside_brackets(written: str) -> list[str]:
    """Split at commas, except those inside brackets or quotes."""
    parts, depth, quote = [""], 0, ""
    for letter in written:
        if quote or letter in "\"'":
            quote = "" if letter == quote else quote or letter
        depth += (letter in "[{") - (letter in "]}") if not quote else 0
        if letter == "," and depth == 0 and not quote:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts if part.strip()]
