"""A Run on disk: one folder with what was asked, what was found, and the digest of every file in it."""

import csv
import io
import json
import shutil
import tomllib
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, Self, TypeVar

import numpy as np

from trilineage.core.config import Settings, flatten
from trilineage.core.errors import (
    AlteredFileError,
    ArtifactError,
    ConfigError,
    UnsafeFileError,
)
from trilineage.core.files import is_temporary, sha256_bytes, sha256_file, write_atomically
from trilineage.core.manifest import (
    FORMAT_VERSION,
    MANIFEST_NAME,
    check_name,
    is_run,
    read_bytes,
    read_manifest,
    to_json,
    write_manifest,
)
from trilineage.core.provenance import now, provenance
from trilineage.core.records import Comparison, Prediction, Score
from trilineage.core.weights import decode_metadata, decode_weights, encode_weights, read_header

CONFIG_NAME = "config.toml"

AnySettings = TypeVar("AnySettings", bound=Settings)
Record = TypeVar("Record", Score, Comparison)


class Run:
    """A folder that holds one result and can prove that it is unchanged.

    Every file is written atomically and entered in `run.json` with its SHA-256 before it takes its place, so a
    process killed at any moment leaves a Run that can be opened and continued. Every read checks the digest. Make
    one with `Run.create`, open one with `Run.open`.
    """

    def __init__(self, path: Path, manifest: dict[str, Any]):
        self.path = path
        self.manifest = manifest

    # ---- making and opening -------------------------------------------------------------------------------------

    @classmethod
    def create(
        cls,
        path: Path | str,
        *,
        kind: str,
        config: Settings,
        seed: int,
        command: str = "",
        data: Mapping[str, Any] | None = None,
        overwrite: bool = False,
    ) -> Self:
        """Make a Run, or return the one that is there if it was asked for the same thing.

        Parameters
        ----------
        path
            Folder of the Run; made if absent.
        kind
            What it holds ("rna", "rna.study"); readers ask for it.
        config
            Saved as `config.toml`.
        seed
            The number every random stream came from.
        command
            Command line that made it.
        data
            Fingerprint of the input: path, sha256, n_obs and the like.
        overwrite
            Remove a Run that is already there. Nothing but an undamaged Run is ever removed.

        Raises
        ------
        ConfigError
            If the folder holds a Run of another configuration (the differing keys are named).
        ArtifactError
            If the folder holds something else.
        StorageError
            If it cannot be written.
        """
        folder = Path(path)
        text = config.to_toml().encode()
        if overwrite and is_run(folder):
            shutil.rmtree(folder.resolve())
        if _is_occupied(folder):
            run = cls.open(folder, kind=kind)
            run._require_same(text, seed, data or {})
        else:
            manifest = {"kind": kind, "format_version": FORMAT_VERSION, **provenance(), "status": "running"}
            manifest |= {"seed": seed, "command": command, "config_sha256": sha256_bytes(text)}
            manifest |= {"data": dict(data or {}), "files": {}}
            write_manifest(folder, manifest)
            run = cls(folder, read_manifest(folder))
        if not run.has(CONFIG_NAME):
            run.write_bytes(CONFIG_NAME, text)
        return run

    @classmethod
    def open(cls, path: Path | str, *, kind: str | None = None) -> Self:
        """Open a Run that exists.

        Raises
        ------
        ArtifactError
            If the folder is no Run, is damaged, or holds another kind than `kind`.
        NewerVersionError, AlteredFileError
            If a newer version wrote it, or its manifest was changed.
        """
        folder = Path(path)
        manifest = read_manifest(folder)
        if kind is not None and manifest["kind"] != kind:
            raise ArtifactError(
                f"{folder} is another kind of Run",
                seen=manifest["kind"],
                allowed=kind,
                remedy="choose another Run",
            )
        return cls(folder, manifest)

    # ---- what it is ---------------------------------------------------------------------------------------------

    @property
    def kind(self) -> str:
        """What the Run holds ("rna")."""
        return str(self.manifest["kind"])

    @property
    def seed(self) -> int:
        """The number every random stream came from."""
        return int(self.manifest["seed"])

    @property
    def is_complete(self) -> bool:
        """Whether the command that made it came to its end."""
        return bool(self.manifest["status"] == "complete")

    @property
    def checkpoints_dir(self) -> Path:
        """Folder of the training checkpoints, which carry their own digests."""
        return self.path / "checkpoints"

    @property
    def figures_dir(self) -> Path:
        """Folder of the figures; write them with `write_text("figures/NAME.svg", ...)`."""
        return self.path / "figures"

    @property
    def log_path(self) -> Path:
        """The log, which grows and therefore has no digest."""
        return self.path / "log.txt"

    def config(self, cls: type[AnySettings]) -> AnySettings:
        """Return the configuration, checked against its digest, as an instance of `cls`."""
        return cls.load(None, self._config_values())

    def finish(self) -> None:
        """Mark the Run as complete, and remove what killed processes left half written in it."""
        for path in self.path.rglob(".*"):
            if is_temporary(path.name):
                path.unlink(missing_ok=True)
        self._change(status="complete", finished=now())

    # ---- files of every kind ------------------------------------------------------------------------------------

    def has(self, name: str) -> bool:
        """Tell whether a file was written to the Run and is there."""
        known = name in self.manifest["files"] or name in self.manifest.get("pending", {})
        return known and (self.path / name).is_file()

    def write_bytes(self, name: str, data: bytes) -> None:
        """Write a file and enter its digest; the entry comes first, so a crash between the two is harmless."""
        check_name(name)
        digest = sha256_bytes(data)
        self._change(pending={name: digest})
        write_atomically(self.path / name, data)
        self._change(files={**self.manifest["files"], name: digest}, pending={})

    def read_bytes(self, name: str) -> bytes:
        """Read a file after checking its digest.

        Raises
        ------
        ArtifactError
            If the Run has no such file.
        AlteredFileError
            If its bytes are not those that were written.
        """
        expected = self._digests(name)
        data = read_bytes(self.path / name)
        self._require_unaltered(name, sha256_bytes(data), expected)
        return data

    def register(self, name: str) -> None:
        """Enter a file that another library wrote into the folder (through `core.files.atomic_path`)."""
        check_name(name)
        self._change(files={**self.manifest["files"], name: sha256_file(self.path / name)})

    def verify(self) -> None:
        """Check the digest of every file; raises AlteredFileError or ArtifactError for the first that fails."""
        for name in self.manifest["files"]:
            self.read_bytes(name)

    # ---- text, JSON, tables, arrays, weights --------------------------------------------------------------------

    def write_text(self, name: str, text: str) -> None:
        """Write UTF-8 text."""
        self.write_bytes(name, text.encode())

    def read_text(self, name: str) -> str:
        """Read UTF-8 text."""
        return self.read_bytes(name).decode()

    def write_json(self, name: str, value: Any) -> None:
        """Write strict JSON: NaN and infinities become null, numpy values and dataclasses plain ones."""
        self.write_bytes(name, to_json(value))

    def read_json(self, name: str) -> Any:
        """Read JSON."""
        return json.loads(self.read_bytes(name))

    def write_table(self, name: str, columns: Mapping[str, Sequence[Any]]) -> None:
        """Write columns of equal length as CSV; None and NaN become empty cells.

        Raises
        ------
        ArtifactError
            If the columns differ in length.
        """
        lengths = {key: len(values) for key, values in columns.items()}
        if len(set(lengths.values())) > 1:
            raise ArtifactError(f"the columns of {name} differ in length", seen=lengths)
        stream = io.StringIO()
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(
            zip(*([_cell(value) for value in column] for column in columns.values()), strict=True)
        )
        self.write_text(name, stream.getvalue())

    def read_table(self, name: str) -> dict[str, list[str]]:
        """Read a CSV table as columns of texts."""
        header, *rows = csv.reader(io.StringIO(self.read_text(name)))
        return {key: [row[position] for row in rows] for position, key in enumerate(header)}

    def write_arrays(self, name: str, **arrays: Any) -> None:
        """Write named arrays (numbers, booleans, texts) as compressed npz; nothing that would need a pickle."""
        stream = io.BytesIO()
        np.savez_compressed(
            stream, allow_pickle=False, **{key: _plain_array(key, a) for key, a in arrays.items()}
        )
        self.write_bytes(name, stream.getvalue())

    def read_arrays(self, name: str) -> dict[str, np.ndarray]:
        """Read the arrays of an npz file; raises UnsafeFileError if one of them is a pickle."""
        data = self.read_bytes(name)
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as archive:
                return {key: archive[key] for key in archive.files}
        except ValueError as error:
            raise UnsafeFileError(f"{name} holds objects", seen=error, allowed="plain arrays") from None
        except (zipfile.BadZipFile, OSError, EOFError) as error:
            raise ArtifactError(f"{name} is not an npz file", seen=error) from None

    def write_weights(
        self, name: str, tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str] | None = None
    ) -> None:
        """Write named arrays to `weights/NAME.safetensors`; equal arrays give equal bytes."""
        self.write_bytes(_weights_name(name), encode_weights(tensors, metadata))

    def read_weights(self, name: str) -> dict[str, np.ndarray]:
        """Read the arrays of `weights/NAME.safetensors`.

        Raises
        ------
        UnsafeFileError
            If a pickle stands there; it is not opened, whatever its digest.
        AlteredFileError
            If the bytes are not those that were written.
        """
        return decode_weights(self._sound_weights(name), name=_weights_name(name))

    def read_weights_metadata(self, name: str) -> dict[str, str]:
        """Read the texts saved with the arrays; raises as `read_weights`."""
        return decode_metadata(self._sound_weights(name), name=_weights_name(name))

    # ---- results ------------------------------------------------------------------------------------------------

    def add_scores(self, scores: Iterable[Score], file: str = "scores.json") -> None:
        """Add scores; one for the same metric, subject, unit and population replaces the old one."""
        self._add_records(scores, self.scores(file), file)

    def scores(self, file: str = "scores.json") -> list[Score]:
        """Return the scores in the order they were added; empty if there are none."""
        return self._records(Score, file)

    def add_comparisons(self, comparisons: Iterable[Comparison], file: str = "comparisons.json") -> None:
        """Add comparisons; one of the same two subjects in the same respect replaces the old one."""
        self._add_records(comparisons, self.comparisons(file), file)

    def comparisons(self, file: str = "comparisons.json") -> list[Comparison]:
        """Return the comparisons in the order they were added; empty if there are none."""
        return self._records(Comparison, file)

    def write_predictions(self, prediction: Prediction, name: str = "predictions", **beside: Any) -> None:
        """Write a set of predictions to `NAME.npz`, with other arrays beside it if there are any."""
        values = {field.name: getattr(prediction, field.name) for field in fields(prediction)} | beside
        self.write_arrays(f"{name}.npz", **{key: value for key, value in values.items() if value is not None})

    def predictions(self, name: str = "predictions") -> Prediction:
        """Read a set of predictions; arrays beside it are left to `read_arrays`."""
        arrays: dict[str, Any] = self.read_arrays(f"{name}.npz")
        arrays["classes"] = tuple(arrays["classes"].tolist())
        return Prediction(
            **{field.name: arrays[field.name] for field in fields(Prediction) if field.name in arrays}
        )

    # ---- private ------------------------------------------------------------------------------------------------

    def _change(self, **changes: Any) -> None:
        """Change the manifest on disk and here, keeping what another process may have added to it."""
        current = read_manifest(self.path)
        for key in ("files", "pending"):
            if changes.get(key):
                changes[key] = {**current.get(key, {}), **changes[key]}
        self.manifest = {**current, **changes}
        write_manifest(self.path, self.manifest)

    def _digests(self, name: str) -> set[str]:
        """Return the digests a file may have: the one that was entered, or the one just being written."""
        check_name(name)
        found = {self.manifest[key].get(name) for key in ("files", "pending") if key in self.manifest} - {
            None
        }
        if not found:
            raise ArtifactError(
                f"the Run {self.path} has no {name}",
                allowed=", ".join(sorted(self.manifest["files"])),
                remedy="run the command that makes it",
            )
        return found

    def _require_unaltered(self, name: str, digest: str, expected: set[str]) -> None:
        if digest not in expected:
            raise AlteredFileError(
                f"{self.path / name} was changed after it was written",
                seen=f"SHA-256 {digest}",
                allowed=" or ".join(sorted(expected)),
                remedy="restore the original file, or make the Run again",
            )

    def _sound_weights(self, name: str) -> bytes:
        """Return the bytes of a weights file: a pickle is named as such even where the digest would fail too."""
        file = _weights_name(name)
        expected = self._digests(file)
        data = read_bytes(self.path / file)
        read_header(data, name=str(self.path / file))
        self._require_unaltered(file, sha256_bytes(data), expected)
        return data

    def _records(self, record: type[Record], file: str) -> list[Record]:
        if not self.has(file):
            return []
        required = "value" if record is Score else "difference"
        rows = self.read_json(file)
        return [
            record(**{**row, required: np.nan if row[required] is None else row[required]}) for row in rows
        ]

    def _add_records(self, new: Iterable[Record], old: list[Record], file: str) -> None:
        table = {_identity(record): record for record in old}
        table.update({_identity(record): record for record in new})
        self.write_json(file, [record.to_dict() for record in table.values()])

    def _config_values(self) -> dict[str, Any]:
        return tomllib.loads(self.read_text(CONFIG_NAME))

    def _require_same(self, text: bytes, seed: int, data: Mapping[str, Any]) -> None:
        """Refuse to go on with a Run that was asked for something else."""
        differing = []
        if sha256_bytes(text) != self.manifest["config_sha256"]:
            old = flatten(self._config_values()) if self.has(CONFIG_NAME) else {}
            new = flatten(tomllib.loads(text.decode()))
            differing = [
                f"{key} ({old.get(key)!r} there, {new.get(key)!r} asked)"
                for key in sorted({*old, *new})
                if old.get(key) != new.get(key)
            ]
        if seed != self.seed:
            differing.append(f"seed ({self.seed} there, {seed} asked)")
        known = self.manifest.get("data", {}).get("sha256")
        if known and data.get("sha256") and known != data["sha256"]:
            differing.append("the content of the data")
        if differing:
            raise ConfigError(
                f"{self.path} holds a Run of another configuration",
                seen="; ".join(differing),
                allowed="the same configuration, which goes on where it stopped",
                remedy="choose another folder, or overwrite the Run",
            )


def _is_occupied(folder: Path) -> bool:
    """Tell whether a folder holds anything but what a killed process left behind; refuse what is no Run."""
    if not folder.exists():
        return False
    names = [entry.name for entry in folder.iterdir()] if folder.is_dir() else [folder.name]
    if MANIFEST_NAME in names:
        return True
    if any(not is_temporary(name) for name in names):
        raise ArtifactError(
            f"{folder} is not empty and not a Run",
            seen=", ".join(sorted(names)[:5]),
            allowed="a new folder, an empty one, or a Run",
            remedy="choose another folder",
        )
    return False


def _identity(record: Score | Comparison) -> tuple[Any, ...]:
    """Return what makes a record the same record, whatever its value."""
    names = ("metric", "subject", "first", "second", "unit", "population")
    return tuple(getattr(record, name, None) for name in names)


def _weights_name(name: str) -> str:
    return f"weights/{name}.safetensors"


def _cell(value: Any) -> Any:
    """Return a table cell: nothing for None and NaN, plain numbers for numpy ones."""
    plain = value.item() if isinstance(value, np.generic) else value
    return "" if plain is None or plain != plain else plain


def _plain_array(name: str, values: Any) -> np.ndarray:
    """Return an array of numbers, booleans or texts."""
    array = np.asarray(values)
    if array.dtype.kind in "OT":
        array = array.astype(str)
    if array.dtype.kind not in "biufcU":
        raise ArtifactError(
            f"array {name!r} cannot be saved", seen=array.dtype, allowed="numbers, booleans, texts"
        )
    return array
