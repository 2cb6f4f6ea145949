"""Downloads against a local server: whole, resumed, refused, checked; nothing half done under the final name."""

import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from trilineage.core.errors import DownloadError
from trilineage.data import download as module
from trilineage.data.download import RECORD, DownloadSettings, RemoteFile, cache_folder, download

BODY = bytes(range(256)) * 4000
SHA256, MD5 = hashlib.sha256(BODY).hexdigest(), hashlib.md5(BODY).hexdigest()
QUICK = DownloadSettings(timeout_s=5, n_retries=2, first_pause_s=0.0)


class Server(BaseHTTPRequestHandler):
    """Serves BODY by path: /ranges, /plain, /breaks (closes early each time), /busy, /missing, /leads, /away."""

    protocol_version = "HTTP/1.1"
    asked: list[str | None] = []
    body, etag, chunk, refusals = BODY, '"one"', 300_000, 0

    def do_GET(self):
        kind = self.path.strip("/")
        type(self).asked.append(self.headers["Range"])
        if kind == "missing":
            return self._answer(404, b"no")
        if kind == "leads":
            return self._answer(302, b"", {"Location": "/ranges"})
        if kind == "away":
            return self._answer(302, b"", {"Location": "ftp://example.org/file"})
        if kind == "busy" and type(self).refusals < 2:
            type(self).refusals += 1
            return self._answer(503, b"", {"Retry-After": "0"})
        return self._file(kind)

    def _file(self, kind):
        body, start = type(self).body, 0
        is_same = self.headers["If-Range"] in (None, type(self).etag)
        if self.headers["Range"] and kind != "plain" and is_same:
            start = int(self.headers["Range"].removeprefix("bytes=").rstrip("-"))
            if start >= len(body):
                return self._answer(416, b"", {"Content-Range": f"bytes */{len(body)}"})
        rest = body[start:]
        extra = {"Content-Range": f"bytes {start}-{len(body) - 1}/{len(body)}"} if start else {}
        if kind == "breaks":
            return self._broken(206 if start else 200, rest, extra)
        return self._answer(206 if start else 200, rest, extra)

    def _broken(self, status, rest, extra):
        self._head(status, len(rest), extra)
        self.wfile.write(rest[: type(self).chunk])
        self.close_connection = True

    def _answer(self, status, body, extra=None):
        self._head(status, len(body), extra or {})
        self.wfile.write(body)

    def _head(self, status, length, extra):
        self.send_response(status)
        for name, value in {"Content-Length": length, "ETag": type(self).etag, **extra}.items():
            self.send_header(name, str(value))
        self.end_headers()

    def log_message(self, *words):
        pass


@pytest.fixture
def server(monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    handler = type("Fresh", (Server,), {"asked": [], "refusals": 0})
    running = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    running.daemon_threads = True
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    handler.url = f"http://127.0.0.1:{running.server_port}"
    yield handler
    running.shutdown()
    thread.join()
    running.server_close()


def remote(server, kind: str, **digests: str) -> RemoteFile:
    return RemoteFile(f"{server.url}/{kind}", "cells.bin", **digests)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.mark.parametrize("digest", [{"sha256": SHA256}, {"md5": MD5}, {"sha256": SHA256.upper()}])
def test_a_file_comes_whole_and_its_published_digest_is_checked(server, tmp_path, digest):
    here = download(remote(server, "ranges", **digest), tmp_path, QUICK)
    assert here.path.read_bytes() == BODY
    assert (here.sha256, here.n_bytes, here.is_verified) == (SHA256, len(BODY), True)
    assert names(tmp_path) == {"cells.bin", RECORD}


def test_what_is_there_already_is_not_fetched_again(server, tmp_path):
    download(remote(server, "ranges", sha256=SHA256), tmp_path, QUICK)
    download(remote(server, "ranges", sha256=SHA256), tmp_path, QUICK)
    assert len(server.asked) == 1


def test_a_connection_that_breaks_again_and_again_still_ends_well(server, tmp_path):
    here = download(remote(server, "breaks", sha256=SHA256), tmp_path, QUICK)
    assert here.path.read_bytes() == BODY
    assert server.asked == [None, "bytes=300000-", "bytes=600000-", "bytes=900000-"]


def test_a_later_call_goes_on_from_what_was_kept(server, tmp_path):
    (tmp_path / ".cells.bin.part").write_bytes(BODY[:1000])
    assert download(remote(server, "ranges", sha256=SHA256), tmp_path, QUICK).sha256 == SHA256
    assert server.asked == ["bytes=1000-"]


def test_a_part_that_is_complete_already_is_only_checked(server, tmp_path):
    (tmp_path / ".cells.bin.part").write_bytes(BODY)
    assert download(remote(server, "ranges", sha256=SHA256), tmp_path, QUICK).n_bytes == len(BODY)


def test_a_server_without_ranges_sends_all_of_it_again(server, tmp_path):
    (tmp_path / ".cells.bin.part").write_bytes(b"x" * 1000)
    assert download(remote(server, "plain", sha256=SHA256), tmp_path, QUICK).path.read_bytes() == BODY


def test_two_versions_of_a_file_are_never_sewn_together(server, tmp_path):
    (tmp_path / ".cells.bin.part").write_bytes(b"old" * 1000)
    (tmp_path / ".cells.bin.from").write_text('"zero"')
    assert download(remote(server, "ranges"), tmp_path, QUICK).path.read_bytes() == BODY


def test_a_busy_server_is_asked_again(server, tmp_path):
    assert download(remote(server, "busy", md5=MD5), tmp_path, QUICK).is_verified
    assert len(server.asked) == 3


def test_a_redirect_is_followed_to_http_only(server, tmp_path):
    assert download(remote(server, "leads", md5=MD5), tmp_path, QUICK).is_verified
    with pytest.raises(DownloadError, match="not on the web"):
        download(remote(server, "away"), tmp_path / "other", QUICK)


def test_a_status_that_will_not_change_is_said_at_once(server, tmp_path):
    with pytest.raises(DownloadError, match="status 404"):
        download(remote(server, "missing"), tmp_path, QUICK)
    assert len(server.asked) == 1


def test_a_server_that_stays_away_is_given_up_with_what_came_kept(server, tmp_path):
    server.chunk = 0
    (tmp_path / ".cells.bin.part").write_bytes(BODY[:77])
    with pytest.raises(DownloadError, match=r"closed before the end, 3 times.*77 bytes are kept"):
        download(remote(server, "breaks"), tmp_path, QUICK)
    assert (tmp_path / ".cells.bin.part").read_bytes() == BODY[:77]


def test_wrong_bytes_are_refused_with_both_digests_and_leave_nothing(server, tmp_path):
    wrong = "0" * 64
    with pytest.raises(DownloadError, match=f"{SHA256}.*{wrong}"):
        download(remote(server, "ranges", sha256=wrong), tmp_path, QUICK)
    assert not (tmp_path / "cells.bin").exists()
    assert not (tmp_path / ".cells.bin.part").exists()


def test_without_a_published_digest_the_first_one_seen_is_kept_and_held_against_later_ones(
    server, tmp_path, caplog
):
    here = download(remote(server, "ranges"), tmp_path, QUICK)
    assert not here.is_verified
    assert f"trusted on first use, SHA-256 {SHA256}" in caplog.text
    assert json.loads((tmp_path / RECORD).read_text())["cells.bin"]["sha256"] == SHA256
    here.path.unlink()
    server.body, server.etag = BODY[::-1], '"two"'
    with pytest.raises(DownloadError, match="recorded the first time"):
        download(remote(server, "ranges"), tmp_path, QUICK)


def test_a_file_that_was_changed_here_is_noticed(server, tmp_path):
    download(remote(server, "ranges"), tmp_path, QUICK).path.write_bytes(b"changed")
    with pytest.raises(DownloadError, match="not the file that was recorded"):
        download(remote(server, "ranges"), tmp_path, QUICK)


@pytest.mark.parametrize(
    "url", ["file:///etc/hosts", "ftp://example.org/x", "data:text/plain,x", "cells.zip", "http:///x"]
)
def test_only_the_web_is_asked(url, tmp_path):
    with pytest.raises(DownloadError, match="not on the web"):
        download(RemoteFile(url, "x"), tmp_path, QUICK)


def test_a_full_disk_is_named(server, tmp_path, monkeypatch):
    def full(response):
        raise OSError(28, "No space left on device")
        yield

    monkeypatch.setattr(module, "_blocks", full)
    with pytest.raises(DownloadError, match="the disk is full"):
        download(remote(server, "ranges"), tmp_path, QUICK)


def test_the_cache_is_where_the_platform_wants_it(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "trilineage"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder().is_relative_to(Path.home())
