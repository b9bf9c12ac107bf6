"""A client that is nothing but lines: it says what it likes and sees all that comes back."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

SERVER = str(Path(sys.executable).with_name("agent-sync"))

PATIENCE_S = 60
"""The SDK alone takes a second to import, and many tests may run beside."""

MODERN = "2026-07-28"


def clean_env(**more: str) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], **more}


class Raw:
    """A server process with somebody at the other end."""

    def __init__(self, cwd: Path, *, stdin: int = subprocess.PIPE, **env: str) -> None:
        self.process = subprocess.Popen(
            [SERVER, "mcp"],
            cwd=cwd,
            env=clean_env(**env),
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self._lines: queue.Queue[bytes] = queue.Queue()
        self._errors: list[bytes] = []
        self._threads = [threading.Thread(target=self._listen), threading.Thread(target=self._overhear)]
        for thread in self._threads:
            thread.start()
        self._id = 0
        self.waiting: list[dict[str, Any]] = []

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line)

    def _overhear(self) -> None:
        assert self.process.stderr is not None
        self._errors += self.process.stderr

    @property
    def stderr(self) -> str:
        """After the end."""
        return b"".join(self._errors).decode()

    def write(self, line: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + b"\n")
        self.process.stdin.flush()

    def say(self, message: dict[str, Any]) -> None:
        self.write(json.dumps({"jsonrpc": "2.0", **message}).encode())

    def hears(self) -> dict[str, Any]:
        """The next message."""
        found: dict[str, Any] = json.loads(self._lines.get(timeout=PATIENCE_S))
        return found

    def ask(self, method: str, params: dict[str, Any] | None = None, modern: bool = False) -> int:
        """Send a request; returns its id."""
        self._id += 1
        params = dict(params or {})
        if modern:
            params["_meta"] = {
                **params.get("_meta", {}),
                "io.modelcontextprotocol/protocolVersion": MODERN,
                "io.modelcontextprotocol/clientInfo": {"name": "raw", "version": "1"},
                "io.modelcontextprotocol/clientCapabilities": {},
            }
        self.say({"id": self._id, "method": method, "params": params})
        return self._id

    def answer(self, request: int) -> dict[str, Any]:
        """The answer to a request; others are kept for later."""
        for message in self.waiting:
            if message.get("id") == request and "method" not in message:
                self.waiting.remove(message)
                return message
        while True:
            message = self.hears()
            if message.get("id") == request and "method" not in message:
                return message
            self.waiting.append(message)

    def asks(self, method: str, params: dict[str, Any] | None = None, modern: bool = False) -> dict[str, Any]:
        return self.answer(self.ask(method, params, modern))

    def begins(self, version: str = "2025-11-25", name: str = "raw", **capabilities: Any) -> dict[str, Any]:
        """The handshake."""
        info = {"name": name, "version": "1"}
        params = {"protocolVersion": version, "capabilities": capabilities, "clientInfo": info}
        found = self.asks("initialize", params)
        self.say({"method": "notifications/initialized"})
        return found

    def call(self, tool: str, _meta: dict[str, Any] | None = None, **given: Any) -> int:
        extra = {"_meta": _meta} if _meta else {}
        return self.ask("tools/call", {"name": tool, "arguments": given, **extra})

    def calls(self, tool: str, _meta: dict[str, Any] | None = None, **given: Any) -> tuple[bool, str]:
        """Call a tool; returns whether it failed, and its text."""
        return result(self.answer(self.call(tool, _meta, **given)))

    def close_input(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()

    def ends(self) -> int:
        """Close its input and wait for its end; returns the exit code."""
        if self.process.stdin is not None and not self.process.stdin.closed:
            try:
                self.process.stdin.close()
            except BrokenPipeError:
                pass  # it ended first
        code = self.process.wait(PATIENCE_S)
        for thread in self._threads:
            thread.join(PATIENCE_S)
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()
        return code


def result(message: dict[str, Any]) -> tuple[bool, str]:
    found = message["result"]
    return found["isError"], found["content"][0]["text"]


def command(cwd: Path, agent: str, *words: str) -> subprocess.CompletedProcess[str]:
    """A command of another agent."""
    return subprocess.run(
        [SERVER, *words],
        cwd=cwd,
        env=clean_env(AGENT_SYNC_ID=agent),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )


def board(cwd: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(command(cwd, "observer", "status", "--json").stdout)
    return found
