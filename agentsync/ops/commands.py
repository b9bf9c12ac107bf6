"""An agent runs a shell command: what it will write is judged before, what others hold is looked at after.

Before: the command is read (`agentsync.shell`), and refused if it would write what somebody else holds. What it writes
and git tracks is an edit like any other, so it takes the same short lock. What the reading misses is found after: a
file of others that changed meanwhile is a breach, told to both sides with the way back.
"""

from __future__ import annotations

import os
from itertools import islice
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from agentsync.core.locks import Blocked
from agentsync.core.paths import ROOT, Target, overlap, reach_overlap, target_of
from agentsync.errors import MissingExtraError, UsageError
from agentsync.ops import edits
from agentsync.store import activity, index, watched

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agentsync.core.lease import Held
    from agentsync.ops.session import Session
    from agentsync.shell.read import Write
    from agentsync.store.watched import Sighting

MAX_LOCKS = 1000
"""Locks of others that are watched; beyond, only what the command is known to write is judged."""

MAX_WATCHED = 500
"""Files below directories and patterns that others hold, per lock."""


class Damage(Struct, frozen=True, kw_only=True, gc=False):
    """A file that somebody else holds changed while the command ran."""

    held: Held
    path: str
    copy: str | None
    """Absolute path of its content before; None when it was too large to keep."""
    gone: bool
    """It was removed."""


def can_read() -> bool:
    """Whether commands are read before they run: the grammar is an extra."""
    from importlib.util import find_spec

    return find_spec("tree_sitter_bash") is not None


def before(session: Session, command: str, cwd: str | None = None, warns: bool = True) -> edits.Allowed | edits.Refused:
    """Judge a command that is about to run.

    Args:
        session: Whose shell it is.
        command: The text.
        cwd: Where it runs, if not in the session's working directory.
        warns: Whether the client takes a warning now.
    """
    config = session.store.config
    if not session.store.exists() or (session.is_alone() and not config.required):
        return edits.Allowed()
    from agentsync.shell import harmless

    if harmless.is_harmless(command):
        return edits.Allowed()
    writes = _read(session, command, cwd)
    for write in writes:
        blocked = _in_the_way_below(session, write) if write.tree else ()
        if blocked:
            return edits.Refused(path=write.path, how=write.how, blocked=blocked)
    files = {write.path: write.how for write in writes if not write.tree and _is_path(session, write.path)}
    verdict = edits.before(session, *files, takes=lambda path: _is_tracked(session, path), warns=warns)
    if isinstance(verdict, edits.Refused):
        return replace(verdict, how=files[verdict.path])
    watched.begin(session.store.files, session.me.id, _sightings(session))
    return verdict


def sweeping(session: Session, command: str) -> str:
    """A warning for who is about to run a git command that sweeps up what peers in the same working tree do."""
    if "git" not in command:
        return ""
    import shlex

    from agentsync.ops import commits

    reader = shlex.shlex(command.replace("\n", ";"), posix=True, punctuation_chars=True)
    reader.whitespace_split = True
    reader.commenters = ""
    words: list[str] = []
    try:
        for word in (*reader, ";"):
            if word.strip(";&|"):
                words.append(word)
                continue
            if warning := commits.sweep_warning(session, words):
                return warning
            words = []
    except ValueError:
        pass  # a quote that is not closed: no shell runs it
    return ""


def after(session: Session, command: str, cwd: str | None = None) -> tuple[Damage, ...]:
    """Look what a command did to what others hold, and tell them."""
    files = session.store.files
    if files.status(watched.pending(session.me.id)) is None:
        return ()  # nobody held anything
    changed = watched.end(files, session.me.id)
    wrote = [write.path for write in _read(session, command, cwd) if not write.tree and _is_path(session, write.path)]
    edits.after(session, *(path for path in wrote if _is_tracked(session, path)))
    found = [(seen, held) for seen in changed if (held := _still_held(session, seen)) is not None]
    if not found:
        return ()
    from agentsync.core.changes import notices
    from agentsync.ops import agents

    with session.store.transaction(session.me.id, session.timeout) as tx:
        me = agents.ensure(session, tx)
        damage = []
        told: dict[str, list[str]] = {}
        for seen, held in found:
            copy = watched.keep(files, session.me.id, seen, tx.stamp.revision)
            gone = watched.sight(seen.real) is None
            damage.append(Damage(held=held, path=seen.path, copy=copy, gone=gone))
            way_back = f"its content before is in {copy}" if copy else f"see git diff -- {seen.path}"
            told.setdefault(held.lock.holder, []).append(
                f"{seen.path}, which you hold as {held.lock.path}, {'was removed' if gone else 'changed'} while "
                f"{me.name} ({me.id}) ran a command: {way_back}"
            )
        paths = tuple(sorted({one.path for one in damage}))
        summary = f"a command of {me.name} ({me.id}) changed {', '.join(paths)}, held by {', '.join(sorted(told))}"
        tx.commit("breach", summary, notices(told, tx.stamp), paths=paths)
    return tuple(damage)


def _read(session: Session, command: str, cwd: str | None) -> tuple[Write, ...]:
    from agentsync.shell import read

    try:
        return read.writes(command, cwd or session.runtime.cwd, session.runtime.env.get("HOME"))
    except MissingExtraError:
        return ()  # `install` and `doctor` say so; what it writes is seen afterwards


def _is_path(session: Session, path: str) -> bool:
    try:
        edits.located(session, path)
    except UsageError:
        return False
    return True


def _in_the_way_below(session: Session, write: Write) -> tuple[Blocked, ...]:
    """Locks of others on anything in a folder that is written."""
    try:
        session, found = edits.located(session, write.path)
    except UsageError:
        return ()
    folder = Target(scope="dir", path=ROOT if found.path == "." else found.path + "/", worktree=found.worktree)
    everywhere = session.store.config.worktrees == "deny"
    return tuple(
        Blocked(folder, held)
        for held in session.store.state().touching(folder)
        if held.live
        and held.lock.holder != session.me.id
        and (everywhere or reach_overlap(folder, target_of(held.lock)))
        and _is_among(target_of(held.lock), write.only)
    )


def _is_among(target: Target, endings: tuple[str, ...]) -> bool:
    """Whether a target has a file with one of these endings; all are meant when there are none."""
    named = (Target(scope="glob", path=f"**/*{ending}") for ending in endings)
    return not endings or any(overlap(one, target) for one in named)


def _is_tracked(session: Session, path: str) -> bool:
    """Whether a file that a command writes is one that people work on, not a log or the product of a build."""
    return index.tracks(os.path.realpath(os.path.join(session.runtime.cwd, path)))


# ---------------------------------------------------------------- what others hold
def _sightings(session: Session) -> Iterator[Sighting]:
    place, now = session.place, session.runtime.now()
    here = Target(scope="dir", path=ROOT, worktree=place.worktree)
    for held in islice(session.store.state().held_by_others(session.me.id), MAX_LOCKS):
        lock = held.lock
        if lock.scope == "resource" or not (lock.path.startswith("/") or reach_overlap(here, target_of(lock))):
            continue
        for path in _files_of(place.base, lock.scope, lock.path):
            real = path if path.startswith("/") else f"{place.base}/{path}"
            status = watched.sight(real)
            if status is not None:
                yield watched.Sighting(
                    at=now,
                    path=path,
                    worktree=place.worktree,
                    real=real,
                    holder=lock.holder,
                    size=status.st_size,
                    mtime_ns=status.st_mtime_ns,
                    inode=status.st_ino,
                )


def _files_of(base: str, scope: str, path: str) -> Iterator[str]:
    """The files of a lock, as locks name them; of a folder or a pattern the first `MAX_WATCHED`."""
    if scope == "file":
        yield path
        return
    from agentsync.core import globs

    top = path.rstrip("/") if scope == "dir" else globs.literal_prefix(path).rpartition("/")[0]
    top = "" if top == "." else top
    outside = path.startswith("/")
    found = _walk(top if outside else f"{base}/{top}".rstrip("/"))
    names = (name if outside else name[len(base) + 1 :] for name in found)
    if scope == "glob":
        names = (name for name in names if globs.matches(path, name))
    yield from islice(names, MAX_WATCHED)


def _walk(top: str) -> Iterator[str]:
    for directory, folders, names in os.walk(top):
        folders[:] = sorted(name for name in folders if name not in (".git", "node_modules", ".venv"))
        yield from (f"{directory}/{name}" for name in sorted(names))


def _still_held(session: Session, seen: Sighting) -> Held | None:
    """The lock of whoever held a file before and does so now, unless it was the holder's own doing."""
    target = Target(scope="file", path=seen.path, worktree=seen.worktree)
    for held in session.store.state().touching(target):
        if held.live and held.lock.holder == seen.holder:
            lines = activity.read(session.store.files, seen.holder)
            theirs = any(line.path == seen.path and line.at >= seen.at.replace(microsecond=0) for line in lines)
            return None if theirs else held
    return None
