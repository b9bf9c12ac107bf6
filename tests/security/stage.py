"""Mallory, who controls every word that an agent can choose, and Alice, who looks at the board in every way there is.

Both run in this process: `types` is a command line, `hooks` a call of a client's hook.
"""

from __future__ import annotations

import io
import json
import os
import sys
import tempfile
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from world import make_repo

from agentsync.__main__ import main
from agentsync.core.visible import is_visible
from agentsync.hook.entry import main as hook
from agentsync.render.frame import CLOSE, OPEN

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pytest

MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
"""Where syncing costs nothing."""

MARK = "OBEY"
"""In each of Mallory's words. Alice never types it."""

SESSION = "0f0e0d0c-1111-4222-8333-0123456789ab"
ALICE = "alice"


class Said(NamedTuple):
    """What came of a command or a hook."""

    code: int
    out: str
    err: str


class Stage:
    """One repository."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
        self.root = root
        self.state = root / ".claude/coordination"
        self._monkeypatch = monkeypatch
        self._capfd = capfd

    @contextmanager
    def _as(self, agent: str, stdin: bytes, cwd: Path | None, env: dict[str, str]) -> Iterator[None]:
        with self._monkeypatch.context() as here:
            for name, value in {"AGENT_SYNC_ID": agent, "NO_COLOR": "1", **env}.items():
                here.setenv(name, value)
            here.chdir(cwd or self.root)
            here.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
            self._capfd.readouterr()
            yield

    def types(self, agent: str, *words: str, stdin: bytes = b"", cwd: Path | None = None, **env: str) -> Said:
        with self._as(agent, stdin, cwd, env):
            self._monkeypatch.setattr(sys, "argv", ["agent-sync", *words])
            code = main()
            said = self._capfd.readouterr()
        return Said(code, said.out, said.err)

    def hooks(self, agent: str, event: str, path: str | None = None, cwd: Path | None = None, **more: object) -> Said:
        payload: dict[str, object] = {"session_id": SESSION, "cwd": str(cwd or self.root), **more}
        if path is not None:
            payload |= {"tool_name": "Edit", "tool_input": {"file_path": str((cwd or self.root) / path)}}
        return self.raw(agent, event, json.dumps(payload).encode(), cwd)

    def raw(self, agent: str, event: str, payload: bytes, cwd: Path | None = None, **env: str) -> Said:
        with self._as(agent, payload, cwd, env):
            code = hook([event])
            said = self._capfd.readouterr()
        return Said(code, said.out, said.err)

    def makes(self, agent: str, *words: str, code: int = 0) -> str:
        """A command that must go as expected; its standard output."""
        said = self.types(agent, *words)
        assert said.code == code, (words, said)
        return said.out

    def task(self, agent: str, title: str, *more: str) -> str:
        return str(json.loads(self.makes(agent, "create-task", title, *more, "--json"))["id"])


@contextmanager
def stages(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], *names: str
) -> Iterator[tuple[Stage, ...]]:
    from pathlib import Path

    with tempfile.TemporaryDirectory(dir=MEMORY) as top:
        yield tuple(
            Stage(make_repo(Path(top) / name, {"src/app.py": "x\n", "free.py": "x\n"}), monkeypatch, capfd)
            for name in names
        )


# ---------------------------------------------------------------- what must be true of every text
def frames(text: str) -> tuple[list[str], list[str]]:
    """The lines outside and inside of frames, which must be whole, in turn, and forged nowhere."""
    outside: list[str] = []
    inside: list[str] = []
    is_open = False
    for line in text.split("\n"):
        if line in (OPEN, CLOSE):
            assert is_open == (line == CLOSE), text
            is_open = not is_open
            continue
        assert "<agent-sync-state" not in line, text
        assert "</agent-sync-state" not in line, text
        (inside if is_open else outside).append(line)
    assert not is_open, text
    return outside, inside


def check_text(text: str, where: object) -> None:
    """What a model may be shown: Mallory's words only inside of a frame, and nothing but visible characters."""
    for line in text.split("\n"):
        assert all(map(is_visible, line)), (where, line)
    outside, _ = frames(text)
    for line in outside:
        assert MARK not in line, (where, line)


def check_json(text: str, where: object) -> None:
    """One document, or one in each line, in which nothing invisible stands as it is."""
    assert all(c == "\n" or is_visible(c) for c in text), (where, text)
    try:
        json.loads(text)
    except ValueError:
        for line in text.splitlines():
            json.loads(line)


TO_THE_MODEL = (
    *("additionalContext", "permissionDecisionReason"),  # Claude Code, Codex, Copilot CLI, Gemini CLI
    *("reason", "additional_context", "agent_message", "followup_message"),  # the others, and Stop
)


def context_of(said: Said) -> str:
    """What a hook tells the model, in whatever client's words; nothing when it printed nothing."""
    if not said.out:
        return ""
    answer = json.loads(said.out)
    found = answer.get("hookSpecificOutput", answer)
    (text,) = {str(found[key]) for key in TO_THE_MODEL if key in found}
    return text
