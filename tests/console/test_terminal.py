"""The console on a real terminal, which is tmux: keys go in, and what is seen comes out."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from repos import Committer, Shop

pytest.importorskip("textual")
TMUX = shutil.which("tmux")
pytestmark = pytest.mark.skipif(TMUX is None, reason="tmux is not installed, so there is no terminal to look at")


class Terminal:
    """One tmux server with one window."""

    def __init__(self, shop: Shop, width: int, height: int, **env: str) -> None:
        self.shop = shop
        person = shop.agent("", TERM="xterm-256color", LC_ALL="C.UTF-8", **env)
        self.env = person.env
        self.folder = tempfile.mkdtemp(prefix="tmux-")  # a socket's path has 107 characters at most
        self.socket = f"{self.folder}/s"
        self.pidfile = shop.home / "console.pid"
        command = shlex.join([sys.executable, "-P", "-m", "agentsync", "console"])
        # `exec` in a subshell whose pid is written first: that is the console's.
        line = f"sh -c 'echo $$ >{self.pidfile}; exec {command}'; echo code=$?; exec cat"
        self.tmux("new-session", "-d", "-x", str(width), "-y", str(height), "-c", str(shop.root), line)

    def tmux(self, *words: str) -> str:
        assert TMUX is not None
        done = subprocess.run(
            [TMUX, "-S", self.socket, "-f", os.devnull, *words],
            env=self.env,
            capture_output=True,
            text=True,
            timeout=30,
        )
        return done.stdout

    @property
    def pid(self) -> int:
        return int(self.pidfile.read_text())

    def close(self) -> None:
        self.tmux("kill-server")
        shutil.rmtree(self.folder)

    def types(self, *keys: str) -> None:
        self.tmux("send-keys", *keys)

    def screen(self, *how: str) -> str:
        return self.tmux("capture-pane", "-p", *how)

    def until(self, what: str | Callable[[], object], seconds: float = 30) -> str:
        end = time.monotonic() + seconds
        while not (what in (text := self.screen()) if isinstance(what, str) else what()):
            assert time.monotonic() < end, text
            time.sleep(0.05)
        return self.screen()


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


@pytest.fixture
def alice(shop: Shop) -> Committer:
    somebody = shop.agent("alice")
    assert somebody.does("lock", "src/app.py", "--reason", "the new endpoint").code == 0
    return somebody


@pytest.fixture
def opens(shop: Shop) -> Iterator[Callable[..., Terminal]]:
    opened: list[Terminal] = []

    def open_one(width: int = 80, height: int = 24, **env: str) -> Terminal:
        opened.append(Terminal(shop, width, height, **env))
        return opened[-1]

    yield open_one
    for terminal in opened:
        terminal.close()


def test_it_shows_what_is_and_comes_to_be_at_any_size(alice: Committer, opens: Callable[..., Terminal]) -> None:
    terminal = opens()
    terminal.until("1 Agents 1")
    terminal.types("2")
    terminal.until("the new endpoint")
    alice.does("lock", "docs/")
    terminal.until("2 Locks 2")
    terminal.tmux("resize-window", "-x", "160", "-y", "40")
    terminal.until("holder: ")  # where there is room the story stands beside
    terminal.until("o decision")


def test_it_leaves_the_terminal_as_it_was(alice: Committer, opens: Callable[..., Terminal]) -> None:
    terminal = opens()
    terminal.until("1 Agents 1")
    terminal.types("q")
    assert "Agents" not in terminal.until("code=0")


@pytest.mark.parametrize("how", ["kill-session", "SIGTERM", "SIGKILL"])
def test_a_freeze_ends_with_the_console_however_that_ends(
    how: str, shop: Shop, alice: Committer, opens: Callable[..., Terminal]
) -> None:
    terminal = opens()
    terminal.until("1 Agents 1")
    terminal.types("f")
    terminal.until("1 lock of 1 agent")
    terminal.types("y")
    terminal.until("FROZEN")
    assert alice.does("check", "src/app.py").code == 3
    if how == "kill-session":
        terminal.tmux("kill-session")
    else:
        os.kill(terminal.pid, getattr(signal, how))
    end = time.monotonic() + 30
    while alice.does("check", "src/app.py").code != 0:
        assert time.monotonic() < end, "it is still frozen"
    if how != "SIGKILL":
        assert shop.locks() == {}
    if how == "SIGTERM":
        terminal.until("code=143")


def test_without_colours_there_are_none(alice: Committer, opens: Callable[..., Terminal]) -> None:
    terminal = opens(NO_COLOR="1")
    terminal.until("1 Agents 1")
    painted = terminal.screen("-e")
    codes = {code for part in painted.split("\x1b[")[1:] for code in part.partition("m")[0].split(";")}
    colours = codes & {str(code) for code in (*range(31, 37), *range(41, 47), *range(91, 97))}
    assert not colours
    channels = [part.partition("m")[0].split(";") for part in painted.split("\x1b[")[1:] if ";2;" in part]
    assert all(len(set(found[-3:])) == 1 for found in channels), "what is left is grey"


def test_the_theme_can_be_changed(alice: Committer, opens: Callable[..., Terminal]) -> None:
    terminal = opens(COLORFGBG="0;15")
    terminal.until("1 Agents 1")
    light = terminal.screen("-e")
    terminal.types("t")
    terminal.until(lambda: terminal.screen("-e") != light)
    terminal.types("q")
    terminal.until("code=0")
