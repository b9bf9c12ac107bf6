"""How many transactions a store takes: `python tests/bench/store.py [--python PYTHON] [--directory DIR]`.

In process: what is measured is the store, not the start of an interpreter. The floor is the same system calls on bare
files: an intent written and linked, a record written and renamed, the intent renamed.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from measure import options, playground

if TYPE_CHECKING:
    from collections.abc import Callable

SECONDS = 2.0

WRITERS = 8


def bare(root: Path, durable: bool) -> Callable[[], None]:
    """One transaction's system calls, and nothing else."""
    root.mkdir()
    serial = iter(range(1 << 30))

    def write(name: str, data: bytes) -> None:
        fd = os.open(root / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        os.write(fd, data)
        if durable:
            os.fsync(fd)
        os.close(fd)

    def commit() -> None:
        write("tmp", b"x" * 800)
        os.link(root / "tmp", root / "intent")
        os.unlink(root / "tmp")
        write("tmp", b"x" * 600)
        os.replace(root / "tmp", root / "record")
        os.rename(root / "intent", root / f"{next(serial):012}.json")

    return commit


def transactions(root: Path, durable: bool, actor: str) -> Callable[[], None]:
    """One lock put by one transaction."""
    from datetime import timedelta

    from agentsync.core import keys, policy
    from agentsync.core.changes import Put
    from agentsync.core.records import Lock
    from agentsync.runtime import Runtime
    from agentsync.store.locate import locate
    from agentsync.store.store import Store

    root.mkdir(exist_ok=True)
    runtime = Runtime(env={}, cwd=str(root))
    store = Store(locate(str(root), {}), runtime, policy.DEFAULT, owns_signals=True, durable=durable)
    now = runtime.now()
    lock = Lock(
        path=f"src/{actor}.py",
        scope="file",
        mode="exclusive",
        holder=actor,
        holder_name=actor,
        token="bench:1",
        acquired_at=now,
        expires_at=now + timedelta(hours=1),
        ttl_s=3600,
    )

    def commit() -> None:
        with store.transaction(actor) as tx:
            tx.commit("lock", f"{actor} locked src/{actor}.py", [Put(keys.lock(lock), lock)])

    return commit


def verbs(root: Path, actor: str) -> Callable[[], None]:
    """One lock taken and given up by the operations: two transactions, each with its decision."""
    from agentsync.ops import locks
    from agentsync.ops.session import open_session
    from agentsync.runtime import Runtime

    root.mkdir(exist_ok=True)
    session = open_session(Runtime(env={"AGENT_SYNC_ID": actor}, cwd=str(root)), owns_signals=True)

    def lock_and_unlock() -> None:
        locks.lock(session, ["src/app.py"])
        locks.unlock(session, ["src/app.py"])

    return lock_and_unlock


def rate(act: Callable[[], None], seconds: float = SECONDS) -> float:
    """How often something can be done in a second, in steps of fifty."""
    for _ in range(20):
        act()
    done, started = 0, time.perf_counter()
    while time.perf_counter() - started < seconds:
        for _ in range(50):
            act()
        done += 50
    return done / (time.perf_counter() - started)


def together(root: Path, durable: bool) -> float:
    """Transactions a second of eight processes on one store."""
    transactions(root, durable, "first")()
    readers = []
    for i in range(WRITERS):
        reader, writer = os.pipe()
        if os.fork() == 0:
            os.write(writer, f"{rate(transactions(root, durable, f'agent-{i}'))}\n".encode())
            os._exit(0)
        os.close(writer)
        readers.append(reader)
    total = sum(float(os.read(reader, 64)) for reader in readers)
    for _ in readers:
        os.wait()
    return total


def main() -> None:
    """Print the table."""
    told = options(3, __doc__)
    if Path(told.python).absolute() != Path(sys.executable).absolute():
        os.execv(told.python, [told.python, *sys.argv])
    rows: dict[str, list[float]] = {}
    with playground(told.directory) as root:
        for turn in range(told.rounds):
            here = root / str(turn)
            here.mkdir()
            for name, value in (
                ("bare system calls, not synced", lambda: rate(bare(here / "bare", False))),
                ("one writer, not durable", lambda: rate(transactions(here / "fast", False, "a"))),
                ("eight writers, not durable", lambda: together(here / "fast8", False)),
                ("bare system calls, synced", lambda: rate(bare(here / "sync", True))),
                ("one writer, durable", lambda: rate(transactions(here / "safe", True, "a"))),
                ("eight writers, durable", lambda: together(here / "safe8", True)),
                ("lock + unlock, durable", lambda: rate(verbs(here / "verbs", "alice"))),
            ):
                rows.setdefault(name, []).append(value())
    wishes = {"one writer, not durable": 3500, "one writer, durable": 1000, "eight writers, not durable": 2000}
    floors = {"not": "bare system calls, not synced", "": "bare system calls, synced"}
    print(f"\nTransactions a second (median of {told.rounds}; 1.00 = the bare system calls of one)")
    for name, rates in rows.items():
        value = sorted(rates)[len(rates) // 2]
        floor = sorted(rows[floors["not" if "not" in name else ""]])[told.rounds // 2]
        wish = wishes.get(name)
        verdict = "" if wish is None else f"  >= {wish:,}  {'ok' if value >= wish else 'MISSED'}"
        print(f"  {name:<32} {value:8,.0f} /s  {floor / value:6.2f}{verdict}")


if __name__ == "__main__":
    main()
