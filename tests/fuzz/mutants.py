"""Damage done to files: what disks, transfers, editors and enemies do, the same for the same number."""

import random

STRUCTURE = 8_000
"""Bytes at the front, where headers and directories lie: half of the damage is done there."""
TELLING_BYTES = (b"\x00", b"\xff", b"\x7f", b"\x80", b"\x01")
TELLING_NUMBERS = (0, 1, 2**15, 2**31 - 1, 2**31, 2**32 - 1, 2**62, 2**64 - 1)
TELLING_TEXTS = (
    "", ",", ";", "\t", '"', "'", "\n", "\r\n", "\x00", "\ufeff", "nan", "NaN", "inf", "-inf", "-1", "0", "1e309",
    "1e-400", "99999999999999999999", "0x10", "1_000", "true", "null", "[]", "[[", "{}", "{", "}",
    "]", "=", "==", "#", "\\",
    "\\u0000", "../../etc/passwd", "/dev/zero", "C:\\x", "ß", "\u202e", "\u00e9", "=1+1", "path", "label", "patient",
    "a.b", "''", '""""',
)  # fmt: skip


def mutant(content: bytes, others: list[bytes], *, seed: int, number: int, is_text: bool) -> bytes:
    """Return damaged bytes; `others` lend pieces."""
    moments = random.Random(f"{seed}:{number}")
    ways = TEXT_WAYS if is_text and moments.random() < 0.8 else BINARY_WAYS
    for _ in range(moments.choice((1, 1, 1, 2, 4))):
        content = moments.choice(ways)(moments, content, others)
    return content


def flipped(moments, content, others):
    """Overwrite up to 20 bytes."""
    if not content:
        return content
    changed = bytearray(content)
    reach = len(content) if moments.random() < 0.5 else min(len(content), STRUCTURE)
    for _ in range(moments.randint(1, 20)):
        changed[moments.randrange(reach)] = moments.randrange(256)
    return bytes(changed)


def one_bit(moments, content, others):
    """Turn one bit over, as memory does."""
    if not content:
        return content
    changed = bytearray(content)
    changed[moments.randrange(len(content))] ^= 1 << moments.randrange(8)
    return bytes(changed)


def truncated(moments, content, others):
    """Cut the end off, as a broken transfer does."""
    return content[: moments.randrange(len(content) + 1)]


def extended(moments, content, others):
    """Append a piece."""
    return content + _piece(moments, moments.choice(others))


def removed(moments, content, others):
    """Leave a piece out."""
    start, stop = _span(moments, content)
    return content[:start] + content[stop:]


def doubled(moments, content, others):
    """Say a piece twice."""
    start, stop = _span(moments, content)
    return content[:stop] + content[start:stop] + content[stop:]


def blanked(moments, content, others):
    """Fill a piece with one byte, as a hole in a file."""
    start, stop = _span(moments, content)
    return content[:start] + moments.choice(TELLING_BYTES) * (stop - start) + content[stop:]


def numbered(moments, content, others):
    """Write a number that is too large, or nothing, where a size or an offset may stand."""
    width = moments.choice((2, 4, 8))
    if len(content) < width:
        return content
    start = moments.randrange(
        min(len(content), STRUCTURE if moments.random() < 0.5 else len(content)) - width + 1
    )
    number = moments.choice(TELLING_NUMBERS) % 2 ** (8 * width)
    return (
        content[:start] + number.to_bytes(width, moments.choice(("little", "big"))) + content[start + width :]
    )


def spliced(moments, content, others):
    """Join the front of one file and the end of another."""
    other = moments.choice(others)
    return content[: moments.randrange(len(content) + 1)] + other[moments.randrange(len(other) + 1) :]


def inserted_text(moments, content, others):
    """Put a telling text somewhere."""
    place = moments.randrange(len(content) + 1)
    return content[:place] + moments.choice(TELLING_TEXTS).encode() + content[place:]


def replaced_word(moments, content, others):
    """Put a telling text in the place of a word."""
    words = content.replace(b",", b" , ").split(b" ")
    words[moments.randrange(len(words))] = moments.choice(TELLING_TEXTS).encode()
    return b" ".join(words).replace(b" , ", b",")


def shuffled_lines(moments, content, others):
    """Exchange, repeat or remove lines."""
    lines = content.split(b"\n")
    first, second = moments.randrange(len(lines)), moments.randrange(len(lines))
    way = moments.randrange(3)
    if way == 0:
        lines[first], lines[second] = lines[second], lines[first]
    elif way == 1:
        lines.insert(first, lines[second])
    else:
        del lines[first]
    return b"\n".join(lines)


BINARY_WAYS = (
    flipped,
    flipped,
    one_bit,
    truncated,
    extended,
    removed,
    doubled,
    blanked,
    numbered,
    numbered,
    spliced,
)
TEXT_WAYS = (inserted_text, inserted_text, replaced_word, replaced_word, shuffled_lines)


def _span(moments, content):
    start = moments.randrange(len(content) + 1)
    return start, min(len(content), start + moments.choice((1, 4, 16, 256, 4_096)))


def _piece(moments, content):
    start, stop = _span(moments, content)
    return content[start:stop] * moments.choice((1, 1, 100))
