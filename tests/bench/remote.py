"""What a lock for all machines costs, and how often clones get in each other's way: `python tests/bench/remote.py`.

A `git push` of one commit to the same bare repository, by path, is 1.00: the cheapest remote there is. Over a network
both sides grow by the same round trips. Where an etcd is installed, one on this disk is measured beside it.
"""

from __future__ import annotations

import os
import random
import shutil
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from itertools import count
from pathlib import Path

from measure import compare, options, playground, show

sys.path.insert(0, str(Path(__file__).parents[1]))

from etcd_server import Server
from msgspec.structs import replace
from world import git, make_repo

from agentsync.core import shared
from agentsync.core.locks import Granted
from agentsync.ops import exchange, locks, remote, sync
from agentsync.ops.session import Session, open_session
from agentsync.remote.etcd import Etcd
from agentsync.remote.plain_git import PlainGit
from agentsync.runtime import Runtime
from agentsync.store import codec

FLOOR = "git push of one commit"
RECORDS = 10_000
FILES = 20_000
CALM_S = 1.5


class Clone:
    """A clone with an agent, and a number for the next path."""

    def __init__(self, root: Path, hub: Path, python: str, files: int = 1) -> None:
        self.root = make_repo(root, {f"src/{n // 100}/{n}.py": f"{n}\n" for n in range(files)})
        git("remote", "add", "origin", str(hub), cwd=root)
        self.env = {"AGENT_SYNC_ID": "me", "PATH": os.environ["PATH"], "HOME": str(root.parent)}
        self.python = python
        self.serial = count()

    def session(self) -> Session:
        return open_session(Runtime(env=self.env, cwd=str(self.root)))

    def push(self) -> float:
        """One commit, pushed."""
        name = ("-c", "user.name=t", "-c", "user.email=t@example.invalid")
        (self.root / "x").write_text(f"{next(self.serial)}\n")
        for words in (("add", "x"), ("commit", "-qm", "x")):
            subprocess.run(("git", *name, *words), cwd=self.root, env=self.env, check=True)
        started = time.perf_counter()
        subprocess.run(("git", "push", "-q", "origin", "HEAD:refs/heads/x"), cwd=self.root, env=self.env, check=True)
        return time.perf_counter() - started

    def command(self, *words: str) -> float:
        """`agent-sync lock` of a new path."""
        command = (self.python, "-P", "-m", "agentsync", "lock", f"f{next(self.serial)}", *words)
        started = time.perf_counter()
        subprocess.run(command, cwd=self.root, env=self.env, check=True, capture_output=True)
        return time.perf_counter() - started

    def lock(self) -> float:
        """The same in this process, as a server does it."""
        started = time.perf_counter()
        assert isinstance(locks.lock(self.session(), [f"f{next(self.serial)}"], remote=True), Granted)
        return time.perf_counter() - started


def hub_at(path: Path) -> Path:
    git("init", "-q", "--bare", str(path), cwd=path.parent)
    return path


def fill(clone: Clone) -> None:
    """Put many locks of another machine on the board of a clone."""
    session = clone.session()
    with exchange.opened(session) as there:
        there.look()
        granted = locks.lock(session, ["model"])
        assert isinstance(granted, Granted)
        (model,) = granted.locks
        lock = shared.outward(model, "zzzzzz", "store00000:1")
        records = (replace(lock, path=f"lib/{n}.c") for n in range(RECORDS))
        changes = {shared.place(record, "zzzzzz"): codec.encode(record) for record in records}
        there._backend.swap(there._version, changes, "many")
    sync.sync(session)


class Tally:
    """What came of the locks that several processes asked for: each reports by a line in a pipe."""

    def __init__(self) -> None:
        self._reader, self.writer = os.pipe()
        self.outcomes: Counter[str] = Counter()
        self.pushes = 0
        self.waits: list[float] = []

    def work(self, works: Sequence[Callable[[], None]]) -> None:
        """Run them at the same time, each in a process of its own, and read what they report."""
        pids = []
        for work in works:
            if (pid := os.fork()) == 0:
                try:
                    work()
                finally:
                    os._exit(0)
            pids.append(pid)
        for pid in pids:
            os.waitpid(pid, 0)
        os.write(self.writer, b"\n")  # so that there is something to read
        for line in os.read(self._reader, 1 << 16).decode().splitlines():
            if line:
                outcome, pushes, took = line.split()
                self.outcomes[outcome] += 1
                self.pushes += int(pushes)
                self.waits += [float(took)] if outcome == "granted" else []

    def lock(self, player: Clone, path: str) -> None:
        """Ask for a lock, and report what came of it, the number of pushes, and the time."""
        pushes, started, outcome = PUSHES.count, time.perf_counter(), "failed"
        try:
            outcome = "granted" if isinstance(locks.lock(player.session(), [path], remote=True), Granted) else "refused"
        finally:
            took = time.perf_counter() - started
            os.write(self.writer, f"{outcome} {PUSHES.count - pushes} {took}\n".encode())

    def __str__(self) -> str:
        granted = self.outcomes["granted"]
        counts = ", ".join(f"{self.outcomes[what]} {what}" for what in ("granted", "refused", "failed"))
        waits = sorted(self.waits)
        times = f"median {statistics.median(waits) * 1e3:.0f} ms, longest {waits[-1] * 1e3:.0f}"
        return f"{counts}; {self.pushes / granted:.2f} pushes a lock; {times}"


class Pushes:
    """Counts what this process pushes, or asks an etcd to commit."""

    def __init__(self) -> None:
        self.count = 0

        def counted(swap: Callable[..., object]) -> Callable[..., object]:
            def counts(*words: object) -> object:
                self.count += 1
                return swap(*words)

            return counts

        PlainGit._push = counted(PlainGit._push)  # type: ignore[method-assign]
        Etcd._committed = counted(Etcd._committed)  # type: ignore[method-assign]


PUSHES = Pushes()


def team(root: Path, name: str, clones: int, python: str, server: Server | None) -> list[Clone]:
    """Clones at a board of their own."""
    name = f"{name}-{'git' if server is None else 'etcd'}-{clones}"
    hub = hub_at(root / f"hub-{name}.git")
    players = [Clone(root / f"{name}-{n}", hub, python) for n in range(clones)]
    for player in players:
        remote.add(player.session(), "origin" if server is None else server.address(name))
    return players


def race(root: Path, clones: int, rounds: int, same: bool, python: str, server: Server | None = None) -> None:
    """Everybody at once, again and again."""
    players, tally = team(root, f"race-{same}", clones, python, server), Tally()
    for turn in range(rounds):
        paths = ["same" if same else f"own-{number}-{turn}" for number in range(clones)]
        tally.work([partial(tally.lock, player, path) for player, path in zip(players, paths, strict=True)])
        for player in players:
            locks.unlock(player.session(), [], everything=True)
    what = "the same path" if same else "a path each"
    print(f"  {clones} clones at once, {what:<13} {tally}")


def calm(root: Path, clones: int, seconds: float, python: str, server: Server | None = None) -> None:
    """Everybody locks and releases a path of their own, one and a half seconds after the last time in the mean."""
    players, tally = team(root, "calm", clones, python, server), Tally()

    def works(player: Clone, number: int) -> None:
        chance, end = random.Random(number), time.monotonic() + seconds
        while time.monotonic() < end:
            time.sleep(chance.uniform(0, 2 * CALM_S))
            tally.lock(player, f"own-{number}")
            locks.unlock(player.session(), [], everything=True)

    tally.work([partial(works, player, number) for number, player in enumerate(players)])
    print(f"  {clones} clones, one lock in {CALM_S:g} s   {tally}")


def main() -> None:
    """Print the tables."""
    told = options(20, __doc__)
    with playground(told.directory) as root:
        small = Clone(root / "small", hub_at(root / "small.git"), told.python)
        large = Clone(root / "large", hub_at(root / "large.git"), told.python, FILES)
        full = Clone(root / "full", hub_at(root / "full.git"), told.python)
        for clone in (small, large, full):
            remote.add(clone.session(), "origin")
        fill(full)
        cases = {
            "lock for this machine, the command": (small.command, None),
            "lock --remote, the command": (lambda: small.command("--remote"), None),
            "lock --remote, in a process that runs": (small.lock, 3.0),
            f"the same in a repository of {FILES} files": (large.lock, None),
            f"the same on a board of {RECORDS} records": (full.lock, None),
        }
        server = Server(root).start() if shutil.which("etcd") else None
        if server is not None:
            beside = Clone(root / "beside", hub_at(root / "beside.git"), told.python)
            remote.add(beside.session(), server.address("alone"))
            cases["lock --remote in etcd, the command"] = (lambda: beside.command("--remote"), None)
            cases["lock --remote in etcd, in a process that runs"] = (beside.lock, 1.0)
            crowded = Clone(root / "crowded", hub_at(root / "crowded.git"), told.python)
            remote.add(crowded.session(), server.address("crowded"))
            fill(crowded)
            cases[f"the same in etcd on a board of {RECORDS} records"] = (crowded.lock, None)
        show("Locks for all machines", FLOOR, compare(small.push, cases, told.rounds))
        for engine, where in (("git", None), ("etcd", server)):
            if engine == "git" or where is not None:
                print(f"\nRaces, in {engine}: one push a lock is the least")
                for clones in (4, 8):
                    for same in (True, False):
                        race(root, clones, told.rounds, same, told.python, where)
                    calm(root, clones, told.rounds, told.python, where)
        if server is not None:
            server.kill()


if __name__ == "__main__":
    main()
