"""Real agent clients, offline, against a scripted model.

Set AGENTSYNC_REALCLIENTS to the folder of the harness (it holds `harness/` and `install.sh`). Without it, or without a
client that a test asks for, that test is skipped and says so.

    world = sessions(clients=("codex", "claude"))           a repository with the hooks of both
    codex = DRIVERS["codex"]                                what its model calls the tools
    world.run("a", [codex.edit("hello.txt", "hello world", "goodbye world")], client="codex")
    assert "is working" in world.seen("a")                  what reached its model

To add a client: an entry in `DRIVERS`.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Turn = dict[str, Any]

HARNESS = os.environ.get("AGENTSYNC_REALCLIENTS", "")

if HARNESS:
    # The harness looks for clients below the home folder, and every test has a home of its own.
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    os.environ.setdefault("REALCLIENTS_ROOT", str(cache / "realclients"))
    sys.path.insert(0, HARNESS)

MARKS = [
    pytest.mark.realclient,
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),  # the harness leaves pipes open
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]
"""What a module of such tests has as its `pytestmark`."""


# ---------------------------------------------------------------- what a model does
def turn(tool: str, given: Any, **extra: Any) -> Turn:
    """A turn in which the model calls one tool; `call=FUNCTION` runs while it thinks."""
    return {"tools": [{"name": tool, "input": given}], **extra}


def read(name: str) -> Turn:
    """A turn in which Claude's model reads a file, which it must before an edit."""
    return turn("Read", {"file_path": f"${{REPO}}/{name}"})


def edit(name: str, old: str, new: str, **extra: Any) -> Turn:
    """A turn in which it edits one."""
    return turn("Edit", {"file_path": f"${{REPO}}/{name}", "old_string": old, "new_string": new}, **extra)


def write(name: str, text: str, **extra: Any) -> Turn:
    """A turn in which it writes one."""
    return turn("Write", {"file_path": f"${{REPO}}/{name}", "content": text}, **extra)


def shell(command: str, **extra: Any) -> Turn:
    """A turn in which it runs a command."""
    return turn("Bash", {"command": command, "description": "run"}, **extra)


def patch(*lines: str, **extra: Any) -> Turn:
    """A turn in which Codex's model applies a patch."""
    return turn("apply_patch", "\n".join(["*** Begin Patch", *lines, "*** End Patch"]), **extra)


def _codex_edit(name: str, old: str, new: str, **extra: Any) -> Turn:
    return patch(f"*** Update File: {name}", "@@", f"-{old}", f"+{new}", **extra)


def _codex_write(name: str, text: str, **extra: Any) -> Turn:
    return patch(f"*** Add File: {name}", *(f"+{line}" for line in text.splitlines()), **extra)


def _codex_shell(command: str, **extra: Any) -> Turn:
    return turn("exec_command", {"cmd": command}, **extra)


def _gemini_edit(name: str, old: str, new: str, **extra: Any) -> Turn:
    given = {"file_path": f"${{REPO}}/{name}", "instruction": "edit", "old_string": old, "new_string": new}
    return turn("replace", given, **extra)


def _gemini_write(name: str, text: str, **extra: Any) -> Turn:
    return turn("write_file", {"file_path": f"${{REPO}}/{name}", "content": text}, **extra)


def _gemini_shell(command: str, **extra: Any) -> Turn:
    return turn("run_shell_command", {"command": command, "description": "run"}, **extra)


def _opencode_edit(name: str, old: str, new: str, **extra: Any) -> Turn:
    return turn("edit", {"filePath": f"${{REPO}}/{name}", "oldString": old, "newString": new}, **extra)


def _opencode_write(name: str, text: str, **extra: Any) -> Turn:
    return turn("write", {"filePath": f"${{REPO}}/{name}", "content": text}, **extra)


def _small_shell(command: str, **extra: Any) -> Turn:
    return turn("bash", {"command": command, "description": "run"}, **extra)


def _copilot_edit(name: str, old: str, new: str, **extra: Any) -> Turn:
    return turn("edit", {"path": f"${{REPO}}/{name}", "old_str": old, "new_str": new}, **extra)


def _copilot_write(name: str, text: str, **extra: Any) -> Turn:
    return turn("create", {"path": f"${{REPO}}/{name}", "file_text": text}, **extra)


class Driver(NamedTuple):
    """How a client is run by `harness.<client>`, and what its model calls the tools."""

    protocol: str
    """The model's side: a class of the harness, as `module.Class`."""
    edit: Callable[..., Turn]
    """`edit(name, old, new)`: replaces one whole line of a file."""
    write: Callable[..., Turn]
    """`write(name, text)`: makes a file."""
    shell: Callable[..., Turn]
    """`shell(command)`."""
    options: dict[str, Any]
    """More for the harness's `run`, unless a test says otherwise."""


DRIVERS = {
    "claude": Driver("anthropic_api.Anthropic", edit, write, shell, {}),
    "codex": Driver("openai_api.Responses", _codex_edit, _codex_write, _codex_shell, {}),
    "gemini": Driver("gemini_api.Gemini", _gemini_edit, _gemini_write, _gemini_shell, {}),
    "opencode": Driver("anthropic_api.Anthropic", _opencode_edit, _opencode_write, _small_shell, {}),
    "copilot": Driver(
        "anthropic_api.Anthropic",
        _copilot_edit,
        _copilot_write,
        _small_shell,
        {"extra_args": ("--allow-all-paths",)},
    ),
}


# ---------------------------------------------------------------- sessions
class Sessions:
    """Real sessions in one repository, and what reached their models."""

    def __init__(self, tmp_path: Path, repo_name: str = "repo", clients: tuple[str, ...] = ("claude",)) -> None:
        from harness.core import Recorder, make_repo

        self.tmp = tmp_path
        self.clients = clients
        self.repo = make_repo(tmp_path / repo_name, {"hello.txt": "hello world\n", "other.txt": "other\n"})
        self.recorder = Recorder()
        self.servers: dict[str, Any] = {}
        self.bin = tmp_path / "bin"
        self.bin.mkdir()
        (self.bin / "agent-sync").symlink_to(Path(sys.executable).with_name("agent-sync"))
        self.cli = str(self.bin / "agent-sync")
        """The command as a shell finds it; a client may start login shells, which have a PATH of their own."""

    def command(self, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
        """Run the installed `agent-sync` in the repository."""
        clean = {"PATH": os.environ["PATH"], "HOME": str(self.tmp), "AGENT_SYNC_ID": "observer", **env}
        return subprocess.run([self.cli, *words], cwd=self.repo, env=clean, capture_output=True, text=True)

    def data(self, *words: str) -> Any:
        """What a command says with `--json`."""
        done = self.command(*words, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def agent(self, client: str) -> dict[str, Any]:
        """The only agent of a client that is on the board."""
        (found,) = [agent for agent in self.data("status")["agents"] if agent["client"] == client]
        return dict(found)

    def run(
        self,
        name: str,
        turns: list[Turn],
        prompts: list[str] | None = None,
        env: dict[str, str] | None = None,
        client: str | None = None,
        cwd: str = "",
        routes: list[dict[str, Any]] | None = None,
        **options: Any,
    ) -> Any:
        """Run one session to its end.

        Args:
            name: Of the session, for `requests` and `seen`.
            turns: What its model says.
            prompts: What its user says.
            env: More variables for the client.
            client: Which; else the first of those that the repository was made for.
            cwd: Where below the repository.
            routes: What the models of subagents say.
            options: More for the harness's `run`.
        """
        from harness.core import Script

        client = client or self.clients[0]
        script = Script(
            {"prompts": prompts or ["Go."], "turns": turns, "routes": routes or []}, {"REPO": str(self.repo)}
        )
        url = self._server(DRIVERS[client].protocol).session(name, script)
        path = f"{self.bin}:/usr/local/bin:/usr/bin:/bin"
        return importlib.import_module(f"harness.{client}").run(
            self.repo / cwd,
            self.tmp / f"home-{name}",
            url,
            script.prompts,
            extra_env={"PATH": path, **(env or {})},
            **{**DRIVERS[client].options, **options},
        )

    def _server(self, protocol: str) -> Any:
        from harness.core import FakeServer

        if protocol not in self.servers:
            module, _, kind = protocol.partition(".")
            provider = getattr(importlib.import_module(f"harness.{module}"), kind)()
            self.servers[protocol] = FakeServer(provider, self.recorder)
        return self.servers[protocol]

    def close(self) -> None:
        """Stop the models."""
        for server in self.servers.values():
            server.close()

    def requests(self, name: str) -> list[dict[str, Any]]:
        """What a session sent to its model, in order."""
        return [row for row in self.recorder.rows if row.get("session") == name and row.get("route") == "main"]

    def bodies(self, name: str) -> list[str]:
        """The same as text."""
        return [json.dumps(row["body"], ensure_ascii=False) for row in self.requests(name)]

    def seen(self, name: str) -> str:
        """Everything that a session's model was told, as text."""
        return self.bodies(name)[-1]

    def first_seen(self, name: str, words: str) -> int | None:
        """The number of the request in which the model sees some words for the first time."""
        return next((number for number, body in enumerate(self.bodies(name)) if words in body), None)

    def sends(self, client: str, body: str, *options: str) -> Callable[[object], None]:
        """For a turn's `call`: writes to the only session of a client while its model thinks."""

        def send(_request: object) -> None:
            done = self.command("send", "--to", self.agent(client)["id"], "--message", body, *options)
            assert done.returncode == 0, done.stderr

        return send

    def background(self, name: str, turns: list[Turn], **options: Any) -> Background:
        """Run a session beside the test."""
        return Background(self, name, turns, **options)


class Background:
    """A session that runs beside the test."""

    def __init__(self, sessions: Sessions, name: str, turns: list[Turn], **options: Any) -> None:
        self.process: Any = None
        self.result: Any = None

        def work() -> None:
            self.result = sessions.run(name, turns, on_start=self._started, **options)

        self.thread = threading.Thread(target=work)
        self.thread.start()

    def _started(self, process: Any) -> None:
        self.process = process

    def join(self) -> None:
        self.thread.join(90)
        assert not self.thread.is_alive()


def wait_for(path: Path, seconds: float = 60) -> None:
    """Wait until a file is there."""
    end = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < end, f"{path.name} did not come"
        time.sleep(0.02)


def _skip_without(client: str) -> None:
    program = importlib.import_module(f"harness.{client}").BIN
    if not program.exists():
        pytest.skip(f"no real client: {client} is not installed ({program})")


@pytest.fixture
def sessions(tmp_path: Path) -> Iterator[Callable[..., Sessions]]:
    """Makes a repository for real sessions, with the hooks of some clients installed."""
    if not HARNESS:
        pytest.skip("no real client: AGENTSYNC_REALCLIENTS does not name the harness")
    from harness.core import enter_netns

    made: list[Sessions] = []

    def make(repo_name: str = "repo", *options: str, clients: tuple[str, ...] = ("claude",)) -> Sessions:
        for client in clients:
            _skip_without(client)
        found = Sessions(tmp_path, repo_name, clients)
        made.append(found)
        chosen = [word for client in clients for word in ("--client", client)]
        done = found.command("install", *chosen, *options)
        assert done.returncode == 0, done.stderr
        return found

    outside = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    inside = enter_netns()  # loopback only, for this thread and what it starts; needs root
    try:
        yield make
    finally:
        for found in made:
            found.close()
        if inside:  # other tests of this process may need the package index
            assert ctypes.CDLL(None, use_errno=True).setns(outside, 0) == 0
        os.close(outside)
