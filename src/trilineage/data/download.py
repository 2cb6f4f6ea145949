"""Public files fetched over HTTP: resumed where they broke off, checked by digest, whole or not there at all."""

import contextlib
import errno
import hashlib
import http.client
import json
import logging
import os
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import Any

from trilineage import __version__
from trilineage.core.config import Settings
from trilineage.core.errors import DownloadError
from trilineage.core.files import write_atomically
from trilineage.core.progress import Meter, progress

RECORD = "downloads.json"
"""File beside the downloads that remembers address, size and digest of each."""
_SCHEMES = ("http", "https")
_PASSING_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Answers that may be another one in a moment."""
_BLOCK_BYTES = 1 << 18
_LONGEST_PAUSE_S = 60.0

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class RemoteFile:
    """One file somebody publishes."""

    url: str
    """Address, http or https."""
    name: str
    """Name of the file here."""
    sha256: str | None = None
    """Published SHA-256; None where none is known to us."""
    md5: str | None = None
    """Published MD5; None where none is known to us."""
    is_archive: bool = False
    """Whether the file is to be unpacked (zip, tar) into a folder of its own name."""


@dataclass(frozen=True)
class Download:
    """A file that is here, whole."""

    path: Path
    """Where it is."""
    sha256: str
    """Digest of what came."""
    n_bytes: int
    """Size."""
    is_verified: bool
    """Whether a published digest confirmed it; otherwise the digest was recorded on first use."""


class DownloadSettings(Settings):
    """How patient a download is."""

    timeout_s: float = 30.0
    """Seconds without a byte after which a connection counts as broken."""
    n_retries: int = 6
    """Attempts without any progress before giving up; an attempt that brought bytes starts the count again."""
    first_pause_s: float = 1.0
    """Pause before the first retry; it doubles with each, up to a minute."""


def cache_folder() -> Path:
    """Return the folder for downloads: `XDG_CACHE_HOME`, or the platform's own place for caches, then `trilineage`."""
    if os.environ.get("XDG_CACHE_HOME"):
        return Path(os.environ["XDG_CACHE_HOME"]) / "trilineage"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "trilineage"
    if sys.platform == "win32":
        return (
            Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local")) / "trilineage" / "cache"
        )
    return Path.home() / ".cache" / "trilineage"


def download(file: RemoteFile, folder: Path | str, settings: DownloadSettings | None = None) -> Download:
    """Fetch a file into a folder, or find it there already; it appears under its name only when whole and checked.

    What has come so far waits in `.<name>.part`; the same call goes on from there if the server can. A file without a
    published digest is trusted the first time: its SHA-256 is recorded in `downloads.json`, and other bytes under the
    same address are refused later.

    Raises
    ------
    DownloadError
        For an address that is not http(s), an answer that is no file (with its status), a connection that stays broken,
        a digest that is not the published or recorded one (both are shown), and a disk that is full or read-only.
    """
    target = Path(folder) / file.name
    _check_address(file.url)
    with _disk_explained(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.is_file():
            part = target.parent / f".{file.name}.part"
            _fetch(file, part, settings or DownloadSettings())
            checked = _checked(file, part, target)
            _flush(part)
            os.replace(part, target)
            part.with_suffix(".from").unlink(missing_ok=True)
        else:
            checked = _checked(file, target, target)
        _remember(file, checked)
    return checked


def _fetch(file: RemoteFile, part: Path, settings: DownloadSettings) -> None:
    """Bring the part file to its full length, with pauses that double while nothing comes."""
    n_failures, pause_s = 0, settings.first_pause_s
    with progress(file.name, None, "bytes") as meter:
        while True:
            before = _size(part)
            try:
                if _continue(file, part, settings.timeout_s, meter):
                    return
                reason: object = "the connection closed before the end"
            except urllib.error.HTTPError as error:
                if error.code not in _PASSING_STATUS:
                    raise _refused(file, f"status {error.code} {error.reason}") from None
                reason = f"status {error.code} {error.reason}"
                pause_s = max(pause_s, _asked_pause(error.headers))
            except (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError) as error:
                reason = getattr(error, "reason", None) or error or type(error).__name__
            n_failures = 0 if _size(part) > before else n_failures + 1
            if n_failures > settings.n_retries:
                raise _refused(file, f"{reason}, {n_failures} times", part)
            logger.info("%s: %s; trying again at %s bytes", file.name, reason, f"{_size(part):,}")
            time.sleep(min(pause_s, _LONGEST_PAUSE_S))
            pause_s = settings.first_pause_s if n_failures == 0 else pause_s * 2


def _continue(file: RemoteFile, part: Path, timeout_s: float, meter: Meter) -> bool:
    """Ask for what is missing and append it; tell whether the file is whole."""
    offset = _size(part)
    try:
        response = _open(file.url, _resuming_headers(part, offset), timeout_s)
    except urllib.error.HTTPError as error:
        if error.code != 416:  # "range not satisfiable": nothing follows, or it is another file now
            raise
        if _total_of_range(error.headers) == offset:
            return True
        part.unlink()
        return False
    with contextlib.closing(response):
        total = _expected_total(response, offset)
        if response.status != 206:
            offset = 0
        _remember_version(part, response.headers)
        meter.total, meter.done = total, offset
        with open(part, "r+b" if offset else "wb") as stream:
            stream.seek(offset)
            for block in _blocks(response):
                stream.write(block)
                meter.advance(len(block))
            stream.truncate()
    return total is None or _size(part) == total


def _blocks(response: Any) -> Iterator[bytes]:
    """Give the body in blocks; whatever the network raises is a broken connection, not a fault of the disk."""
    while True:
        try:
            block = response.read(_BLOCK_BYTES)
        except OSError as error:
            raise ConnectionError(error) from None
        if not block:
            return
        yield block


def _resuming_headers(part: Path, offset: int) -> dict[str, str]:
    """Ask for the rest of the same version of the file, or where no version was named, of whatever is there."""
    if offset == 0:
        return {}
    record = part.with_suffix(".from")
    version = record.read_text() if record.is_file() else ""
    return {"Range": f"bytes={offset}-", **({"If-Range": version} if version else {})}


def _remember_version(part: Path, headers: Message) -> None:
    """Keep the strong validator of the file, so that two versions are never sewn together."""
    etag = headers.get("ETag", "")
    version = etag if etag and not etag.startswith("W/") else headers.get("Last-Modified", "")
    part.with_suffix(".from").write_text(version)


def _expected_total(response: Any, offset: int) -> int | None:
    """Return the length of the whole file as the answer states it; None where it does not."""
    if response.status == 206:
        start = (response.headers.get("Content-Range") or "").removeprefix("bytes ").partition("-")[0]
        if start != str(offset):
            raise http.client.HTTPException(
                f"the server sent a range from {start or 'nowhere'}, not from {offset}"
            )
        return _total_of_range(response.headers)
    length = response.headers.get("Content-Length")
    return int(length) if length and length.isdigit() else None


def _total_of_range(headers: Message) -> int | None:
    total = (headers.get("Content-Range") or "").rpartition("/")[2]
    return int(total) if total.isdigit() else None


def _asked_pause(headers: Message) -> float:
    """Return the pause a busy server asks for, in seconds."""
    wish = headers.get("Retry-After", "")
    return float(wish) if wish.isdigit() else 0.0


class _CarefulRedirects(urllib.request.HTTPRedirectHandler):
    """Follow redirects to http(s) only, and never from https down to http."""

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        """Check where a redirect leads before following it."""
        _check_address(newurl)
        if req.full_url.startswith("https:") and not newurl.startswith("https:"):
            raise DownloadError(
                f"{req.full_url} leads from https to http",
                seen=newurl,
                allowed="https all the way",
                remedy="fetch the file by hand and check its digest",
            )
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _open(url: str, headers: dict[str, str], timeout_s: float) -> Any:
    """Open an address with an opener that knows http and https and nothing else."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        _CarefulRedirects(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.HTTPDefaultErrorHandler(),
    ):
        opener.add_handler(handler)
    agent = {"User-Agent": f"trilineage/{__version__}", "Accept-Encoding": "identity"}
    request = urllib.request.Request(url, headers={**agent, **headers})  # noqa: S310  (checked by _check_address)
    return opener.open(request, timeout=timeout_s)


def _check_address(url: str) -> None:
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in _SCHEMES or not parts.hostname:
        raise DownloadError(
            "an address that is not on the web",
            seen=url,
            allowed="http:// and https://",
            remedy="give the address of a public file",
        )


def _checked(file: RemoteFile, here: Path, target: Path) -> Download:
    """Compare the digest of the bytes with the published one, or with the one of the first time."""
    sha256, md5, n_bytes = _digests(here)
    expected, seen, whose = file.sha256, sha256, "published"
    if expected is None and file.md5 is not None:
        expected, seen = file.md5, md5
    recorded = _record(target.parent).get(file.name, {})
    if expected is None and recorded.get("url") == file.url:
        expected, whose = recorded.get("sha256"), "recorded the first time"
    if expected is not None and expected.lower() != seen:
        if here != target:
            here.unlink()
        raise DownloadError(
            f"{file.name} is not the file that was {whose}",
            seen=f"{seen} ({n_bytes:,} bytes)",
            allowed=expected,
            remedy="run the command again; if it stays so, the publisher has changed the file: remove "
            f"{target} and its line in {RECORD} only if you know why",
        )
    is_verified = bool(file.sha256 or file.md5)
    if not is_verified and not recorded:
        logger.warning(
            "%s: no published digest is known; trusted on first use, SHA-256 %s recorded", file.name, sha256
        )
    return Download(target, sha256, n_bytes, is_verified)


def _digests(path: Path) -> tuple[str, str, int]:
    """Return SHA-256, MD5 and size of a file in one reading."""
    sha256, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
    with open(path, "rb") as stream:
        while block := stream.read(1 << 20):
            sha256.update(block)
            md5.update(block)
    return sha256.hexdigest(), md5.hexdigest(), path.stat().st_size


def _record(folder: Path) -> dict[str, dict[str, Any]]:
    try:
        loaded = json.loads((folder / RECORD).read_text())
    except (OSError, ValueError):
        return {}
    return loaded if isinstance(loaded, dict) else {}


def _remember(file: RemoteFile, here: Download) -> None:
    """Write address, size and digest of a file into the record beside it."""
    record = _record(here.path.parent)
    entry = {"url": file.url, "sha256": here.sha256, "bytes": here.n_bytes, "verified": here.is_verified}
    if record.get(file.name) != entry:
        text = json.dumps({**record, file.name: entry}, indent=1, sort_keys=True)
        write_atomically(here.path.parent / RECORD, text.encode())


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _flush(path: Path) -> None:
    with open(path, "rb") as stream:
        os.fsync(stream.fileno())


def _refused(file: RemoteFile, reason: object, part: Path | None = None) -> DownloadError:
    kept = f"; {_size(part):,} bytes are kept and the same command goes on from there" if part else ""
    return DownloadError(
        f"cannot fetch {file.url}",
        seen=reason,
        allowed="a file that the server gives out",
        remedy=f"check the address and the network, or fetch {file.name} by hand{kept}",
    )


@contextlib.contextmanager
def _disk_explained(target: Path) -> Iterator[None]:
    """Turn what the disk says into a DownloadError; what has come so far stays."""
    try:
        yield
    except OSError as error:
        is_full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise DownloadError(
            f"cannot write {target}",
            seen="the disk is full" if is_full else error.strerror or error,
            allowed="a folder that can be written and has room",
            remedy="free space or choose another folder with --to, then run the same command again",
        ) from error
