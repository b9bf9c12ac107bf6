"""What each tool does: one operation, and its outcome as text for a model. Called from worker threads."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from msgspec.structs import replace

from agentsync.errors import AgentSyncError, UsageError
from agentsync.render.frame import escape, framed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from agentsync.core.locks import Conflict
    from agentsync.core.tasks import Refused
    from agentsync.ops.session import Session

MAX_TEXT = 8000
"""Characters of a text that other agents' words can make long."""

_NAMED = 50
"""Locks that an answer lists."""


class Answer(Struct, frozen=True, kw_only=True, gc=False):
    """What a call comes to."""

    text: str
    failed: bool = False
    """Whether what was asked for did not happen."""
    undo: Callable[[], object] | None = None
    """Takes back what was waited for, when the caller has not waited."""


def call(session: Session, name: str, given: dict[str, Any]) -> Answer:
    """Carry out a tool whose arguments are checked. Whoever calls one is on the board from then on.

    Raises:
        AgentSyncError: It makes no sense, or the state cannot be used.
        OSError: The same, as the system says it.
    """
    known = len(session.store.warnings)
    answer = TOOLS[name](session, given)
    noticed = [f"note: {escape(warning, 400)}" for warning in session.store.warnings[known:]]  # a remote's words, too
    return replace(answer, text=f"{answer.text}\n{framed(noticed)}") if noticed else answer


def paths_of(name: str, given: dict[str, Any]) -> list[str]:
    """The paths that a call is about: they may decide which repository it is for."""
    found = given.get("paths") or ([given["path"]] if given.get("path") else [])
    return [*found] if name in ("lock", "unlock", "status") else []


def problem(error: AgentSyncError) -> Answer:
    """What went wrong, and the way out."""
    lines = [escape(error.message, 2000)]
    lines += [framed([escape(error.others, 2000)])] if error.others else []
    lines += [f"Next: {escape(error.hint, 2000)}"] if error.hint else []
    return Answer(text="\n".join(lines), failed=True)


# ---------------------------------------------------------------- locks
def _lock(session: Session, given: dict[str, Any]) -> Answer:
    from agentsync.core.locks import Conflict
    from agentsync.ops import locks
    from agentsync.render.times import clock

    seconds = given.get("wait_seconds")
    decision = locks.lock(
        session,
        given["paths"],
        shared=given.get("shared", False),
        ttl_minutes=given.get("minutes"),
        reason=given.get("reason"),
        wait=seconds or None,
    )
    if isinstance(decision, Conflict):
        return _held(session, decision, waited=bool(seconds))
    now = session.runtime.now()
    lines = [
        f"locked {escape(lock.path)}{' (shared)' if lock.mode == 'shared' else ''}"
        f"{' on all machines' if lock.machine else ''} until {clock(lock.expires_at, now)}"
        for lock in decision.locks[:_NAMED]
    ]
    if len(decision.locks) > _NAMED:
        lines.append(f"and {len(decision.locks) - _NAMED} more")
    # Ids, not names: these lines are ours, and a name could say anything.
    for old in decision.taken_over[:_NAMED]:
        lines.append(f"taken over from {old.holder}, whose lock had lapsed: {escape(old.path)}")
    for held in decision.elsewhere[:_NAMED]:
        where = f"worktree {escape(held.lock.worktree, 64)}" if held.lock.worktree else "the main worktree"
        lines.append(
            f"{escape(held.lock.path)} is also locked in {where} by {held.lock.holder}: a merge conflict looms"
        )
    undo = partial(locks.give_back, session, decision.locks) if seconds else None
    return Answer(text="\n".join(lines), undo=undo)


def _held(session: Session, conflict: Conflict, waited: bool) -> Answer:
    """A refusal: by whom, why, until when, and what to do instead."""
    from agentsync.render.locks import refusal
    from agentsync.render.queue import more

    now = session.runtime.now()
    if conflict.cycle:
        head = "Not locked: waiting for it would close a circle. Let go of what the others wait for."
    elif waited:
        head = "Not locked: it did not become free in that time."
    else:
        head = f"Not locked: another agent {'holds' if conflict.blocked else 'is in line for'} it. Nothing was changed."
    return Answer(
        text="\n".join(
            [
                head,
                refusal(conflict.blocked, now, width=400, more=more(conflict, session.me.id, now)),
                "Next: work on something else and lock again later, or with wait_seconds; send reaches the holder. "
                "Do not write these files by another way, and do not undo the other agent's work.",
            ]
        ),
        failed=True,
    )


def _unlock(session: Session, given: dict[str, Any]) -> Answer:
    from agentsync.core.locks import Conflict
    from agentsync.ops import locks
    from agentsync.render.locks import refusal

    paths = given.get("paths", [])
    decision = locks.unlock(session, paths, everything=not paths)
    if isinstance(decision, Conflict):
        facts = refusal(decision.blocked, session.runtime.now(), width=400)
        return Answer(text=f"Not unlocked: only its holder does that.\n{facts}\nNext: ask it with send.", failed=True)
    lines = [f"unlocked {escape(lock.path)}" for lock in decision.locks[:_NAMED]]
    if len(decision.locks) > _NAMED:
        lines.append(f"and {len(decision.locks) - _NAMED} more")
    return Answer(text="\n".join(lines) or "nothing to unlock")


# ---------------------------------------------------------------- looking
def _status(session: Session, given: dict[str, Any]) -> Answer:
    from agentsync.errors import UnusableError
    from agentsync.ops import agents

    try:
        if not session.is_registered():
            agents.register(session)
    except (OSError, UnusableError):
        pass  # whoever may not write can still look; the tools that write will say so
    if given.get("path"):
        from agentsync.ops import locks
        from agentsync.render.locks import story

        return Answer(text=framed(story(locks.explain(session, given["path"]), session.runtime.now()), width=400))
    from agentsync.ops.status import overview
    from agentsync.render.status import compact

    return Answer(text=compact(overview(session), session.runtime.now(), MAX_TEXT // 2))


# ---------------------------------------------------------------- words
def _send(session: Session, given: dict[str, Any]) -> Answer:
    from agentsync.ops import mail

    message = mail.send(
        session, given["to"], given["message"], reply_to=given.get("reply_to"), urgent=given.get("urgent", False)
    )
    shown = ", ".join(reader.agent for reader in message.readers[:10])
    more = f" and {len(message.readers) - 10} more" if len(message.readers) > 10 else ""
    whom = f" to {shown}{more}" if shown else ": nobody else is here; whoever joins within 24 h is told"
    return Answer(text=f"sent {message.id}{whom}")


def _inbox(session: Session, given: dict[str, Any]) -> Answer:
    """With `all`, what is known already; what is new goes out by `handover`, and is marked as told."""
    from agentsync.ops import agents, mail

    if not session.is_registered():
        agents.register(session)
    if not given.get("all"):
        return Answer(text="")
    from agentsync.render.messages import listing

    found = mail.inbox(session, everything=True)
    room, shown = MAX_TEXT, 0
    for message in reversed(found):
        room -= min(len(message.body), 400) + 200
        if room < 0:
            break
        shown += 1
    lines = listing(found[len(found) - shown :], session.me.id, session.runtime.now(), "")
    older = [f"and {len(found) - shown} older ones"] if shown < len(found) else []
    return Answer(text=framed([*older, *lines]) if found else "no messages")


# ---------------------------------------------------------------- work
def _create_task(session: Session, given: dict[str, Any]) -> Answer:
    from agentsync.core.progress import Says
    from agentsync.ops import tasks

    says = Says(
        title=given["title"],
        description=given.get("description"),
        files=tuple(given.get("files", ())),
        priority=given.get("priority"),
        depends_on=tuple(given.get("depends_on", ())),
    )
    task = tasks.create(session, says)
    return Answer(text=f"created {task.id}: {escape(task.title)}")


def _claim_next(session: Session, given: dict[str, Any]) -> Answer:
    from agentsync.ops import locks, tasks
    from agentsync.render.tasks import claimed

    seconds = given.get("wait_seconds", 0)
    outcome = tasks.claim_next(session, lock=True, wait=seconds)
    if outcome is None:
        return Answer(text="No available tasks. status lists those that wait or are in work.")
    facts = framed(claimed(outcome, session.runtime.now()), width=MAX_TEXT // 2)
    claimed_id, taken = outcome.task.id, outcome.locks

    def undo() -> None:
        tasks.release(session, claimed_id)
        locks.give_back(session, taken)

    text = f"claimed {claimed_id}; when it is done: complete\n{facts}"
    return Answer(text=text, undo=undo if seconds else None)


def _complete(session: Session, given: dict[str, Any]) -> Answer:
    from agentsync.core.tasks import Refused
    from agentsync.ops import tasks
    from agentsync.render.tasks import freed

    because = given.get("blocked_because")
    if because is not None and not because.strip():
        raise UsageError("blocked_because is empty", "say why it cannot go on, or leave it out when the task is done")
    words = given["task"]
    outcome = tasks.block(session, words, because) if because else tasks.complete(session, words)
    if isinstance(outcome, Refused):
        return _not_now(outcome)
    did = "blocked" if because else "completed"
    ready = [framed(freed(outcome.ready))] if outcome.ready else []
    return Answer(text="\n".join([f"{did}: {outcome.task.id}", *ready]))


def _not_now(refused: Refused) -> Answer:
    from agentsync.render.tasks import refusal

    facts: Sequence[str] = refusal(refused)
    hint = f"\nNext: {escape(refused.hint)}" if refused.hint else ""
    return Answer(
        text=f"That cannot be done with this task now; nothing was changed.\n{framed(facts)}{hint}", failed=True
    )


TOOLS: dict[str, Callable[[Session, dict[str, Any]], Answer]] = {
    "lock": _lock,
    "unlock": _unlock,
    "status": _status,
    "send": _send,
    "inbox": _inbox,
    "create_task": _create_task,
    "claim_next": _claim_next,
    "complete": _complete,
}
