"""Following the log: every revision once and in order, whatever happens to files, watches and directories.

Nothing sleeps: a listener collects in a thread of its own, and tests wait for what must come.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from agentsync.core import keys
from agentsync.core.changes import Put
from agentsync.core.policy import DEFAULT
from agentsync.core.records import Agent
from agentsync.runtime import Runtime
from agentsync.store import log, watch
from agentsync.store.compact import compact
from agentsync.store.files import Content, Files
from agentsync.store.locate import Place
from agentsync.store.store import Store
from agentsync.store.watch import Follower

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agentsync.core.records import Event

MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
"""Where syncing costs nothing."""

PATIENCE = 30.0
"""Seconds after which something that must come has not come."""


def store_in(root: str) -> Store:
    return Store(Place(root, f"{root}/state", root), Runtime(), DEFAULT, durable=False)


def writes(store: Store, count: int = 1, actor: str = "writer") -> None:
    """Commit events, one transaction each."""
    for number in range(count):
        with store.transaction(actor) as tx:
            now = store.runtime.now()
            agent = Agent(id=actor, name=actor, role=str(number), created_at=now, last_seen=now)
            tx.commit("note", f"{actor} {number}", [Put(keys.agent(actor), agent)])


def compacts(store: Store) -> None:
    with store.transaction("writer") as tx:
        compact(store, tx)


@pytest.fixture
def store() -> Iterator[Store]:
    with tempfile.TemporaryDirectory(dir=MEMORY) as root:
        yield store_in(root)


class Listener:
    """Collects what a follower delivers."""

    def __init__(self, follower: Follower) -> None:
        self.follower = follower
        self.events: list[Event] = []
        self._more = threading.Condition()
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()

    def _listen(self) -> None:
        for event in self.follower.events():
            with self._more:
                self.events.append(event)
                self._more.notify_all()

    @property
    def revisions(self) -> list[int]:
        with self._more:
            return [event.rev for event in self.events]

    def waits_for(self, count: int, patience: float = PATIENCE) -> list[int]:
        """The revisions, once there are so many, or when patience is over."""
        with self._more:
            self._more.wait_for(lambda: len(self.events) >= count, patience)
        return self.revisions

    def ends(self) -> None:
        self.follower.close()
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive(), "closing ends the iteration"


@pytest.fixture
def listen() -> Iterator[list[Listener]]:
    """Listeners that are ended whatever happens."""
    started: list[Listener] = []
    yield started
    for listener in started:
        listener.ends()


@pytest.fixture
def no_watches(monkeypatch: pytest.MonkeyPatch) -> None:
    """As when `max_user_instances` or `max_user_watches` is reached."""
    from watchdog.observers import Observer

    def start(_self: object) -> None:
        raise OSError(28, "inotify watch limit reached")

    monkeypatch.setattr(Observer, "start", start)


def follows(store: Store, after: int, listen: list[Listener]) -> Listener:
    listen.append(Listener(Follower(store.files, after)))
    return listen[-1]


# ---------------------------------------------------------------- what has been, and what comes
def test_what_was_before_is_delivered_first_and_silence_ends_it(store: Store) -> None:
    writes(store, 5)
    with Follower(store.files, 2) as follower:
        assert [event.rev for event in follower.events(timeout=0)] == [3, 4, 5]
        assert [event.rev for event in follower.events(timeout=0)] == []
        writes(store)
        assert [event.rev for event in follower.events(timeout=0)] == [6], "it goes on where it was"


def test_what_comes_is_delivered_as_it_comes(store: Store, listen: list[Listener]) -> None:
    writes(store)
    listener = follows(store, 1, listen)
    for number in range(2, 12):
        writes(store)
        assert listener.waits_for(number - 1) == list(range(2, number + 1))


def test_the_watch_wakes_it_not_the_clock(store: Store, listen: list[Listener]) -> None:
    writes(store)
    listener = follows(store, 0, listen)
    listener.waits_for(1)
    start = time.monotonic()
    for number in range(2, 10):
        writes(store)
        listener.waits_for(number)
    assert time.monotonic() - start < 8 * watch.RECHECK_S / 2


def test_silence_is_counted_from_the_last_event(store: Store) -> None:
    writes(store)
    start = time.monotonic()
    with Follower(store.files, 0) as follower:
        assert len(list(follower.events(timeout=0.3))) == 1
    assert 0.3 <= time.monotonic() - start < PATIENCE


def test_it_may_begin_before_there_is_a_store(store: Store, listen: list[Listener]) -> None:
    listener = follows(store, 0, listen)
    writes(store, 3)
    assert listener.waits_for(3) == [1, 2, 3]


def test_closing_from_another_thread_ends_it_and_leaves_no_thread_behind(store: Store) -> None:
    writes(store)
    before = set(threading.enumerate())
    listener = Listener(Follower(store.files, 0))
    listener.waits_for(1)
    listener.ends()
    assert set(threading.enumerate()) == before


def test_leaving_the_loop_early_leaves_no_thread_behind(store: Store) -> None:
    writes(store, 3)
    before = set(threading.enumerate())
    with Follower(store.files, 0) as follower:
        for event in follower.events():
            assert event.rev == 1
            break
    assert set(threading.enumerate()) == before


def test_a_closed_follower_delivers_nothing_more(store: Store) -> None:
    writes(store, 3)
    follower = Follower(store.files, 0)
    stream = follower.events()
    assert next(stream).rev == 1
    follower.close()
    assert list(stream) == []


class Closing(Files):
    """Closes a follower, as another thread may do at any time, when the log is looked at for the n-th time."""

    def __init__(self, root: str, at: int) -> None:
        super().__init__(root, "closing")
        self.looks = 0
        self.at = at
        self.follower: Follower | None = None

    def path(self, key: str) -> str:
        if key == "log" and self.follower is not None:
            self.looks += 1
            if self.looks == self.at:
                self.follower.close()
        return super().path(key)


@pytest.mark.parametrize("at", range(1, 6))
def test_it_may_be_closed_at_any_moment(at: int, store: Store) -> None:
    writes(store, 3)
    before = set(threading.enumerate())
    files = Closing(store.place.state, at)
    files.follower = Follower(files, 0)
    assert [event.rev for event in files.follower.events(timeout=1.5)] in ([], [1, 2, 3])
    assert set(threading.enumerate()) == before or files.looks < at
    files.follower.close()


def test_several_followers_do_not_disturb_each_other(store: Store, listen: list[Listener]) -> None:
    writes(store)
    listeners = [follows(store, after, listen) for after in (0, 0, 1)]
    writes(store, 50)
    assert [len(listener.waits_for(50 + (n < 2))) for n, listener in enumerate(listeners)] == [51, 51, 50]


# ---------------------------------------------------------------- only whether something happened
def test_what_happened_before_it_watched_is_noticed_at_once(store: Store) -> None:
    writes(store, 3)
    with Follower(store.files, 1) as follower:
        assert follower.moved(PATIENCE)
        assert not follower.moved(0)
        writes(store, 2)
        assert follower.moved(0), "two at once are one move"
        assert not follower.moved(0)


def test_it_waits_no_longer_than_it_may(store: Store) -> None:
    writes(store)
    start = time.monotonic()
    with Follower(store.files, 1) as follower:
        assert not follower.moved(0.3)
    assert 0.3 <= time.monotonic() - start < PATIENCE


def test_an_event_wakes_who_only_wants_to_know(store: Store) -> None:
    writes(store)
    with Follower(store.files, 1) as follower:
        follower.moved(0)
        start = time.monotonic()
        writer = threading.Timer(0.1, writes, (store,))
        writer.start()
        assert follower.moved(PATIENCE)
        assert time.monotonic() - start < watch.RECHECK_S / 2
        writer.join()


@pytest.mark.usefixtures("no_watches")
def test_without_watches_it_polls_to_know(store: Store) -> None:
    writes(store)
    with Follower(store.files, 1) as follower:
        writer = threading.Timer(0.1, writes, (store,))
        writer.start()
        assert follower.moved(PATIENCE)
        writer.join()


def test_a_state_that_is_deleted_is_a_move(store: Store) -> None:
    writes(store, 3)
    with Follower(store.files, 3) as follower:
        assert not follower.moved(0)
        shutil.rmtree(store.files.root)
        assert follower.moved(PATIENCE)


# ---------------------------------------------------------------- bursts
WRITER = """
import sys
from agentsync.core import keys
from agentsync.core.changes import Put
from agentsync.core.policy import DEFAULT
from agentsync.core.records import Agent
from agentsync.runtime import Runtime
from agentsync.store.compact import compact
from agentsync.store.locate import Place
from agentsync.store.store import Store
root, actor, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
store = Store(Place(root, f"{root}/state", root), Runtime(), DEFAULT, owns_signals=True, durable=False)
for number in range(count):
    with store.transaction(actor) as tx:
        now = store.runtime.now()
        agent = Agent(id=actor, name=actor, role=str(number), created_at=now, last_seen=now)
        tx.commit("note", f"{actor} {number}", [Put(keys.agent(actor), agent)])
        if store.due_for_compaction:
            store.due_for_compaction = False
            compact(store, tx)
"""


def burst(store: Store, listener: Listener, each: int) -> None:
    """Two processes write, and compact as they go; everything arrives once, in order, and in each writer's order."""
    names = ("one", "two")
    already = store.revision()
    command = [sys.executable, "-c", WRITER, store.place.root]
    processes = [subprocess.Popen([*command, name, str(each)]) for name in names]
    assert [process.wait() for process in processes] == [0, 0]
    expected = list(range(1, already + 2 * each + 1))
    assert listener.waits_for(len(expected), 2 * PATIENCE) == expected
    for name in names:
        said = [event.summary for event in listener.events if event.actor == name]
        assert said == [f"{name} {number}" for number in range(each)]


def test_a_burst_of_two_writers_arrives_whole(store: Store, listen: list[Listener]) -> None:
    writes(store)
    burst(store, follows(store, 0, listen), 1500)
    assert len(log.revisions(store.files)) < 1000, "it was compacted meanwhile"


def test_a_burst_arrives_whole_without_a_watcher_too(store: Store, listen: list[Listener], no_watches: None) -> None:
    writes(store)
    burst(store, follows(store, 0, listen), 300)


# ---------------------------------------------------------------- compaction under its feet
def test_who_is_far_behind_reads_on_in_the_archive(store: Store) -> None:
    writes(store, 700)
    with Follower(store.files, 0) as follower:
        stream = follower.events(timeout=0)
        found = [next(stream).rev for _ in range(10)]
        compacts(store)
        assert not (Path(store.place.state) / keys.event(11)).exists()
        found += [event.rev for event in stream]
    assert found == list(range(1, 701))


class Interrupted(Files):
    """Runs something at the very moment when a key is read for the first time."""

    def __init__(self, root: str, key: str, action: object) -> None:
        super().__init__(root, "interrupted")
        self.key = key
        self.action = action

    def read(self, key: str, cap: int = 1 << 20) -> Content | None:
        if key == self.key and callable(self.action):
            action, self.action = self.action, None
            action()
        return super().read(key, cap)


@pytest.mark.parametrize("revision", [1, 2, 40, 43, 44, 45, 300])
def test_compaction_at_the_worst_moment_loses_nothing(revision: int, store: Store) -> None:
    """Between two reads: 44 is the last event that leaves the log, 45 the first that stays."""
    writes(store, 300)
    files = Interrupted(store.place.state, keys.event(revision), lambda: compacts(store))
    with Follower(files, 0) as follower:
        assert [event.rev for event in follower.events(timeout=0)] == list(range(1, 301))
    assert files.action is None


def test_two_compactions_make_two_archives_and_both_are_read(store: Store) -> None:
    for _ in range(2):
        writes(store, 300)
        compacts(store)
    assert len(log.archives(store.files)) == 2
    with Follower(store.files, 0) as follower:
        assert [event.rev for event in follower.events(timeout=0)] == list(range(1, 601))


def test_duplicates_of_a_compaction_that_died_are_delivered_once(store: Store) -> None:
    writes(store, 300)
    kept = {path: path.read_bytes() for path in (Path(store.place.state) / "log").iterdir()}
    compacts(store)
    for path, content in kept.items():
        path.write_bytes(content)
    with Follower(store.files, 0) as follower:
        assert [event.rev for event in follower.events(timeout=0)] == list(range(1, 301))


# ---------------------------------------------------------------- damage
def test_a_damaged_event_is_left_out_and_what_follows_is_not(store: Store) -> None:
    writes(store, 5)
    (Path(store.place.state) / keys.event(3)).write_bytes(b"{")
    with Follower(store.files, 0) as follower:
        assert [event.rev for event in follower.events(timeout=0)] == [1, 2, 4, 5]


def test_a_gap_is_skipped(store: Store) -> None:
    writes(store, 5)
    (Path(store.place.state) / keys.event(3)).unlink()
    with Follower(store.files, 0) as follower:
        assert [event.rev for event in follower.events(timeout=0)] == [1, 2, 4, 5]


# ---------------------------------------------------------------- directories that go
def summaries(listener: Listener, count: int, patience: float = PATIENCE) -> list[str]:
    listener.waits_for(count, patience)
    return [event.summary for event in listener.events]


def vanishes(directory: str) -> None:
    """At once: of a log that is removed file by file, a look in between may see any part."""
    aside = f"{directory}.aside"
    os.rename(directory, aside)
    shutil.rmtree(aside)


def test_a_state_that_was_deleted_and_made_anew_is_followed_from_its_beginning(
    store: Store, listen: list[Listener]
) -> None:
    writes(store, 3)
    listener = follows(store, 0, listen)
    listener.waits_for(3)
    vanishes(store.place.state)
    writes(store_in(store.place.root), 2, actor="new")
    assert summaries(listener, 5)[3:] == ["new 0", "new 1"]


def test_made_anew_with_more_events_than_before_none_of_them_is_missed(store: Store, listen: list[Listener]) -> None:
    """Revisions go on where the old ones ended, but they are other events."""
    writes(store, 3)
    listener = follows(store, 0, listen)
    listener.waits_for(3)
    vanishes(store.place.state)
    writes(store_in(store.place.root), 5, actor="new")
    assert summaries(listener, 8, 4 * watch.RECHECK_S)[3:] == [f"new {number}" for number in range(5)]


@pytest.mark.parametrize("revision", [1, 2, 3, 4])
def test_made_anew_between_two_looks_no_event_of_the_new_one_comes_before_its_first(
    revision: int, store: Store
) -> None:
    writes(store, 3)

    def begins_anew() -> None:
        vanishes(store.place.state)
        writes(store_in(store.place.root), 5, actor="new")

    files = Interrupted(store.place.state, keys.event(revision), begins_anew)
    with Follower(files, 0) as follower:
        found = [event.summary for event in follower.events(timeout=0.2)]
    assert found == [*(f"writer {n}" for n in range(revision - 1)), *(f"new {n}" for n in range(5))]


class Fleeting(Files):
    """When the second event is read, the state is made anew, and that one is gone again when it was read."""

    def read(self, key: str, cap: int = 1 << 20) -> Content | None:
        if key != keys.event(2) or not os.path.exists(self.root):
            return super().read(key, cap)
        vanishes(self.root)
        writes(store_in(os.path.dirname(self.root)), 5, actor="fleeting")
        content = super().read(key, cap)
        vanishes(self.root)
        return content


def test_no_event_comes_of_a_state_that_was_made_anew_and_is_gone_already(store: Store) -> None:
    writes(store, 3)
    with Follower(Fleeting(store.place.state, "t"), 0) as follower:
        assert [event.summary for event in follower.events(timeout=0.2)] == ["writer 0"]


def test_a_format_that_was_damaged_and_made_anew_is_no_new_history(store: Store) -> None:
    writes(store, 3)
    with Follower(store.files, 0) as follower:
        assert [event.rev for event in follower.events(timeout=0)] == [1, 2, 3]
        (Path(store.place.state) / keys.FORMAT).write_bytes(b"{")
        writes(store_in(store.place.root), 2)
        assert [event.rev for event in follower.events(timeout=0)] == [4, 5]


def test_emptied_and_begun_anew_in_the_same_directories_it_is_followed_from_its_beginning(
    store: Store, listen: list[Listener]
) -> None:
    """As after `rm -r state/*`, or on a disk that gives the number of a removed directory to the next one."""
    writes(store, 3)
    listener = follows(store, 0, listen)
    listener.waits_for(3)
    for path in sorted(Path(store.place.state).rglob("*")):
        if path.is_file():
            path.unlink()  # events from the first on, so that no look in between takes the rest for a new beginning
    writes(store_in(store.place.root), 2, actor="new")
    assert summaries(listener, 5, 4 * watch.RECHECK_S)[3:] == ["new 0", "new 1"]


def test_made_anew_while_watching_does_not_work_it_is_followed_from_its_beginning(
    store: Store, listen: list[Listener], no_watches: None
) -> None:
    writes(store, 3)
    listener = follows(store, 0, listen)
    listener.waits_for(3)
    vanishes(store.place.state)
    writes(store_in(store.place.root), 2, actor="new")
    assert summaries(listener, 5, 2 * watch.REARM_S)[3:] == ["new 0", "new 1"]


def test_a_log_directory_that_was_replaced_by_its_copy_goes_on(store: Store, listen: list[Listener]) -> None:
    writes(store, 3)
    listener = follows(store, 0, listen)
    listener.waits_for(3)
    directory = Path(store.files.path("log"))
    aside = directory.rename(directory.parent / "aside")
    shutil.copytree(aside, directory)
    writes(store, 2)
    assert listener.waits_for(5) == [1, 2, 3, 4, 5]


# ---------------------------------------------------------------- how long, and what it says meanwhile
def test_what_was_there_is_delivered_even_when_the_time_is_over_and_needs_no_watch(store: Store) -> None:
    writes(store, 5)
    with Follower(store.files, 0) as follower:
        assert [event.rev for event in follower.events(total=0)] == [1, 2, 3, 4, 5]
        assert follower._observer is None


def test_the_time_is_over_whoever_goes_on_writing(store: Store) -> None:
    """A writer that is never silent would keep it for ever; `total` is no silence."""
    writes(store)
    with Follower(store.files, 0) as follower:
        for event in follower.events(total=0.3):
            writes(store)
            assert event.rev < 100_000


@pytest.mark.usefixtures("no_watches")
def test_that_watching_does_not_work_is_said_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "REARM_S", 0.05)
    said: list[str] = []
    writes(store)
    with Follower(store.files, 0, said.append) as follower:
        assert [event.rev for event in follower.events(timeout=0.4)] == [1]
    assert len(said) == 1
    assert "inotify watch limit reached" in said[0]


def test_nothing_is_said_of_a_store_that_is_not_there_yet_and_that_one_was_made_anew_is(store: Store) -> None:
    said: list[str] = []
    with Follower(store.files, 0, said.append) as follower:
        assert list(follower.events(timeout=0.2)) == []
        assert said == []
        writes(store, 3)
        assert [event.rev for event in follower.events(timeout=0)] == [1, 2, 3]
        vanishes(store.place.state)
        writes(store_in(store.place.root), 2)
        assert [event.rev for event in follower.events(timeout=0)] == [1, 2]
    assert len(said) == 1
    assert "made anew" in said[0]


# ---------------------------------------------------------------- no watches
def test_without_a_watcher_it_polls(store: Store, listen: list[Listener], no_watches: None) -> None:
    writes(store)
    listener = follows(store, 0, listen)
    for number in range(2, 6):
        writes(store)
        assert listener.waits_for(number) == list(range(1, number + 1))


def test_a_watcher_whose_thread_died_is_replaced(store: Store, listen: list[Listener]) -> None:
    writes(store)
    listener = follows(store, 0, listen)
    listener.waits_for(1)
    while (observer := listener.follower._observer) is None:
        writes(store)  # what is there already is delivered before it begins to watch
    observer.unschedule_all()  # type: ignore[attr-defined]  # what an overflow or a lost mount does
    writes(store, 2)
    newest = store.revision()
    assert listener.waits_for(newest) == list(range(1, newest + 1))
    writes(store)
    assert listener.waits_for(newest + 1) == list(range(1, newest + 2))
