"""The child process: damages one file after the other, reads it, and tells the parent how that went.

It is a process of its own with limited memory, because a library written in C may crash, hang or claim gigabytes. For
every mutant one line comes before the reading (its number) and one after it (the outcome); what the parent misses tells
what happened. Lines on standard input say what to read: one process serves all readers, since importing takes longest.
"""

import gc
import json
import resource
import sys
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from mutants import mutant
from readers import READERS

ROOM_BYTES = 2_000_000_000
"""Memory a reader may take for itself."""


def limit_memory(room_bytes: int | None) -> None:
    """Let this process grow by so much from here on; None: as it likes."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    soft = resource.RLIM_INFINITY if room_bytes is None else used + room_bytes
    resource.setrlimit(resource.RLIMIT_AS, (soft, resource.RLIM_INFINITY))


def outcome_of(read, folder: Path, name: str) -> str:
    """Return `read`, the name of a typed error, or `untyped: ...`."""
    from trilineage.core.errors import TrilineageError

    try:
        read(folder, name)
    except TrilineageError as error:
        return type(error).__name__
    except BaseException as error:  # noqa: BLE001  (what a fuzzer looks for)
        return f"untyped: {type(error).__name__}: {str(error)[:300]}"
    return "read"


def main() -> None:
    warnings.simplefilter("ignore")
    for line in sys.stdin:
        asked = json.loads(line)
        serve(asked["reader"], Path(asked["folder"]), range(asked["first"], asked["stop"]), asked["seed"])


def serve(name: str, folder: Path, numbers: range, seed: int) -> None:
    """Read the sound files of a reader, then its mutants, one after the other."""
    reader = READERS[name]
    limit_memory(None)
    paths = sorted(path for pattern in reader.damaged for path in folder.glob(pattern))
    sound = {path: path.read_bytes() for path in paths}
    for path in paths:
        name_of_file = str(path.relative_to(folder))
        if (outcome := outcome_of(reader.read, folder, name_of_file)) != "read":
            raise SystemExit(f"the sound file {name_of_file} cannot be read: {outcome}")
    gc.freeze()  # what was imported stays: no need to look through it again and again
    limit_memory(ROOM_BYTES)
    for number in numbers:
        path = paths[number % len(paths)]
        name_of_file = str(path.relative_to(folder))
        content = mutant(sound[path], list(sound.values()), seed=seed, number=number, is_text=reader.is_text)
        path.write_bytes(content)
        tell(number=number, file=name_of_file)
        outcome = outcome_of(reader.read, folder, name_of_file)
        is_changed = not says_the_same(path, content, sound[path])
        path.write_bytes(sound[path])  # before the last line: then the parent removes the folder
        tell(outcome=outcome, is_changed=is_changed)


def tell(**about: object) -> None:
    """Write one line for the parent at once."""
    sys.stdout.write(json.dumps(about) + "\n")
    sys.stdout.flush()


def says_the_same(path: Path, content: bytes, sound: bytes) -> bool:
    """Return whether the damage is none: the same bytes, or the same JSON with other spaces or a line said twice."""
    try:
        return content == sound or (path.suffix == ".json" and json.loads(content) == json.loads(sound))
    except ValueError:
        return False


if __name__ == "__main__":
    main()
