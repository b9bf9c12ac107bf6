"""Two hosts, each a network namespace, and the line between them, which is really cut."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from world import git, make_repo

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ADDRESSES = ("10.213.77.1", "10.213.77.2")


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


class Host:
    """A namespace with a clone in it."""

    def __init__(self, number: int, clone: Path) -> None:
        self.namespace = f"agentsync-{os.getpid()}-{number}"
        self.device = f"as{os.getpid()}n{number}"
        self.address = ADDRESSES[number]
        self.clone = clone

    def env(self) -> dict[str, str]:
        return {"PATH": os.environ["PATH"], "HOME": str(self.clone.parent), "AGENT_SYNC_ID": self.clone.name}

    def inside(self, *words: str) -> list[str]:
        return ["ip", "netns", "exec", self.namespace, *words]

    def types(self, *words: str) -> tuple[int, str]:
        """Exit code and all that was said."""
        command = self.inside(sys.executable, "-P", "-m", "agentsync", *words)
        done = subprocess.run(command, cwd=self.clone, env=self.env(), capture_output=True, text=True)
        return done.returncode, done.stdout + done.stderr


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[tuple[Host, Host]]:
    """East has the bare repository, and serves it; west is at the other end of the line."""
    if sys.platform != "linux" or os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("network namespaces need Linux, root and the command ip")
    pair = (Host(0, make_repo(tmp_path / "east")), Host(1, make_repo(tmp_path / "west")))
    east, west = pair
    daemon = None
    try:
        try:
            for host in pair:
                ip("netns", "add", host.namespace)
                ip("-n", host.namespace, "link", "set", "lo", "up")
            ip("link", "add", east.device, "type", "veth", "peer", "name", west.device)
            for host in pair:
                ip("link", "set", host.device, "netns", host.namespace)
                ip("-n", host.namespace, "address", "add", f"{host.address}/24", "dev", host.device)
                ip("-n", host.namespace, "link", "set", host.device, "up")
        except subprocess.CalledProcessError as error:
            pytest.skip(f"no network namespaces here: {error.stderr.decode().strip()}")
        git("init", "-q", "--bare", "hub.git", cwd=tmp_path)
        words = ("git", "daemon", "--export-all", "--enable=receive-pack", "--reuseaddr", "--informative-errors")
        where = (f"--listen={east.address}", f"--base-path={tmp_path}", str(tmp_path))
        daemon = subprocess.Popen(east.inside(*words, *where), env=east.env(), start_new_session=True)
        for host in pair:
            address = f"git://{east.address}/hub.git"
            deadline = time.monotonic() + 20
            while host.types("remote", "add", address)[0] != 0:  # the daemon is not there at once
                assert time.monotonic() < deadline
        yield pair
    finally:
        if daemon is not None:
            os.killpg(daemon.pid, 9)
            daemon.wait()
        for host in pair:
            subprocess.run(["ip", "netns", "delete", host.namespace], capture_output=True)  # with its end of the line


@pytest.mark.slow
def test_two_hosts_lock_are_parted_and_meet_again(hosts: tuple[Host, Host]) -> None:
    east, west = hosts
    assert east.types("lock", "--remote", "a.py")[0] == 0
    code, said = west.types("lock", "--remote", "a.py")
    assert (code, "holder: east" in said) == (3, True), said
    assert west.types("lock", "--remote", "b.py")[0] == 0

    ip("-n", east.namespace, "link", "set", east.device, "down")  # in the west nothing says that nobody is there
    assert west.types("lock", "here.py")[0] == 0, "local work goes on"
    assert west.types("check", "a.py")[0] == 3, "and what was seen last binds"
    started = time.monotonic()
    code, said = west.types("lock", "--remote", "c.py")
    assert (code, "could not be reached" in said) == (5, True), said
    assert time.monotonic() - started < 45
    assert "c.py" not in west.types("locks")[1]
    code, said = west.types("unlock", "b.py")
    assert (code, "not for other machines" in said) == (0, True), said
    assert east.types("lock", "--remote", "c.py")[0] == 0, "the side with the board goes on"

    ip("-n", east.namespace, "link", "set", east.device, "up")
    deadline = time.monotonic() + 30
    while west.types("sync")[0] != 0:
        assert time.monotonic() < deadline
    assert west.types("lock", "--remote", "c.py")[0] == 3
    assert east.types("lock", "--remote", "b.py")[0] == 0
    assert west.types("sync")[0] == 0
    for host in hosts:
        told = host.types("locks")[1]
        assert all(path in told for path in ("a.py", "b.py", "c.py")), told
