"""The child process: damages one file after the other, reads it, and tells the parent how that went.

It is a process of its own with limited memory, because a library written in C may crash, hang or claim gigabytes. For
every mutant one line comes before the reading (its number) and one after it (the outcome); what the parent misses tells
what happened.
"""

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


def limit_memory() -> None:
    """Let this process grow by `ROOM_BYTES` from here on."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + ROOM_BYTES, resource.RLIM_INFINITY))


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
    name, folder, first, stop, seed = sys.argv[1], Path(sys.argv[2]), *map(int, sys.argv[3:6])
    reader = READERS[name]
    warnings.simplefilter("ignore")
    paths = sorted(path for pattern in reader.damaged for path in folder.glob(pattern))
    sound = {path: path.read_bytes() for path in paths}
    for path in paths:
        name_of_file = str(path.relative_to(folder))
        if (outcome := outcome_of(reader.read, folder, name_of_file)) != "read":
            raise SystemExit(f"the sound file {name_of_file} cannot be read: {outcome}")
    limit_memory()
    for number in range(first, stop):
        path = paths[number % len(paths)]
        name_of_file = str(path.relative_to(folder))
        content = mutant(sound[path], list(sound.values()), seed=seed, number=number, is_text=reader.is_text)
        path.write_bytes(content)
        tell(number=number, file=name_of_file)
        outcome = outcome_of(reader.read, folder, name_of_file)
        is_changed = not says_the_same(path, content, sound[path])
        tell(outcome=outcome, is_changed=is_changed)
        path.write_bytes(sound[path])


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
