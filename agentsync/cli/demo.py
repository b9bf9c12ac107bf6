"""`demo`: three agents, each a process of its own, in a repository made for it, through the really installed hooks.

Nothing is played: the agents start the installed hook command with a client's payloads, write real files, and one of
them is killed for real. The verdict at the end counts what was observed.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import uuid
from typing import TYPE_CHECKING, Any

from agentsync.clients import claude
from agentsync.ops import commands

if TYPE_CHECKING:
    from agentsync.cli.context import Context

_AGENT = """
import json, os, subprocess, sys
for line in sys.stdin:
    command, payload = json.loads(line)
    env = {**os.environ, "CLAUDE_PID": str(os.getpid())}
    done = subprocess.run(command, input=json.dumps(payload), env=env, capture_output=True, text=True)
    print(json.dumps([done.returncode, done.stdout, done.stderr]), flush=True)
"""
"""What a client is to us: a process that lives on and starts hooks."""


class Agent:
    """A process that behaves like Claude Code towards its hooks."""

    def __init__(self, name: str, root: str, env: dict[str, str]) -> None:
        self.name = name
        self.session = str(uuid.uuid4())
        self.root = root
        self.env = {**env, "CLAUDE_CODE_SESSION_ID": self.session, "CLAUDE_PROJECT_DIR": root}
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-c", _AGENT],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=self.env,
            cwd=root,
        )

    def runs(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run `agent-sync` in the agent's shell."""
        command = [sys.executable, "-m", "agentsync", *words]
        env = {**self.env, "CLAUDE_PID": str(self.process.pid)}
        return subprocess.run(command, capture_output=True, text=True, env=env, cwd=self.root, check=False)

    def hook(self, event: str, **payload: Any) -> dict[str, Any]:
        """Have the agent's process start the installed hook, and read its answer."""
        command = [_installed(self.root, event), claude.EVENTS[event][0]]
        given = {"session_id": self.session, "cwd": self.root, "hook_event_name": event, **payload}
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps([command, given]) + "\n")
        self.process.stdin.flush()
        code, out, _err = json.loads(self.process.stdout.readline())
        answer: dict[str, Any] = json.loads(out) if out else {}
        return {"code": code, **answer.get("hookSpecificOutput", {})}

    def edits(self, path: str, text: str) -> str | None:
        """Write a file as an agent does: ask, write, report.

        Returns:
            Why it was refused, or None.
        """
        full = f"{self.root}/{path}"
        call = {"tool_name": "Write", "tool_input": {"file_path": full, "content": text}}
        answer = self.hook("PreToolUse", **call)
        if answer.get("permissionDecision") == "deny":
            return str(answer["permissionDecisionReason"])
        with open(full, "w", encoding="utf-8") as file:
            file.write(text)
        self.hook("PostToolUse", **call)
        return None

    def crashes(self) -> None:
        """Die at once, without a goodbye."""
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.closes()

    def closes(self) -> None:
        """End the process."""
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                stream.close()
        self.process.wait()


class Story:
    """Tells each step, and keeps count of what was seen."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self.steps: list[dict[str, Any]] = []

    def tell(self, who: str, what: str, saw: str, as_it_should: bool) -> None:
        """One step: what was done, what came of it, and whether that is what must come of it."""
        self.steps.append({"agent": who, "step": what, "saw": saw, "as_it_should": as_it_should})
        if not self._context.json:
            self._context.say(f"\n{len(self.steps)}. {who}: {what}")
            for line in saw.splitlines():
                self._context.say(f"     {line}")
            if not as_it_should:
                self._context.say("     THIS SHOULD NOT HAVE HAPPENED")

    def end(self) -> int:
        """The verdict."""
        good = sum(step["as_it_should"] for step in self.steps)
        verdict = f"{good} of {len(self.steps)} steps went as they must"
        if self._context.json:
            self._context.data({"kind": "demo", "verdict": verdict, "steps": self.steps})
        else:
            self._context.say(f"\n{verdict}")
        return 0 if good == len(self.steps) else 1


def run(context: Context) -> int:
    """Show it."""
    if shutil.which("git") is None:
        from agentsync.errors import AgentSyncError

        raise AgentSyncError("git is not there, and the demo needs a repository", "install git")
    story = Story(context)
    with tempfile.TemporaryDirectory(prefix="agent-sync-demo-") as folder:
        root = os.path.realpath(f"{folder}/shop")
        agents: list[Agent] = []
        try:
            _play(story, root, agents)
        finally:
            for agent in agents:
                if agent.process.poll() is None:
                    agent.closes()
    return story.end()


def _play(story: Story, root: str, agents: list[Agent]) -> None:
    drop = ("AGENT_SYNC", "CLAUDE", "COPILOT", "GIT_")
    env = {name: value for name, value in os.environ.items() if not name.startswith(drop)}
    os.makedirs(f"{root}/src")
    for name in ("api", "ui"):
        with open(f"{root}/src/{name}.py", "w", encoding="utf-8") as file:
            file.write("version = 1\n")
    subprocess.run(["git", "init", "-q", root], check=True, env=env)
    command = [sys.executable, "-m", "agentsync", "install", "--client", "claude"]
    done = subprocess.run(command, capture_output=True, text=True, env=env, cwd=root, check=False)
    story.tell(
        "you",
        "agent-sync install --client claude",
        done.stdout.splitlines()[0] if done.stdout else done.stderr,
        done.returncode == 0,
    )

    backend, frontend, tests = (Agent(name, root, env) for name in ("backend", "frontend", "tests"))
    agents += [backend, frontend, tests]
    for agent in agents:
        agent.hook("SessionStart", source="startup")
        agent.runs("register", "--name", agent.name)
    board = json.loads(backend.runs("status", "--json").stdout)
    here = sorted(agent["name"] for agent in board["agents"])
    story.tell("all", "start their sessions; the hooks register them", ", ".join(here), len(here) == len(agents))

    done = backend.runs("lock", "src/api.py", "--reason", "new login endpoint")
    story.tell("backend", 'agent-sync lock src/api.py --reason "new login endpoint"', done.stdout, done.returncode == 0)

    why = frontend.edits("src/api.py", "version = 'frontend was here'\n")
    with open(f"{root}/src/api.py", encoding="utf-8") as file:
        untouched = file.read() == "version = 1\n"
    refused = why is not None and "backend" in why and untouched
    story.tell(
        "frontend", "edits src/api.py; the hook refuses before anything is written", why or "it went through", refused
    )

    if commands.can_read():
        call = {"tool_name": "Bash", "tool_input": {"command": "sed -i s/1/2/ src/api.py"}}
        why = frontend.hook("PreToolUse", **call).get("permissionDecisionReason", "")
        story.tell(
            "frontend", "tries the shell: sed -i s/1/2/ src/api.py", why or "it would have run", "did not run" in why
        )

    why = frontend.edits("src/ui.py", "version = 2\n")
    held = [lock["path"] for lock in json.loads(frontend.runs("locks", "--json").stdout) if lock["auto"]]
    said = why or f"allowed, and locked by itself: {', '.join(held)}"
    story.tell("frontend", "edits src/ui.py, which nobody holds", said, why is None and held == ["src/ui.py"])

    backend.crashes()
    story.tell("backend", "crashes (kill -9)", "its lock on src/api.py is still on the board", _is_locked(tests))

    why = tests.edits("src/api.py", "version = 3\n")
    with open(f"{root}/src/api.py", encoding="utf-8") as file:
        written = file.read() == "version = 3\n"
    log = tests.runs("explain", "src/api.py", "--json").stdout
    taken = any(event["verb"] == "takeover" for event in json.loads(log)["events"])
    said = why or "allowed at once: the holder's process is provably dead, so its lock was taken over"
    story.tell("tests", "edits src/api.py", said, why is None and written and taken)


def _is_locked(agent: Agent) -> bool:
    return os.path.exists(f"{agent.root}/.claude/coordination/locks/src%2Fapi.py.json")


def _installed(root: str, event: str) -> str:
    """The command that `install` put into the settings, as the client reads it."""
    with open(f"{root}/{claude.SETTINGS}", encoding="utf-8") as file:
        settings = json.load(file)
    command: str = settings["hooks"][event][0]["hooks"][0]["command"]
    return command.replace("${CLAUDE_PROJECT_DIR}", root)
