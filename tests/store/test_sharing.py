"""What is written for Windows and macOS, tried with the errors and the facts of those systems; it was never run there."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from world import World

from agentsync.runtime import PLATFORM, Process, Runtime
from agentsync.store.files import Files
from agentsync.store.sharing import FIRST, LONGEST, TRIES, patiently

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class SharingError(PermissionError):
    """What Windows raises; elsewhere errors have no `winerror`."""

    def __init__(self, number: int) -> None:
        super().__init__(13, "The process cannot access the file")
        self.winerror = number


class Disk:
    """A system call that fails a number of times."""

    def __init__(self, *failures: OSError) -> None:
        self.failures = list(failures)
        self.calls: list[tuple[object, ...]] = []

    def move(self, *words: object) -> str:
        self.calls.append(words)
        if self.failures:
            raise self.failures.pop(0)
        return "moved"


def on_windows(disk: Disk, slept: list[float], chance: float = 1.0) -> Callable[..., str]:
    return patiently(disk.move, "windows", slept.append, lambda: chance)


@pytest.mark.parametrize("number", [5, 32, 33])
def test_a_file_that_others_have_open_is_tried_again(number: int) -> None:
    disk, slept = Disk(SharingError(number), SharingError(number)), []
    assert on_windows(disk, slept)("a", "b") == "moved"
    assert disk.calls == [("a", "b")] * 3
    assert slept == [FIRST, 2 * FIRST]


def test_pauses_double_up_to_a_limit_and_end_after_about_a_second() -> None:
    disk, slept = Disk(*[SharingError(32)] * 99), []
    with pytest.raises(SharingError):
        on_windows(disk, slept)("a", "b")
    assert len(disk.calls) == TRIES
    assert len(slept) == TRIES - 1
    assert slept == sorted(slept)
    assert max(slept) == LONGEST
    assert 0.5 < sum(slept) < 1.5
    shorter: list[float] = []
    with pytest.raises(SharingError):
        on_windows(Disk(*[SharingError(32)] * 99), shorter, chance=0.0)("a", "b")
    assert shorter == [pause / 2 for pause in slept]


@pytest.mark.parametrize(
    "error", [FileNotFoundError(2, "no"), PermissionError(13, "no"), SharingError(3), SharingError(112)]
)
def test_any_other_error_is_told_at_once(error: OSError) -> None:
    slept: list[float] = []
    with pytest.raises(type(error)):
        on_windows(Disk(error), slept)("a", "b")
    assert slept == []


def test_elsewhere_it_is_the_call_itself() -> None:
    assert patiently(os.replace, "posix") is os.replace
    expected = "windows" if os.name == "nt" else "posix"
    assert (PLATFORM, Runtime().platform) == (expected, expected)


@pytest.mark.parametrize(
    ("call", "act"),
    [
        ("replace", lambda files: files.replace("tmp/t-1", "a.json")),
        ("rename", lambda files: files.rename("tmp/t-1", "a.json")),
        ("link", lambda files: files.link("tmp/t-1", "a.json")),
        ("unlink", lambda files: files.unlink("tmp/t-1")),
        ("open", lambda files: files.read("tmp/t-1")),
    ],
)
def test_every_move_and_every_reading_of_a_record_waits_for_others(
    call: str, act: Callable[[Files], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = Files(str(tmp_path), "t", platform="windows")
    files.make_directory("tmp")
    assert files.write_temp(b"{}", sync=True) == "tmp/t-1"
    real, failures = getattr(os, call), [SharingError(32)]

    def busy(*words: object, **options: object) -> object:
        if failures:
            raise failures.pop()
        return real(*words, **options)

    monkeypatch.setattr(os, call, busy)
    act(files)
    assert failures == []
    monkeypatch.undo()
    assert (tmp_path / "a.json").exists() is (call in ("replace", "rename", "link"))


def test_a_directory_is_not_synced_where_it_cannot_be_opened(tmp_path: Path) -> None:
    Files(str(tmp_path), "t", platform="windows").sync_directory("not there, so this would fail elsewhere")
    with pytest.raises(FileNotFoundError):
        Files(str(tmp_path), "t", platform="posix").sync_directory("not there")


# ---------------------------------------------------------------- no /proc
class WithoutProc(Runtime):
    """A Mac: processes can be signalled, and that is all one knows of them."""

    boot_id = None
    pid_ns = None

    def process(self, pid: int) -> Process | None:
        return Process(pid, None) if pid == self.pid else None


def test_without_proc_nobody_is_provably_dead_or_alive() -> None:
    mac = WithoutProc()
    for pid in (mac.pid, 999_999):
        assert mac.life_of(pid, None, mac.boot_id, mac.pid_ns) == "unknown"


def test_and_then_silence_decides(world: World) -> None:
    alice, bob = world.agent("alice"), world.agent("bob")
    alice.locks("src/app.py")
    world.clock.advance(minutes=14)
    assert bob.is_refused("src/app.py")
    world.clock.advance(minutes=2)
    assert not bob.is_refused("src/app.py")
