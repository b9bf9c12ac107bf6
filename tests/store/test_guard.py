"""The guard: it excludes, it does not starve, it says who is in the way, and it leaves no trace in the process."""

from __future__ import annotations

import fcntl
import os
import signal
import threading
import warnings
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from filelock import FileLock, Timeout

from agentsync.errors import GuardTimeoutError, UnusableError
from agentsync.store.guard import Guard, holder_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SHORT = 0.05
LONG = 30.0

both_ways = pytest.mark.parametrize("owns_signals", [True, False], ids=["in the kernel", "by filelock"])
"""How a process waits: a short-lived one of ours, or library use."""


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "guard")


def forked(act: Callable[[], object]) -> int:
    """Run something in a process of its own; returns its pid. Its exit code is 0 if `act` returned."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # 3.12: other threads may hold locks
        pid = os.fork()
    if pid == 0:
        try:
            act()
            os._exit(0)
        finally:
            os._exit(1)
    return pid


class Holder:
    """Another process that holds the guard until it is told to let go."""

    def __init__(self, take: Callable[[], object]) -> None:
        ready, told = os.pipe(), os.pipe()

        def hold() -> None:
            kept = take()
            os.write(ready[1], b"1")
            os.read(told[0], 1)
            del kept

        self.pid = forked(hold)
        os.close(ready[1])
        os.close(told[0])
        self._end = told[1]
        assert os.read(ready[0], 1) == b"1", "it could not take the guard"
        os.close(ready[0])

    def let_go(self) -> None:
        """Release and end; a second call does nothing."""
        if self._end >= 0:
            with suppress(BrokenPipeError):  # it was killed
                os.write(self._end, b"1")
            os.close(self._end)
            self._end = -1
            os.waitpid(self.pid, 0)


@contextmanager
def held_by(take: Callable[[], object]) -> Iterator[Holder]:
    holder = Holder(take)
    try:
        yield holder
    finally:
        holder.let_go()


def by_guard(path: str) -> Callable[[], object]:
    """Take it as our own short-lived processes do."""

    def take() -> object:
        context = Guard(path).held(LONG, owns_signals=True)
        context.__enter__()
        return context

    return take


def by_filelock(path: str) -> Callable[[], object]:
    """Take it as anybody's filelock does."""

    def take() -> object:
        lock = FileLock(path)
        lock.acquire()
        return lock

    return take


def later(act: Callable[[], object]) -> threading.Timer:
    """Do something while the caller waits."""
    timer = threading.Timer(SHORT, act)
    timer.start()
    return timer


def is_free(path: str) -> bool:
    """Whether a process of somebody else could take it now."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(fd)
    return True


# ---------------------------------------------------------------- exclusion
def test_it_is_held_for_the_length_of_the_block(path: str) -> None:
    with Guard(path).held(LONG, owns_signals=True):
        assert not is_free(path)
    assert is_free(path)


def test_it_is_given_back_when_the_block_fails(path: str) -> None:
    with pytest.raises(KeyError), Guard(path).held(LONG, owns_signals=True):
        raise KeyError
    assert is_free(path)


@both_ways
@pytest.mark.parametrize("take", [by_guard, by_filelock])
def test_who_comes_second_waits_in_vain_and_is_told_the_holders_pid(
    take: Callable[[str], Callable[[], object]], owns_signals: bool, path: str
) -> None:
    with (
        held_by(take(path)) as holder,
        pytest.raises(GuardTimeoutError, match=rf"in 0\.05 s: process {holder.pid} holds it") as caught,
        Guard(path).held(SHORT, owns_signals),
    ):
        pytest.fail("two at a time")
    assert str(holder.pid) in caught.value.hint
    assert caught.value.code == 6


def test_it_keeps_filelock_out(path: str) -> None:
    with held_by(by_guard(path)), pytest.raises(Timeout):
        FileLock(path, timeout=SHORT).acquire()


@both_ways
@pytest.mark.parametrize("take", [by_guard, by_filelock])
def test_who_comes_second_gets_it_when_the_first_lets_go(
    take: Callable[[str], Callable[[], object]], owns_signals: bool, path: str
) -> None:
    with held_by(take(path)) as holder:
        timer = later(holder.let_go)
        with Guard(path).held(LONG, owns_signals):
            assert not is_free(path)
        timer.join()
    assert is_free(path)


@both_ways
def test_a_holder_that_is_killed_frees_it_at_once(owns_signals: bool, path: str) -> None:
    with held_by(by_guard(path)) as holder:
        timer = later(lambda: os.kill(holder.pid, signal.SIGKILL))
        with Guard(path).held(LONG, owns_signals):
            assert not is_free(path)
        timer.join()


@both_ways
def test_taking_it_twice_is_an_error_that_names_this_process_and_no_deadlock(owns_signals: bool, path: str) -> None:
    with (
        Guard(path).held(LONG, owns_signals),
        pytest.raises(GuardTimeoutError, match=f"process {os.getpid()} holds it"),
        Guard(path).held(SHORT, owns_signals),
    ):
        pytest.fail("two at a time")
    assert is_free(path)


@both_ways
def test_no_time_to_wait_means_not_waiting(owns_signals: bool, path: str) -> None:
    with held_by(by_guard(path)) as holder:
        timer = later(holder.let_go)
        with pytest.raises(GuardTimeoutError), Guard(path).held(0.0, owns_signals):
            pytest.fail("it waited until the holder let go")
        timer.join()


def test_a_process_forked_meanwhile_does_not_keep_it(path: str) -> None:
    """A library's host may fork at any time; the child has a copy of every descriptor."""
    with Guard(path).held(LONG, owns_signals=False):
        child = Holder(lambda: None)
    try:
        with Guard(path).held(SHORT, owns_signals=False):
            pass
    finally:
        child.let_go()


def test_a_program_started_meanwhile_does_not_inherit_it(path: str) -> None:
    with Guard(path).held(LONG, owns_signals=True):
        (fd,) = (int(n) for n in os.listdir("/proc/self/fd") if _names(int(n), path))
        assert not os.get_inheritable(fd)


def _names(fd: int, path: str) -> bool:
    try:
        return os.readlink(f"/proc/self/fd/{fd}") == path
    except FileNotFoundError:
        return False  # the listing's own


# ---------------------------------------------------------------- threads
def test_threads_exclude_each_other_and_other_processes(path: str, tmp_path: Path) -> None:
    """Eight threads add to a number in a file, and none of it is lost."""
    number, errors = tmp_path / "number", []
    number.write_text("0")

    def add() -> None:
        try:
            for _ in range(25):
                with Guard(path).held(LONG, owns_signals=True):  # in a thread signals are not ours, whoever says so
                    number.write_text(str(int(number.read_text()) + 1))
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=add) for _ in range(8)]
    for thread in threads:
        thread.start()
    add()
    for thread in threads:
        thread.join()
    assert errors == []
    assert number.read_text() == str(25 * 9)


def test_processes_exclude_each_other(path: str, tmp_path: Path) -> None:
    number = tmp_path / "number"
    number.write_text("0")

    def add(owns_signals: bool) -> None:
        for _ in range(25):
            with Guard(path).held(LONG, owns_signals):
                number.write_text(str(int(number.read_text()) + 1))

    children = [forked(lambda mode=mode: add(mode)) for mode in (True, False, True, False)]  # type: ignore[misc]
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0] * 4
    assert number.read_text() == "100"


# ---------------------------------------------------------------- the file is not what it was
def _remove(path: str) -> None:
    os.unlink(path)


def _swap(path: str) -> None:
    Path(f"{path}.other").touch()
    os.rename(f"{path}.other", path)


def _move_away(path: str) -> None:
    os.rename(path, f"{path}.gone")


@both_ways
@pytest.mark.parametrize("change", [_remove, _swap, _move_away])
def test_who_gets_a_file_that_the_path_no_longer_names_takes_the_right_one(
    change: Callable[[str], None], owns_signals: bool, path: str
) -> None:
    """Without that, the waiter guards a file that nobody else will ever look at."""
    with held_by(by_guard(path)) as holder:

        def act() -> None:
            change(path)
            holder.let_go()

        timer = later(act)
        with Guard(path).held(LONG, owns_signals):
            timer.join()
            assert not is_free(path)
        assert is_free(path)


@pytest.mark.parametrize("strange", ["directory", "fifo", "symlink", "dangling symlink"])
def test_what_is_no_regular_file_is_refused_without_waiting_or_following(
    strange: str, path: str, tmp_path: Path
) -> None:
    target = tmp_path / "target"
    if strange == "directory":
        os.mkdir(path)
    elif strange == "fifo":
        os.mkfifo(path)
    else:
        os.symlink(target, path)
        if strange == "symlink":
            target.touch()
    with pytest.raises(UnusableError, match=r"guard is not a regular file"), Guard(path).held(LONG, owns_signals=True):
        pytest.fail("it was taken")
    assert target.exists() == (strange == "symlink")


# ---------------------------------------------------------------- signals
@pytest.fixture
def alarm_handler() -> Iterator[Callable[..., None]]:
    """A handler for SIGALRM that was there before us."""

    def mine(*_: object) -> None:
        pytest.fail("an alarm went off that nobody asked for")

    previous = signal.signal(signal.SIGALRM, mine)
    yield mine
    signal.signal(signal.SIGALRM, previous)


def test_an_uncontended_guard_does_not_touch_signals(path: str, alarm_handler: object) -> None:
    signal.setitimer(signal.ITIMER_REAL, LONG)
    with Guard(path).held(LONG, owns_signals=True):
        assert signal.getsignal(signal.SIGALRM) is alarm_handler
    assert signal.setitimer(signal.ITIMER_REAL, 0)[0] > 0


@pytest.mark.parametrize("freed", [True, False], ids=["freed", "timed out"])
def test_after_waiting_the_handler_is_the_old_one_and_no_timer_runs(
    freed: bool, path: str, alarm_handler: object
) -> None:
    with held_by(by_guard(path)) as holder:
        timer = later(holder.let_go if freed else lambda: None)
        try:
            with Guard(path).held(LONG if freed else SHORT, owns_signals=True):
                assert signal.getsignal(signal.SIGALRM) is alarm_handler
                assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
        except GuardTimeoutError:
            assert not freed
        timer.join()
    assert signal.getsignal(signal.SIGALRM) is alarm_handler
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_library_use_never_touches_signals(path: str, alarm_handler: object) -> None:
    with held_by(by_guard(path)), pytest.raises(GuardTimeoutError), Guard(path).held(SHORT, owns_signals=False):
        pytest.fail("two at a time")
    assert signal.getsignal(signal.SIGALRM) is alarm_handler


# ---------------------------------------------------------------- who holds it
def test_the_holder_is_known_and_nobody_is_named_when_it_is_free(path: str) -> None:
    assert holder_of(path) is None
    with Guard(path).held(LONG, owns_signals=True):
        assert holder_of(path) == os.getpid()
    assert holder_of(path) is None


def test_who_only_waits_is_not_called_the_holder(path: str) -> None:
    with held_by(by_guard(path)) as holder:
        waiters = [threading.Thread(target=_wait_a_little, args=(path,)) for _ in range(3)]
        for waiter in waiters:
            waiter.start()
        assert holder_of(path) == holder.pid
        for waiter in waiters:
            waiter.join()


def _wait_a_little(path: str) -> None:
    with pytest.raises(GuardTimeoutError), Guard(path).held(SHORT, owns_signals=False):
        pytest.fail("two at a time")
