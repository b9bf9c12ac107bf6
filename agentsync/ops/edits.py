"""An agent edits a file: the judgement before, the record after. This is what hooks call.

Before: denied iff somebody else's live lock covers the file; otherwise, unless the editor is alone, the edit takes a
short lock of its own. After: the edit is reported, and checked once more, because between the two nobody could fence an
ordinary write: what slipped through is found here and told to both sides.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from agentsync.core import keys, locks
from agentsync.core.locks import Blocked, Conflict, Request, Verdict
from agentsync.core.paths import Target, reach_overlap, target_of
from agentsync.errors import UnusableError
from agentsync.store import activity
from agentsync.store.locate import locate_path, name_in, real_path

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from agentsync.core.lease import Held
    from agentsync.ops.session import Session
    from agentsync.store.locate import Place


class Allowed(Struct, frozen=True, kw_only=True, gc=False):
    """The edit may go on."""

    warn: tuple[Held, ...] = ()
    """Locks on the same path in other worktrees that the editor has not been warned of yet."""


class Refused(Struct, frozen=True, kw_only=True, gc=False):
    """The edit must not happen."""

    path: str
    """The first file that stands in the way, as the client gave it."""
    blocked: tuple[Blocked, ...] = ()
    """Whose locks are in the way; empty when the team requires a lock by hand on this path and there is none."""
    how: str | None = None
    """What in a shell command would write it: `sed -i`, `a redirection`."""


class Breach(Struct, frozen=True, kw_only=True, gc=False):
    """An edit happened that should not have."""

    target: Target
    """The first file that others hold."""
    blocked: tuple[Blocked, ...]


def before(
    session: Session, *paths: str, takes: Callable[[str], bool] = lambda _: True, warns: bool = True
) -> Allowed | Refused:
    """Judge an edit that is about to happen. Of several files it is refused, or locked, as a whole.

    Args:
        session: The editor's.
        paths: As the client gave them: absolute, or relative to the session's working directory.
        takes: Whether an edit of this path takes a lock, if nobody holds it.
        warns: Whether the client takes a warning now; else `warnings` has it later.

    Raises:
        UsageError: One cannot be a path.
    """
    seen = [_look(path, *located(session, path)) for path in paths]
    refused = [look for look in seen if look.blocked or look.lacks_lock]
    if refused:
        return Refused(path=refused[0].path, blocked=tuple(b for look in refused for b in look.blocked))
    wanted: dict[tuple[str, bool], list[_Look]] = {}
    for look in seen:
        if look.may_take and takes(look.path):
            wanted.setdefault((look.session.place.state, look.kind == "shared"), []).append(look)
    for (_, shared), looks in wanted.items():
        conflict = _auto_lock(looks[0].session, [look.target for look in looks], shared=shared)
        if conflict is not None:
            path = next((look.path for look in looks if look.target == conflict.blocked[0].target), looks[0].path)
            return Refused(path=path, blocked=conflict.blocked)
    return Allowed(warn=_warnings(seen) if warns else ())


def note_refusal(session: Session, refused: Refused) -> None:
    """Keep that an edit or a command was refused, for whoever asks where agents get in each other's way.

    Call it when the answer has left: nobody waits for this.
    """
    from agentsync.core.refusals import Refusal
    from agentsync.store import refusals

    there, target = located(session, refused.path)
    if there.store.exists():
        refusal = Refusal(
            at=session.runtime.now(),
            agent=session.me.id,
            path=target.path,
            worktree=target.worktree,
            holder=refused.blocked[0].held.lock.holder if refused.blocked else None,
            by="command" if refused.how else "edit",
        )
        refusals.append(there.store.files, refusal)


def warnings(session: Session, *paths: str) -> tuple[Held, ...]:
    """Locks on these files in other worktrees that the editor has not been warned of yet.

    Raises:
        UsageError: One cannot be a path.
    """
    return _warnings([_look(path, *located(session, path)) for path in paths])


def _warnings(seen: Sequence[_Look]) -> tuple[Held, ...]:
    warn: tuple[Held, ...] = ()
    for look in seen:
        if look.session.store.config.worktrees != "ignore":
            warn += _not_warned_yet(look.session, look.target, look.elsewhere)
    return warn


class _Look(Struct, frozen=True, kw_only=True, gc=False):
    """One file of an edit, judged before anything is taken."""

    path: str
    """As the client gave it."""
    session: Session
    """At the board of the repository that the file lies in."""
    target: Target
    kind: str = "plain"
    blocked: tuple[Blocked, ...] = ()
    lacks_lock: bool = False
    """The team requires a lock by hand on it, and the editor has none."""
    may_take: bool = False
    """Nothing covers it yet, and an edit locks."""
    elsewhere: tuple[Held, ...] = ()


def _look(path: str, session: Session, target: Target) -> _Look:
    store, config = session.store, session.store.config
    kind = config.class_of(target.path)
    if kind == "ignore" or (store.exists() and session.is_alone() and kind != "required"):
        return _Look(path=path, session=session, target=target, kind=kind)
    everywhere = config.worktrees == "deny"
    state = store.state()
    verdict = locks.judge_edit(state, session.me.id, target, everywhere)
    if state.damaged:
        try:
            with store.transaction(session.me.id, session.timeout) as tx:
                verdict = tx.ask(lambda state, _: locks.judge_edit(state, session.me.id, target, everywhere))
        except (OSError, UnusableError):
            if not _binding(verdict, kind):
                raise  # what cannot be mended now may be the lock on this very file
    blocked = _binding(verdict, kind)
    lacks_lock = not blocked and kind == "required" and not _covered_by_hand(session, target)
    may_take = False
    if not blocked and not lacks_lock and not verdict.covered:
        may_take = config.auto_lock and not session.is_alone()
        if not may_take and not session.is_registered():
            from agentsync.ops import agents

            agents.register(session)
    return _Look(
        path=path,
        session=session,
        target=target,
        kind=kind,
        blocked=blocked,
        lacks_lock=lacks_lock,
        may_take=may_take,
        elsewhere=verdict.elsewhere,
    )


def after(session: Session, *paths: str) -> Breach | None:
    """Report an edit that has happened, and look whether it should have.

    Returns:
        What went wrong, or None.
    """
    breaches = [breach for path in paths if (breach := _report(*located(session, path))) is not None]
    if not breaches:
        return None
    return Breach(target=breaches[0].target, blocked=tuple(b for breach in breaches for b in breach.blocked))


def _report(session: Session, target: Target) -> Breach | None:
    store, config = session.store, session.store.config
    if not store.exists() or not session.is_registered():
        from agentsync.ops import agents

        agents.register(session)
    line = activity.Line(at=session.runtime.now(), verb="edit", path=target.path, worktree=target.worktree)
    activity.append(store.files, session.me.id, line)
    kind = config.class_of(target.path)
    if kind == "ignore" or session.is_alone():
        return None
    store.files.touch(keys.exclusive_lock(target))  # an auto-lock lasts from the last edit
    verdict = locks.judge_edit(store.state(), session.me.id, target, config.worktrees == "deny")
    blocked = _binding(verdict, kind)
    if not blocked and not verdict.covered and config.auto_lock and kind != "required":
        conflict = _auto_lock(session, [target], shared=kind == "shared")
        blocked = conflict.blocked if conflict else ()
    if not blocked:
        return None
    _tell_holders(session, target, blocked)
    return Breach(target=target, blocked=blocked)


def _binding(verdict: Verdict, kind: str) -> tuple[Blocked, ...]:
    """The locks that refuse an edit. On a path that the team shares, shared leases do not."""
    if kind != "shared":
        return verdict.blocked
    return tuple(blocked for blocked in verdict.blocked if blocked.held.lock.mode == "exclusive")


def located(session: Session, path: str) -> tuple[Session, Target]:
    """What a file is called on its board, and the session there: that of the repository it lies in."""
    real = real_path(path, session.runtime.cwd)
    place: Place = locate_path(real, session.place, session.runtime.env)
    name = name_in(real, place)
    outside = name.startswith("/")
    target = Target(scope="file", path=name, worktree=None if outside else place.worktree)
    if place.state != session.place.state and session.store.exists():
        from agentsync.store.setup import mark_neighbours

        mark_neighbours(session.store.place.state)
    return session.at(place), target


def _covered_by_hand(session: Session, target: Target) -> bool:
    touching = session.store.state().touching(target)
    return any(
        h.live and h.lock.holder == session.me.id and not h.lock.auto
        for h in touching
        if reach_overlap(target, target_of(h.lock))
    )


def _auto_lock(session: Session, targets: Sequence[Target], shared: bool) -> Conflict | None:
    from agentsync.ops.locks import take

    config = session.store.config
    request = Request(
        targets=tuple(targets),
        mode="shared" if shared else "exclusive",
        ttl_s=config.auto_lock_minutes * 60,
        auto=True,
        all_worktrees=config.worktrees == "deny",
    )
    decision = take(session, request)
    return decision if isinstance(decision, Conflict) else None


def _not_warned_yet(session: Session, target: Target, elsewhere: tuple[Held, ...]) -> tuple[Held, ...]:
    """Once per path and holder: what was said is kept in the activity file."""
    if not elsewhere:
        return ()
    files = session.store.files
    said = {(line.path, line.holder) for line in activity.read(files, session.me.id) if line.verb == "warned"}
    new = tuple(held for held in elsewhere if (target.path, held.lock.holder) not in said)
    for held in new:
        line = activity.Line(
            at=session.runtime.now(),
            verb="warned",
            path=target.path,
            worktree=target.worktree,
            holder=held.lock.holder,
        )
        activity.append(files, session.me.id, line)
    return new


def _tell_holders(session: Session, target: Target, blocked: tuple[Blocked, ...]) -> None:
    from agentsync.core.changes import notices
    from agentsync.ops import agents

    with session.store.transaction(session.me.id, session.timeout) as tx:
        me = agents.ensure(session, tx)
        told = {
            b.held.lock.holder: [
                f"{target.path} was edited by {me.name} ({me.id}) although you hold {b.held.lock.path}: "
                f"compare before you go on (git diff -- {target.path})"
            ]
            for b in blocked
        }
        summary = f"{me.name} ({me.id}) edited {target.path}, held by {', '.join(sorted(told))}"
        tx.commit("breach", summary, notices(told, tx.stamp), paths=(target.path,))
