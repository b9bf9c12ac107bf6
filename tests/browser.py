"""A headless Chromium that tests drive through a pipe: DevTools messages, NUL between them; no port, no library."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import signal
import subprocess
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
PATIENCE = 60.0
"""Seconds after which a browser hangs."""


def find() -> str | None:
    """The browser's program; None where there is none."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class Browser:
    """One page. What its console said, and what went wrong in it, is in `complaints`."""

    def __init__(self, home: Path, width: int = 1280, height: int = 900) -> None:
        program = find()
        assert program is not None
        ours, theirs = os.pipe(), os.pipe()  # what it reads, what it writes
        options = (
            *("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-extensions"),
            *("--remote-debugging-pipe", f"--user-data-dir={home}", f"--window-size={width},{height}", "about:blank"),
        )
        script = f'exec "$@" 3<&{ours[0]} 4>&{theirs[1]}'
        self._process = subprocess.Popen(
            ["bash", "-c", script, "browser", program, *options],
            pass_fds=(ours[0], theirs[1]),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            env={"PATH": os.environ["PATH"], "HOME": str(home), "TZ": "UTC"},
        )
        os.close(ours[0])
        os.close(theirs[1])
        self._to, self._from = ours[1], theirs[0]
        self._buffer = b""
        self._serial = 0
        self._events: list[dict[str, Any]] = []
        self.complaints: list[str] = []
        target = self._ask("Target.createTarget", {"url": "about:blank"}, "")["targetId"]
        self._session = self._ask("Target.attachToTarget", {"targetId": target, "flatten": True}, "")["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{domain}.enable")

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._to)
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            pass  # the end of its input is not always the end of it
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass  # it has ended with all of its own
        self._process.wait()
        os.close(self._from)

    # ------------------------------------------------------------ the pipe
    def ask(self, method: str, **given: Any) -> dict[str, Any]:
        """One DevTools command to the page."""
        return self._ask(method, given, self._session)

    def _ask(self, method: str, given: dict[str, Any], session: str) -> dict[str, Any]:
        self._serial += 1
        message = {"id": self._serial, "method": method, "params": given, **({"sessionId": session} if session else {})}
        left = memoryview(json.dumps(message).encode() + b"\0")
        while left:
            left = left[os.write(self._to, left) :]
        deadline = time.monotonic() + PATIENCE
        while True:
            found = self._next(deadline)
            if found.get("id") == self._serial:
                assert "error" not in found, (method, found)
                answer: dict[str, Any] = found["result"]
                return answer
            self._note(found)

    def _next(self, deadline: float) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._from], [], [], max(deadline - time.monotonic(), 0))
            assert ready, "the browser hangs"
            chunk = os.read(self._from, 1 << 20)
            assert chunk, "the browser has ended"
            self._buffer += chunk
        line, _, self._buffer = self._buffer.partition(b"\0")
        found: dict[str, Any] = json.loads(line)
        return found

    def _note(self, event: dict[str, Any]) -> None:
        method, given = event.get("method", ""), event.get("params", {})
        if method == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(given["exceptionDetails"])[:1000])
        elif method == "Runtime.consoleAPICalled":
            self.complaints.append(" ".join(str(arg.get("value")) for arg in given["args"]))
        elif method == "Log.entryAdded":
            self.complaints.append(given["entry"]["text"])
        elif method == "Network.requestWillBeSent":
            self._events.append(given)

    # ------------------------------------------------------------ what a person does
    @property
    def requests(self) -> list[str]:
        """Addresses that the page asked for."""
        return [event["request"]["url"] for event in self._events]

    def open(self, url: str) -> None:
        """Go there, and wait until the page says that it is ready."""
        self.ask("Page.navigate", url=url)
        self.until("document.documentElement?.dataset.ready")

    def run(self, script: str) -> Any:
        """What a script in the page comes to."""
        answer = self.ask("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def until(self, condition: str) -> None:
        """Wait for something to become true in the page."""
        deadline = time.monotonic() + PATIENCE
        while not self.run(f"!!({condition})"):
            assert time.monotonic() < deadline, f"never: {condition}"
            time.sleep(0.02)

    def key(self, key: str, text: str = "") -> None:
        """Press a key."""
        self.ask("Input.dispatchKeyEvent", type="keyDown", key=key, text=text)
        self.ask("Input.dispatchKeyEvent", type="keyUp", key=key)

    def mouse(self, kind: str, x: float, y: float, **more: Any) -> None:
        """Move or press the mouse."""
        self.ask("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)

    def look(self, dark: bool = False, width: int = 1280, height: int = 900, media: str = "") -> None:
        """Change the theme that the system asks for, and the size of the window."""
        features = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.ask("Emulation.setEmulatedMedia", features=features, media=media)
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def picture(self, file: Path, whole: bool = False) -> None:
        """Take a screenshot."""
        shot = self.ask("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        file.write_bytes(base64.b64decode(shot["data"]))

    def pdf(self, file: Path) -> None:
        """Print it."""
        file.write_bytes(base64.b64decode(self.ask("Page.printToPDF", printBackground=True)["data"]))
