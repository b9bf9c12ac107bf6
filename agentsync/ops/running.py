"""`run --lock`: locks that are held exactly as long as a command lives.

The lock records name the process of `run` itself, so that whatever becomes of it, even `kill -9`, others can prove that
it is dead and have the locks at once. On Linux the command then gets a SIGTERM from the kernel. As long as it lives,
`run` gives a sign of life for its agent, so that the locks outlast every silence of the session.

Two commands of one agent exclude each other like those of two agents. What the agent held before is put back as it
was; a lock by hand that suffices is left alone, and so is what was made of one of these locks meanwhile.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from agentsync.core import keys, locks, queue
from agentsync.core.changes import Drop, Put, Stamp, Write
from agentsync.core.lease import is_guest
from agentsync.core.locks import Blocked, Conflict, Granted, Request
from agentsync.core.paths import overlap, reach_overlap, target_of
from agentsync.core.records import Owner
from agentsync.errors import UsageError
from agentsync.ops import agents, waiting
from agentsync.ops.locks import MAX_REASON, commit_grant
from agentsync.ops.session import resolve_targets

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from agentsync.core.lease import Held
    from agentsync.core.records import Agent, Lock
    from agentsync.ops.session import Session
    from agentsync.store.state import State
    from agentsync.store.transaction import Transaction

BEAT_S = 30
"""Seconds between two signs of life."""

FORWARDED = ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2")

NOT_FOUND, NOT_EXECUTABLE = 127, 126
"""Exit codes of a command that cannot be started, as shells have them."""

_PR_SET_PDEATHSIG = 1


class Hold:
    """Locks of one command, from the grant to `release`."""

    def __init__(self, session: Session, request: Request) -> None:
        self.session = session
        self.request = request
        self.locks: tuple[Lock, ...] = ()
        self._before: list[Lock] = []
        self._above = {session.runtime.pid, *(pid for pid, _ in session.runtime.ancestors())}

    def decide(self, state: State, stamp: Stamp, me: Agent) -> Granted | Conflict:
        """Whether all can be had now."""
        rivals = [
            Blocked(target, held)
            for target in self.request.targets
            for held in state.touching(target)
            if held.live and held.lock.holder == me.id and self._is_another_command(held) and self._meets(held, target)
        ]
        if rivals and not all(b.held.lock.mode == self.request.mode == "shared" for b in rivals):
            return Conflict(blocked=tuple(rivals))
        wanted = tuple(target for target in self.request.targets if not self._suffices(state.at(target), me))
        return locks.decide(state, me, replace(self.request, targets=wanted), stamp) if wanted else Granted(locks=())

    def commit(self, tx: Transaction, me: Agent, granted: Granted, left: tuple[Write, ...]) -> None:
        """Take them, and remember what they replace."""
        replaced = [held for lock in granted.locks for held in tx.state.at(target_of(lock))]
        self._before = [held.lock for held in replaced if held.live and held.lock.holder == me.id]
        if granted.locks:
            commit_grant(tx, me, granted, left)
        else:
            tx.commit("lock", f"{me.name} ({me.id}) holds it already", left)
        self.locks = granted.locks

    def release(self) -> None:
        """Give back what is still as it was granted, and what was there before."""
        session = self.session
        if not self.locks or not session.store.exists():
            return
        with session.store.transaction(session.me.id, session.timeout) as tx:
            kept = [lock for lock in self.locks if any(held.lock == lock for held in tx.state.at(target_of(lock)))]
            restored = {keys.lock(old): old for old in self._before if target_of(old) in map(target_of, kept)}
            writes: list[Write] = [Put(key, old) for key, old in restored.items()]
            writes += [Drop(keys.lock(lock)) for lock in kept if keys.lock(lock) not in restored]
            what = ", ".join(lock.path for lock in kept)
            gone = [lock for lock in kept if keys.lock(lock) not in restored]
            tx.commit("unlock", f"{session.me.id} released {what}", agents.answered(tx, gone, writes))

    def _is_another_command(self, held: Held) -> bool:
        return held.lock.process is not None and held.lock.process.pid not in self._above

    def _meets(self, held: Held, target: Any) -> bool:
        return overlap(target, target_of(held.lock)) and reach_overlap(target, target_of(held.lock))

    def _suffices(self, there: Sequence[Held], me: Agent) -> bool:
        """Whether the agent holds it by hand, or for a command around this one."""
        return any(
            held.live and held.lock.holder == me.id and not held.lock.auto and held.lock.mode == self.request.mode
            for held in there
        )


def hold(
    session: Session,
    paths: Sequence[str],
    *,
    shared: bool = False,
    reason: str | None = None,
    wait: float | None = None,
    priority: int = 0,
    everywhere: bool = False,
    force: bool = False,
) -> Hold | Conflict:
    """Take locks that end with this process: for a command that it is about to run, or for the person at the console.

    Args:
        session: Whose.
        paths: As typed; `@name` is a resource.
        shared: Whether others may hold shared leases beside.
        reason: Why, for those who are refused.
        wait: Seconds to stand in line; None = be refused at once.
        priority: Points in line.
        everywhere: Whether they bind in all worktrees.
        force: Whether others lose what is in the way, and whoever is in line is passed; they are told.

    Raises:
        GaveUpError: The place in line was lost.
        UsageError: A path, the reason or the time cannot be used.
    """
    if reason is not None and len(reason) > MAX_REASON:
        raise UsageError(f"the reason has {len(reason)} characters", f"say it in {MAX_REASON}")
    session, targets = resolve_targets(session, paths, everywhere=everywhere)
    config, runtime = session.store.config, session.runtime
    process = runtime.process(runtime.pid)
    owner = Owner(
        pid=runtime.pid,
        pid_start=process.start if process else None,
        boot_id=runtime.boot_id,
        pid_ns=runtime.pid_ns,
    )
    request = Request(
        targets=targets,
        mode="shared" if shared else "exclusive",
        ttl_s=config.ttl_minutes * 60,
        reason=reason,
        process=owner,
        all_worktrees=config.worktrees == "deny",
        force=force,
    )
    held = Hold(session, request)
    if force:
        return _seize(held)

    def granted(state: State, stamp: Stamp, me: Agent) -> Granted | None:
        decision = held.decide(state, stamp, me)
        return decision if isinstance(decision, Granted) else None

    want = waiting.Want(request=request, priority=priority, decide=granted, commit=held.commit)
    outcome = waiting.wait(session, want, wait or 0)
    if isinstance(outcome, Granted):
        return held
    state = session.store.state()
    known = state.presence(session.me.id)
    decision: Granted | Conflict = Conflict(blocked=())  # just now it has become free
    if known is not None:
        decision = held.decide(state, Stamp(state.now, 0, ""), known.agent)
        if isinstance(decision, Granted):
            decision = queue.decide(state, state.line(), known.agent, request, Stamp(state.now, 0, ""))
    found = decision if isinstance(decision, Conflict) else Conflict(blocked=())
    return replace(found, cycle=outcome.cycle)


def _seize(held: Hold) -> Hold:
    """Take them in any case."""
    session, request = held.session, held.request
    with session.store.transaction(session.me.id, session.timeout) as tx:
        me = agents.ensure(session, tx)
        granted = tx.ask(lambda state, stamp: locks.decide(state, me, request, stamp))
        assert isinstance(granted, Granted), "a request by force is never refused"
        held.commit(tx, me, granted, ())
    guests = [lock for lock in granted.taken_over if is_guest(lock)]
    if guests:
        from agentsync.ops import reach

        reach.announce(session, guests)
    return held


def run(words: Sequence[str], beat: Callable[[], object]) -> int:
    """Run a command to its end, passing signals on to it.

    Args:
        words: The command.
        beat: Called every `BEAT_S` seconds while it lives.

    Returns:
        Its exit code; 128 + n when signal n has ended it; 126 or 127 when it cannot be started.
    """
    child: subprocess.Popen[bytes] | None = None
    early: list[int] = []

    def forward(number: int, _frame: object) -> None:
        if child is None:
            early.append(number)
        elif number not in (signal.SIGINT, signal.SIGQUIT) or not _in_foreground():
            child.send_signal(number)  # does nothing once it has ended

    old = {number: signal.signal(number, forward) for number in _numbers()}
    alarm = signal.signal(signal.SIGALRM, lambda *_: beat())
    try:
        try:
            # This process has one thread, so between fork and exec nobody holds what the child might need.
            child = subprocess.Popen(list(words), preexec_fn=_dying_with(os.getpid()))  # noqa: PLW1509
        except PermissionError as error:
            print(f"agent-sync: {words[0]}: {error.strerror}", file=sys.stderr)
            return NOT_EXECUTABLE
        except OSError as error:
            print(f"agent-sync: {words[0]}: {error.strerror}", file=sys.stderr)
            return NOT_FOUND
        for number in early:
            child.send_signal(number)
        signal.setitimer(signal.ITIMER_REAL, BEAT_S, BEAT_S)
        code = child.wait()
        return code if code >= 0 else 128 - code
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, alarm)
        for number, handler in old.items():
            signal.signal(number, handler)


def _numbers() -> list[signal.Signals]:
    known = (getattr(signal, name, None) for name in FORWARDED)
    return [number for number in known if number is not None and signal.getsignal(number) is not signal.SIG_IGN]


def _in_foreground() -> bool:
    """Whether a terminal has just told our whole process group: then the command has got the signal by itself."""
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)


def _dying_with(parent: int) -> Callable[[], None] | None:
    """What the child does first on Linux: ask the kernel for a SIGTERM at its parent's death."""
    if sys.platform != "linux":
        return None
    import ctypes  # 10 ms, and nobody else needs it

    prctl = ctypes.CDLL(None).prctl

    def ask() -> None:
        prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
        if os.getppid() != parent:  # it was quicker
            os._exit(128 + signal.SIGTERM)

    return ask
