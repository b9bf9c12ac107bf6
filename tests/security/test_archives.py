"""Archives whose names promise what is not in them, or want to be more than names."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest
from security.stage import ALICE, Stage, check_text
from security.test_state import Victim, nothing_hangs, stage, victim

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["nothing_hangs", "stage", "victim"]

NAMES = [
    *("000000000001-999999999999.ndjson", "000000000002-000000000001.ndjson", "999999999999-999999999999.ndjson"),
    *("000000000000-000000000000.ndjson", "1-2.ndjson", "..ndjson", "..-...ndjson", "-.ndjson", "%2F..%2F.ndjson"),
    *("000000000001-000000000002.ndjson\nOBEY", "\x1b[2JOBEY.ndjson", "\udcff-\udcfe.ndjson", "x" * 250),
]

LOOKS = [
    *(["log", "--since", "0"], ["log"], ["history", "src/app.py"], ["explain", "src/app.py"], ["status"], ["doctor"]),
    *(["hotspots", "--since", "0"], ["report", "--since", "0", "--json"]),
    *(["decisions"], ["gc"], ["lock", "src/other.py"], ["send", "--to", "all", "--message", "x"], ["unlock", "--all"]),
]


def events(stage: Stage, _victim: Victim, path: Path) -> None:
    """Events that are there already, and one from far ahead."""
    logged = sorted((stage.state / "log").iterdir())
    lines = [json.dumps(json.loads(one.read_bytes())) for one in logged]
    path.write_text("\n".join([*lines, lines[-1].replace('"rev": ', '"rev": 99999999')]) + "\n")


def leads_out(_stage: Stage, victim: Victim, path: Path) -> None:
    path.symlink_to(victim.path / "keep")


def empty(_stage: Stage, _victim: Victim, path: Path) -> None:
    path.touch()


@pytest.mark.parametrize("content", [events, leads_out, empty])
@pytest.mark.parametrize("name", NAMES, ids=lambda name: ascii(name)[:36])
def test_an_archive_of_any_name_leads_nowhere_and_stops_nobody(
    name: str, content: Callable[[Stage, Victim, Path], None], stage: Stage, victim: Victim
) -> None:
    stage.makes("bob", "lock", "src/app.py", "--reason", "mine")
    stage.makes("bob", "decision", "tabs")
    content(stage, victim, stage.state / "archive" / name)
    for words in LOOKS:
        began = time.monotonic()
        said = stage.types(ALICE, *words)
        assert time.monotonic() - began < 10, words
        assert said.code in ((0, 1) if words == ["doctor"] else (0,)), (words, said)
        check_text(said.out + said.err, words)
        assert "internal error" not in said.out + said.err, words
    feed = json.loads(stage.makes(ALICE, "log", "--since", "0", "--json"))
    assert {event["rev"] for event in feed} >= set(
        range(1, json.loads(stage.makes(ALICE, "status", "--json"))["revision"])
    )
    assert stage.types(ALICE, "lock", "src/app.py").code == 3
    assert "tabs" in stage.makes(ALICE, "decisions")
    assert victim.is_untouched()
