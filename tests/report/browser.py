"""Pages in headless Chromium, spoken to over its debugging pipe: axe-core, sizes of windows, light and dark, keys.

No driver is needed: the browser reads commands as JSON from file descriptor 3 and answers on 4, each ended by a zero
byte.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

VIEWS: tuple[tuple[str, int, tuple[str, ...]], ...] = (
    ("light", 1280, ()),
    ("dark", 390, ("color-contrast", "scrollable-region-focusable")),
)
"""Theme, width and rules: all of them once, and in the dark and on a phone those that may come out otherwise there."""
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--no-first-run",
)

_ALIKE = ("tbody > tr", "dl > dt", "dl > dd", "li", ".gallery > figure", ".case .cells > *")
"""What stands many times on a page and is made the same way each time: three of each kind are looked at."""
_AXE = """
(async (alike, rules) => {
  for (const fold of document.querySelectorAll("details")) fold.open = true;
  for (const part of document.querySelectorAll("svg[role=img] > :not(title, desc)")) part.remove();
  for (const kind of alike) for (const one of document.querySelectorAll(`${kind}:nth-of-type(n + 4)`)) one.remove();
  const only = rules ? { runOnly: rules } : {};
  const found = await axe.run(document, { resultTypes: ["violations"], preload: false, ...only });
  return found.violations.map((one) => [one.id, one.nodes.length, one.nodes[0].html.slice(0, 200)]);
})
"""
_LOADED = """
new Promise((done) => document.readyState === "complete" ? done() : addEventListener("load", () => done()))
"""


class Browser:
    """One window of a browser."""

    def __init__(self, to_browser: int, from_browser: int):
        self._out, self._in = os.fdopen(to_browser, "wb", 0), os.fdopen(from_browser, "rb")
        self._number, self._waiting, self._session = 0, b"", ""
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]

    def send(self, method: str, **parameters: Any) -> Any:
        """Send a command and return its answer."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        message |= {"sessionId": self._session} if self._session else {}
        self._out.write(json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                return answer["result"]

    def open(self, page: Path, *, width: int = 1280, theme: str = "light") -> None:
        """Show a page in a window of a width, for a reader who prefers light or dark, and wait for it."""
        scheme = [{"name": "prefers-color-scheme", "value": theme}]
        self.send("Emulation.setEmulatedMedia", features=scheme)
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
        self.send("Emulation.setDeviceMetricsOverride", **size)
        self.send("Page.navigate", url=page.resolve().as_uri())
        self.ask(_LOADED)

    def ask(self, expression: str) -> Any:
        """Return the value of an expression of JavaScript, waited for where it is a promise."""
        answer = self.send("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def press(self, key: str) -> None:
        """Press and release a key."""
        code = {"Tab": 9, "Enter": 13, " ": 32}[key]
        about = {"key": key, "code": "Space" if key == " " else key, "windowsVirtualKeyCode": code}
        text = {"Enter": "\r", " ": " "}.get(key)
        self.send("Input.dispatchKeyEvent", type="keyDown", **about, **({"text": text} if text else {}))
        self.send("Input.dispatchKeyEvent", type="keyUp", **about)

    def close(self) -> None:
        """Close both ends of the pipe, upon which the browser ends."""
        self._out.close()
        self._in.close()

    def violations(self, rules: tuple[str, ...] = ()) -> list[tuple[str, int, str]]:
        """Return what axe finds: rule, number of places, first place; and by how much the page is too wide.

        Folds are opened first. The inside of drawings is left out, which stands behind their title and description, and
        so is what stands many times and is made alike: axe would take minutes over them.

        Parameters
        ----------
        rules
            Rules to check; none: all.
        """
        too_wide = self.ask("document.documentElement.scrollWidth - window.innerWidth")
        self.ask(files("axe_core_python").joinpath("axe.min.js").read_text() + "; null")
        rows = [tuple(row) for row in self.ask(f"{_AXE}({json.dumps(_ALIKE)}, {json.dumps(rules or None)})")]
        return [*rows, *([("wider than the window", too_wide, "")] if too_wide > 0 else [])]

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._waiting:
            part = os.read(self._in.fileno(), 1 << 16)
            assert part, "the browser has ended"
            self._waiting += part
        text, _, self._waiting = self._waiting.partition(b"\0")
        return json.loads(text)


@contextmanager
def opened_browser(folder: Path) -> Iterator[Browser]:
    """Start a browser that keeps its profile in a folder; skip the test where there is none, or no axe."""
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        pytest.skip("no Chromium on this machine")
    pytest.importorskip("axe_core_python", reason="axe-core-python is not installed")
    theirs_in, ours_out = os.pipe()
    ours_in, theirs_out = os.pipe()
    flags = " ".join([*FLAGS, "--remote-debugging-pipe", f"--user-data-dir='{folder / 'browser'}'"])
    shell = f'exec "{found}" {flags} about:blank 3<&{theirs_in} 4>&{theirs_out} 2>/dev/null'
    process = subprocess.Popen(
        ["/bin/bash", "-c", shell], pass_fds=(theirs_in, theirs_out), stdout=subprocess.DEVNULL
    )
    os.close(theirs_in)
    os.close(theirs_out)
    opened = Browser(ours_out, ours_in)
    try:
        yield opened
    finally:
        opened.close()
        process.terminate()
        process.wait(20)


def looked_at(browser: Browser, pages: Iterable[Path]) -> dict[str, list[tuple[str, int, str]]]:
    """Return what is wrong with pages: light at the width of a desk, dark at that of a phone; empty if all is well."""
    found = {}
    for page in pages:
        for theme, width, rules in VIEWS:
            browser.open(page, width=width, theme=theme)
            rows = browser.violations(rules)
            if rows:
                found[f"{page.parent.name}/{page.name}, {theme}, {width} px"] = rows
    return found
