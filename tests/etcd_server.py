"""A real etcd on free ports of this machine, as the distribution's package brings it; without one, tests are skipped."""

from __future__ import annotations

import atexit
import ctypes
import functools
import http.client
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

START_S = 30.0


class Server:
    """One member. It dies with the process that started it."""

    def __init__(self, folder: Path, *options: str, name: str = "one", scheme: str = "http") -> None:
        binary = shutil.which("etcd")
        if binary is None:
            pytest.skip("etcd is not installed: apt-get install etcd-server")
        self.data = folder / name
        self.name = name
        self.port, self.peer = free_port(), free_port()
        self.cluster = f"{name}={self.peer_url}"
        self.scheme = scheme
        self._binary = binary
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        self._log = folder / f"{name}.log"

    @property
    def peer_url(self) -> str:
        return f"http://127.0.0.1:{self.peer}"

    def address(self, board: str = "board") -> str:
        return f"{'etcds' if self.scheme == 'https' else 'etcd'}://127.0.0.1:{self.port}/{board}"

    def start(self, wait: bool = True) -> Server:
        client = f"{self.scheme}://127.0.0.1:{self.port}"
        words = [self._binary, "--name", self.name, "--data-dir", str(self.data), "--initial-cluster", self.cluster]
        words += ["--listen-client-urls", client, "--advertise-client-urls", client]
        words += ["--listen-peer-urls", self.peer_url, "--initial-advertise-peer-urls", self.peer_url]
        words += ["--heartbeat-interval", "20", "--election-timeout", "200", *self._options]
        env = {"PATH": os.environ["PATH"]}
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                words,
                stdout=log,
                stderr=log,
                env=env,
                cwd="/",
                preexec_fn=_dies_with_its_parent,  # noqa: PLW1509 # one system call, and no lock is taken
            )
        if wait:
            self.wait()
        return self

    def wait(self) -> None:
        """Until it answers."""
        deadline = time.monotonic() + START_S
        while not self.is_up():
            assert self._process is not None
            assert self._process.poll() is None, self._log.read_text()[-2000:]
            assert time.monotonic() < deadline, self._log.read_text()[-2000:]
            time.sleep(0.02)

    def is_up(self) -> bool:
        """Whether it answers, and has a leader."""
        if self.scheme == "https":
            with socket.socket() as line:
                return line.connect_ex(("127.0.0.1", self.port)) == 0
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", "/health")
            return b"true" in connection.getresponse().read()
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def kill(self, how: signal.Signals = signal.SIGKILL) -> None:
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait()
            self._process = None

    def wipe(self) -> None:
        self.kill()
        shutil.rmtree(self.data)


def free_port() -> int:
    with socket.socket() as line:
        line.bind(("127.0.0.1", 0))
        port: int = line.getsockname()[1]
        return port


_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


def _dies_with_its_parent() -> None:
    if _LIBC is not None:
        _LIBC.prctl(1, signal.SIGKILL)


@functools.cache
def shared() -> Server:
    """One for all tests of this process; each uses a board of its own."""
    if shutil.which("etcd") is None:
        pytest.skip("etcd is not installed: apt-get install etcd-server")
    folder = Path(tempfile.mkdtemp(prefix="etcd-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
    made = Server(folder).start()
    owner = os.getpid()

    def end() -> None:
        if os.getpid() == owner:
            made.kill()
            shutil.rmtree(folder, ignore_errors=True)

    atexit.register(end)
    return made
