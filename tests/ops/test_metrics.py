"""Numbers for monitoring: what they count, and that the official parsers read them."""

from __future__ import annotations

import math
import os
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from core.boards import NOW
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as prometheus

from agentsync.core.metrics import AGES, Family, Sample, bucket, counted
from agentsync.core.progress import Says
from agentsync.errors import UsageError
from agentsync.ops import care, feed, mail, metrics, requests, tasks, user_files
from agentsync.render.metrics import exposition
from agentsync.runtime import Runtime

if TYPE_CHECKING:
    from pathlib import Path

    from world import Player, World

Numbers = dict[tuple[str, ...], float]


def read(player: Player) -> Numbers:
    """What the official parser reads: `(name, label value)` and the number; the older one reads the same."""
    text = exposition(metrics.measure(player.session))
    found, older = (
        {(s.name, *s.labels.values()): s.value for family in parse(text) for s in family.samples}
        for parse in (openmetrics, prometheus)
    )
    assert found == older
    assert all(family.documentation.endswith(".") for family in openmetrics(text))
    return {(name.removeprefix("agentsync_"), *labels): value for (name, *labels), value in found.items()}


def test_before_there_is_a_board_all_is_zero_and_nothing_is_made(world: World) -> None:
    found = read(world.agent("alice"))
    assert found["agents", "active"] == found["locks", "0-1m"] == found["revision",] == 0
    assert ("last_compaction_timestamp_seconds",) not in found
    assert not world.state.exists()


def test_what_is_on_the_board_is_counted(world: World) -> None:
    alice, bob = world.agent("alice"), world.agent("bob")
    alice.registers()
    alice.locks("old.py")
    world.clock.advance(minutes=12)
    bob.registers()
    alice.locks("src/app.py")
    bob.locks("src/app.py")
    requests.request(bob.session, "src/app.py", None)
    tasks.create(bob.session, Says(title="Login"))
    tasks.create(bob.session, Says(title="Logout"))
    tasks.claim(bob.session, "Login")
    mail.send(bob.session, "alice", "hello")
    found = read(alice)
    assert found["agents", "active"] == 2
    assert (found["locks", "10m-1h"], found["locks", "0-1m"], found["locks", "1h+"]) == (1, 1, 0)
    assert (found["tasks", "pending"], found["tasks", "in_progress"], found["tasks", "done"]) == (1, 1, 0)
    assert found["refusals_last_hour", "lock"] == 1
    assert found["queue_depth", "release"] == 1
    assert found["messages_pending",] >= 2, "the request and the letter"
    assert found["revision",] == alice.session.store.revision()
    assert found["store_files",] > 8
    assert found["store_size_bytes",] > 1000
    world.clock.advance(minutes=61)
    assert read(alice)["refusals_last_hour", "lock"] == 0


def test_waits_and_breaches_are_counted_and_an_entry_that_says_so_is_not(world: World) -> None:
    alice, bob = world.agent("alice"), world.agent("bob")
    alice.locks("src/app.py")
    bob.registers()
    feed.record(bob.session, "no breach", "breach")
    assert (read(alice)["breaches_total",], read(alice)["waits_total",]) == (0, 0)
    bob.has_edited("src/app.py")
    assert read(alice)["breaches_total",] == 1


def test_damage_and_failures_show(world: World) -> None:
    alice = world.agent("alice")
    alice.locks("src/app.py")
    care.note_failure(alice.session, "boom")
    before = read(alice)
    assert (before["damaged_records",], before["hook_failures_last_day",]) == (0, 1)
    (world.state / "locks/src%2Fapp.py.json").write_bytes(b"{")
    assert read(alice)["damaged_records",] == 1
    care.gc(alice.session)
    after = read(alice)
    assert (after["damaged_records",], after["quarantined_files",]) == (0, 1)
    assert after["last_compaction_timestamp_seconds",] >= before["last_compaction_timestamp_seconds",]


@pytest.mark.parametrize(
    ("seconds", "name"), [(-5, "0-1m"), (59.9, "0-1m"), (60, "1m-10m"), (3599, "10m-1h"), (1e7, "1h+")]
)
def test_an_age_has_one_bucket(seconds: float, name: str) -> None:
    assert bucket(NOW - timedelta(seconds=seconds), NOW) == name
    assert AGES[-1][0] == math.inf


@given(st.lists(st.text(max_size=5), max_size=5), st.floats(allow_nan=False, allow_infinity=False, width=32))
def test_any_words_and_numbers_come_back_from_the_parser(words: list[str], value: float) -> None:
    families = [
        counted("words", "Words.", "word", words, ["known"]),
        Family("agentsync_n", "gauge", "N.", (Sample(value),)),
    ]
    read_words, read_number = openmetrics(exposition(families))
    assert {s.labels["word"]: s.value for s in read_words.samples} == {w: words.count(w) for w in {"known", *words}}
    assert read_number.samples[0].value == pytest.approx(value, abs=0.001)


# ---------------------------------------------------------------- a file for the collector
def test_a_file_is_replaced_in_one_step_and_readable_for_the_collector(world: World, tmp_path: Path) -> None:
    alice = world.agent("alice")
    file = tmp_path / "agentsync.prom"
    assert user_files.replace(alice.runtime, str(file), b"one\n") == str(file)
    with file.open() as reader:
        user_files.replace(alice.runtime, str(file), b"two\n")
        assert reader.read() == "one\n", "whoever had it open reads on in the old one"
    assert file.read_text() == "two\n"
    assert file.stat().st_mode & 0o444 == 0o444
    assert [path.name for path in tmp_path.glob("agentsync*")] == ["agentsync.prom"]


def test_what_somebody_who_was_killed_left_is_cleared(tmp_path: Path) -> None:
    left = tmp_path / "a.prom.agent-sync-999999999"
    left.write_text("half")
    user_files.replace(Runtime(), str(tmp_path / "a.prom"), b"text")
    assert not left.exists()


@pytest.mark.parametrize("name", ["", "file/below", "\0"])
def test_a_file_that_cannot_be_written_is_a_usage_error(name: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    os.mkdir(tmp_path / "folder")
    with pytest.raises(UsageError):
        user_files.replace(Runtime(), f"{tmp_path}/{name}", b"text")
