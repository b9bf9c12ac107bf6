"""Real processes in line: in order, once each, woken at once, and nobody is stuck behind the dead."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from datetime import timedelta
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from invariants import check_store, history
from processes.test_races import Race, run_main, state_of
from world import make_repo

import agentsync
from agentsync.core.locks import Conflict, Granted
from agentsync.ops import locks
from agentsync.ops.session import open_session
from agentsync.runtime import Runtime

for _loaded_by_a_waiter in ("agentsync.ops.waiting", "agentsync.store.watch", "agentsync.render.queue"):
    import_module(_loaded_by_a_waiter)  # once for all the forks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

PATIENCE_S = 60.0
GRANTED, REFUSED, GAVE_UP = 0, 3, 5


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[Path]:
    made = make_repo(tmp_path / "repo")
    yield made
    check_store(state_of(made))


def by(repository: Path, agent: str) -> agentsync.Board:
    return agentsync.open(repository, agent=agent)


def records(repository: Path) -> list[Path]:
    return sorted((state_of(repository) / "queue").glob("*.json"))


def until(condition: Callable[[], bool], patience: float = PATIENCE_S) -> float:
    """Seconds until something became true."""
    start = time.monotonic()
    while not condition():
        assert time.monotonic() - start < patience, "it never came true"
        time.sleep(0.005)
    return time.monotonic() - start


def waiting(repository: Path, acts: Sequence[tuple[str, Callable[[], int]]]) -> Race:
    """Workers that stand in line."""
    before = len(records(repository))
    race = Race(repository, acts)
    race.start()
    until(lambda: len(records(repository)) == before + len(acts))
    return race


def lock_and_let_go(path: str, *options: str) -> int:
    """Two commands in a row."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever runs the tests may ignore it
    return run_main("lock", path, "--wait", *options) or run_main("unlock", path)


def order_of(repository: Path, verb: str) -> list[str]:
    return [event.actor for event in history(state_of(repository)) if event.verb == verb]


# ---------------------------------------------------------------- all of them, in order
@pytest.mark.parametrize("count", [4, 32])
def test_all_who_wait_for_one_lock_get_it_in_order_and_once(count: int, repository: Path) -> None:
    holder = by(repository, "holder")
    holder.lock("a")
    race = waiting(repository, [(f"w{n:02}", partial(lock_and_let_go, "a")) for n in range(count)])
    holder.unlock("a")
    outcomes = race.finish()
    assert [outcome.code for outcome in outcomes] == [GRANTED] * count, outcomes
    stood, granted = order_of(repository, "wait"), order_of(repository, "lock")
    assert granted == ["holder", *stood]
    assert len(set(stood)) == count
    assert records(repository) == []
    assert {outcome.err for outcome in outcomes} == {""}


def test_who_waits_is_woken_within_a_moment(repository: Path) -> None:
    """Far less than the second after which it would look by itself."""
    holder = by(repository, "holder")
    holder.lock("a")
    race = waiting(repository, [("bo", partial(run_main, "lock", "a", "--wait"))])
    time.sleep(0.3)  # it watches by then
    holder.unlock("a")
    assert until(lambda: not records(repository)) < 0.5
    assert race.finish()[0].code == GRANTED


def test_where_watching_does_not_work_polling_does(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from watchdog.observers import Observer

    def start(_self: object) -> None:
        raise OSError(24, "inotify instance limit reached")

    monkeypatch.setattr(Observer, "start", start)
    holder = by(repository, "holder")
    holder.lock("a")
    race = waiting(repository, [(f"w{n}", partial(lock_and_let_go, "a")) for n in range(3)])
    holder.unlock("a")
    assert [outcome.code for outcome in race.finish()] == [GRANTED] * 3
    assert order_of(repository, "lock")[1:] == order_of(repository, "wait")


def test_whole_batches_that_overlap_are_all_granted(repository: Path) -> None:
    holder = by(repository, "holder")
    holder.lock("a", "b", "c")

    def take(*paths: str) -> int:
        return run_main("lock", *paths, "--wait") or run_main("unlock", *paths)

    wishes = [("a", "b"), ("b", "c"), ("c", "a"), ("a",), ("b",), ("c",)]
    race = waiting(repository, [(f"w{n}", partial(take, *paths)) for n, paths in enumerate(wishes)])
    holder.unlock("a", "b", "c")
    assert [outcome.code for outcome in race.finish()] == [GRANTED] * len(wishes)
    assert len(order_of(repository, "lock")) == len(wishes) + 1


# ---------------------------------------------------------------- who is not there any more
def test_a_waiter_that_was_killed_is_skipped(repository: Path) -> None:
    holder = by(repository, "holder")
    holder.lock("a")
    dead = waiting(repository, [("dead", partial(lock_and_let_go, "a"))])
    race = waiting(repository, [("bo", partial(lock_and_let_go, "a"))])
    os.kill(dead.pids[0], signal.SIGKILL)
    assert dead.finish()[0].code == -signal.SIGKILL
    assert len(records(repository)) == 2, "it could not tidy up"
    holder.unlock("a")
    assert race.finish()[0].code == GRANTED
    assert order_of(repository, "lock") == ["holder", "bo"]
    assert records(repository) == []


def test_a_waiter_that_was_stopped_holds_up_nobody_and_goes_on_later(repository: Path) -> None:
    holder = by(repository, "holder")
    holder.lock("a")
    stopped = waiting(repository, [("stopped", partial(lock_and_let_go, "a"))])
    race = waiting(repository, [("bo", partial(lock_and_let_go, "a"))])
    os.kill(stopped.pids[0], signal.SIGSTOP)
    holder.unlock("a")
    assert race.finish()[0].code == GRANTED
    assert len(records(repository)) == 1, "it keeps its place"
    os.kill(stopped.pids[0], signal.SIGCONT)
    assert stopped.finish()[0].code == GRANTED
    assert order_of(repository, "lock") == ["holder", "bo", "stopped"]


def test_a_killed_client_s_lock_reaches_who_waits_in_a_second_or_two(repository: Path) -> None:
    client = subprocess.Popen(["sleep", "600"])
    env = {"CLAUDE_CODE_SESSION_ID": "11111111-1111-4111-8111-00000000aaaa", "CLAUDE_PID": str(client.pid)}
    granted = locks.lock(open_session(Runtime(env=env, cwd=str(repository))), ["a"])
    assert isinstance(granted, Granted)
    race = waiting(repository, [("bo", partial(run_main, "lock", "a", "--wait"))])
    client.kill()
    client.wait()
    assert until(lambda: not records(repository)) < 3
    assert race.finish()[0].code == GRANTED
    assert order_of(repository, "takeover") == ["bo"]


def test_who_is_interrupted_leaves_the_line(repository: Path) -> None:
    by(repository, "holder").lock("a")
    race = waiting(repository, [("bo", partial(lock_and_let_go, "a"))])
    time.sleep(0.2)
    os.kill(race.pids[0], signal.SIGINT)
    outcome = race.finish()[0]
    assert (outcome.code, outcome.out, outcome.err) == (130, "", "")
    assert records(repository) == []
    assert order_of(repository, "give-up") == ["bo"]


def test_whose_time_is_over_gives_up_and_says_who_holds_it(repository: Path) -> None:
    by(repository, "holder").lock("a")
    race = waiting(repository, [("bo", partial(run_main, "lock", "a", "--wait=0.6"))])
    outcome = race.finish()[0]
    assert outcome.code == GAVE_UP
    assert "gave up waiting" in outcome.err
    assert "holder: holder (holder)" in outcome.err
    assert records(repository) == []
    waited, gave_up = (event for event in history(state_of(repository)) if event.verb in ("wait", "give-up"))
    assert gave_up.at - waited.at < timedelta(seconds=5)


# ---------------------------------------------------------------- circles
def test_a_wait_that_closes_a_circle_is_refused_at_once(repository: Path) -> None:
    al = by(repository, "al")
    al.lock("src/a.py")
    by(repository, "bo").lock("src/b.py")
    race = waiting(repository, [("bo", partial(run_main, "lock", "src/a.py", "--wait=30"))])
    start = time.monotonic()
    refused = al.lock("src/b.py", wait=30)
    assert time.monotonic() - start < 5
    assert isinstance(refused, Conflict)
    assert len(refused.cycle) == 2
    al.unlock("src/a.py")
    assert race.finish()[0].code == GRANTED


def test_of_two_who_close_a_circle_in_the_same_moment_one_is_refused(repository: Path) -> None:
    by(repository, "al").lock("a")
    by(repository, "bo").lock("b")

    def wait_and_let_go(wanted: str, own: str) -> int:
        code = run_main("lock", wanted, "--wait=30")
        return run_main("unlock", own) or code

    race = Race(repository, [("al", partial(wait_and_let_go, "b", "a")), ("bo", partial(wait_and_let_go, "a", "b"))])
    race.start()
    outcomes = race.finish()
    assert sorted(outcome.code for outcome in outcomes) == [GRANTED, REFUSED]
    (refused,) = (outcome for outcome in outcomes if outcome.code == REFUSED)
    me, other = refused.agent, "bo" if refused.agent == "al" else "al"
    mine, theirs = ("a", "b") if me == "al" else ("b", "a")
    assert f"you wait for {theirs} of {other} ({other}), who waits for {mine} of you" in refused.err


# ---------------------------------------------------------------- append
def test_lines_that_are_added_at_once_stay_whole(repository: Path) -> None:
    def add(agent: str) -> int:
        return max(
            run_main("append", "log.txt", "--wait=60", "--content", f"{agent}:{n}:" + "z" * 999) for n in range(3)
        )

    race = Race(repository, [(f"w{n}", partial(add, f"w{n}")) for n in range(8)])
    race.start()
    assert {outcome.code for outcome in race.finish()} == {GRANTED}
    lines = (repository / "log.txt").read_text().splitlines()
    assert sorted(lines) == sorted(f"w{n}:{m}:" + "z" * 999 for n in range(8) for m in range(3))
    assert not list((state_of(repository) / "locks").glob("*.json"))
