"""What must be true of any state directory at any time, whoever crashed in it."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

from agentsync.core.locks import conflicting
from agentsync.core.records import KINDS, Lock, Record
from agentsync.store import codec


def records(state: Path) -> dict[str, Record]:
    """Every record outside quarantine and tmp, decoded."""
    found: dict[str, Record] = {}
    for path in sorted(state.rglob("*.json")):
        key = path.relative_to(state).as_posix()
        if key.startswith(("quarantine/", "tmp/")):
            continue
        data = path.read_bytes()
        kind = codec._envelope_decoder().decode(data).kind
        found[key] = codec.decode(data, KINDS[kind], key)
    return found


def check_store(state: Path) -> None:
    """Every record decodes, the log is dense, and no two locks of different holders conflict."""
    if not state.exists():
        return
    found = records(state)
    revisions = sorted(int(key[4:16]) for key in found if key.startswith("log/"))
    assert revisions == list(range(revisions[0], revisions[0] + len(revisions))) if revisions else True
    locks = [record for record in found.values() if isinstance(record, Lock)]
    for a, b in combinations(locks, 2):
        assert not conflicting(a, b), f"{a.path} of {a.holder} against {b.path} of {b.holder}"
