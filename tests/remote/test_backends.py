"""What every engine must do. A new one is one more entry of `ENGINES`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import etcd_server
import pytest
from remote.memory import Hub, Memory
from world import git, make_repo

from agentsync.core.shared import Wanted
from agentsync.remote.backend import Backend, Done, Lost, Snapshot
from agentsync.remote.etcd import Etcd
from agentsync.remote.plain_git import PlainGit
from agentsync.store.files import Files

if TYPE_CHECKING:
    from collections.abc import Callable

    Connect = Callable[[], Backend]


def in_memory(_tmp_path: Path) -> Connect:
    hub = Hub()
    return lambda: Memory(hub)


def by_git(tmp_path: Path) -> Connect:
    git("init", "-q", "--bare", "hub.git", cwd=tmp_path)
    clones = iter(range(99))

    def connect() -> Backend:
        top = make_repo(tmp_path / f"clone-{next(clones)}")
        state = tmp_path / f"state-{top.name}"
        (state / "tmp").mkdir(parents=True)
        files = Files(str(state), "t")
        return PlainGit(
            files, str(top), str(tmp_path / "hub.git"), "refs/agentsync/state", env={"PATH": "/usr/bin:/bin"}
        )

    return connect


def by_etcd(tmp_path: Path) -> Connect:
    address = etcd_server.shared().address(f"board-{os.urandom(8).hex()}")
    clones = iter(range(99))

    def connect() -> Backend:
        state = tmp_path / f"state-{next(clones)}"
        (state / "tmp").mkdir(parents=True)
        return Etcd(Files(str(state), "t"), address, "refs/agentsync/state", env={})

    return connect


ENGINES = (in_memory, by_git, by_etcd)


@pytest.fixture(params=ENGINES, ids=lambda engine: engine.__name__)
def connect(request: pytest.FixtureRequest, tmp_path: Path) -> Connect:
    made: Connect = request.param(tmp_path)
    return made


def seen(engine: Backend, known: str | None = None) -> Snapshot:
    found = engine.read(known)
    assert isinstance(found, Snapshot), found
    return found


def swapped(engine: Backend, base: Snapshot, squash: bool = False, **files: bytes | None) -> str:
    changes = {name.replace("__", "/"): data for name, data in files.items()}
    done = engine.swap(base.version, changes, "a test", squash)
    assert isinstance(done, Done), done
    return done.version


def test_what_is_not_there_reads_as_nothing(connect: Connect) -> None:
    assert seen(connect()) == Snapshot(version=None, files={}, follows=True)


def test_what_one_swaps_another_reads(connect: Connect) -> None:
    one, other = connect(), connect()
    version = swapped(one, seen(one), board=b"1\n", locks__a=b"a\n", locks__shared__b=b"b\n")
    found = seen(other)
    assert (found.version, found.files) == (version, {"board": b"1\n", "locks/a": b"a\n", "locks/shared/b": b"b\n"})


def test_files_are_changed_and_removed_and_the_rest_stays(connect: Connect) -> None:
    one = connect()
    swapped(one, seen(one), board=b"1", locks__a=b"a", locks__shared__b=b"b", machines__m=b"m")
    swapped(one, seen(one), board=b"2", locks__shared__b=None, locks__a=b"\0\xff\n\n")
    assert seen(connect()).files == {"board": b"2", "locks/a": b"\0\xff\n\n", "machines/m": b"m"}


def test_everything_may_go(connect: Connect) -> None:
    one = connect()
    swapped(one, seen(one), locks__a=b"a")
    swapped(one, seen(one), locks__a=None)
    assert seen(one).files == {}


def test_the_first_swap_wins_and_the_second_changes_nothing(connect: Connect) -> None:
    one, other = connect(), connect()
    base, same = seen(one), seen(other)
    swapped(one, base, a=b"one")
    assert other.swap(same.version, {"a": b"other"}, "a test") == Lost()
    assert seen(other).files == {"a": b"one"}
    base, same = seen(one), seen(other)
    swapped(other, same, a=b"other")
    assert one.swap(base.version, {"b": b"one"}, "a test") == Lost()
    assert seen(one).files == {"a": b"other"}


def test_a_swap_makes_the_base_of_the_next(connect: Connect) -> None:
    one = connect()
    first = swapped(one, seen(one), a=b"1")
    second = swapped(one, Snapshot(version=first, files={"a": b"1"}), a=b"2")
    assert seen(connect()).version == second != first


def test_a_version_that_was_seen_is_recalled_without_asking(connect: Connect) -> None:
    one, other = connect(), connect()
    version = swapped(one, seen(one), a=b"1")
    swapped(other, seen(other), a=b"2")
    assert one.recall(version) == Snapshot(version=version, files={"a": b"1"})
    assert one.recall("0" * 40) is None


def test_versions_before_the_last_one_are_recalled_too(connect: Connect) -> None:
    one, other = connect(), connect()
    first = swapped(one, seen(one), a=b"1", b=b"1")
    swapped(other, seen(other), a=b"2", b=None)
    second = seen(one, first).version
    swapped(other, seen(other), squash=True, c=b"3")
    third = seen(one, second)
    swapped(one, third, c=b"4")
    assert one.recall(first) == Snapshot(version=first, files={"a": b"1", "b": b"1"})
    assert second is not None
    assert one.recall(second) == Snapshot(version=second, files={"a": b"2"})
    assert one.recall(third.version or "", Wanted(lambda path: path == "c")) == Snapshot(
        version=third.version, files={"c": b"3"}
    )


@pytest.mark.parametrize("folders", [None, ("deep/down/", "gone/")])
def test_of_a_version_only_what_is_wanted_is_read(connect: Connect, folders: tuple[str, ...] | None) -> None:
    one = connect()
    version = swapped(one, seen(one), a=b"1", locks__b=b"2", locks__c=b"3", deep__down__d=b"4", deep__down__e=b"5")
    asked = {"a", "locks/c", "d", "deep/down/d", "nowhere/x"}
    found = one.recall(version, Wanted(asked.__contains__, frozenset(asked), folders))
    assert found == Snapshot(version=version, files={"a": b"1", "locks/c": b"3", "deep/down/d": b"4"})
    swapped(one, found, a=b"6", locks__c=None)
    assert seen(connect()).files == {"a": b"6", "locks/b": b"2", "deep/down/d": b"4", "deep/down/e": b"5"}


def test_what_grows_follows_and_what_begins_anew_does_not(connect: Connect) -> None:
    one, other = connect(), connect()
    version = swapped(one, seen(one), a=b"1")
    for data in (b"2", b"3"):
        swapped(other, seen(other), a=data)
    assert seen(one, version).follows
    squashed = swapped(other, seen(other), squash=True, a=b"4")
    found = seen(one, version)
    assert (found.version, found.files, found.follows) == (squashed, {"a": b"4"}, False)
    assert seen(one, found.version).follows


@pytest.mark.parametrize("name", ["src%2Fapi.py.json", "@db.json", "-x.json", "~0123456789abcdef.json", "a b.json"])
def test_names_are_kept(connect: Connect, name: str) -> None:
    one = connect()
    done = one.swap(seen(one).version, {f"locks/{name}": b"x", name: b"y"}, "two\nlines")
    assert isinstance(done, Done)
    assert seen(connect()).files == {f"locks/{name}": b"x", name: b"y"}


def test_a_thousand_files_are_one_swap(connect: Connect) -> None:
    one = connect()
    changes = {f"locks/{number}.json": str(number).encode() for number in range(1000)}
    assert isinstance(one.swap(seen(one).version, changes, "many"), Done)
    assert seen(connect()).files == changes
