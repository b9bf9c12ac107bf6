"""Putting our hook into git's hooks directory, and taking it out so that every byte is as it was.

The directory is the one that git itself uses for this working tree: `core.hooksPath`, the common directory of linked
worktrees, a submodule's own. A hook that is there already is renamed to `NAME.before-agent-sync`, with its mode and its
links as they are, and ours runs it first; taking ours out renames it back, with whatever was done to it meanwhile.

Nothing is remembered elsewhere: our file carries a seal over its own text, so that we know one that nobody has touched,
of whatever version, from one that somebody has added to. The latter is left alone, and said.
"""

from __future__ import annotations

import hashlib
import os
import stat
from typing import TYPE_CHECKING, Literal

from msgspec import Struct

from agentsync.errors import AgentSyncError
from agentsync.ops import care, git, shipped
from agentsync.ops.findings import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agentsync.ops.session import Session

EVENTS = ("pre-commit", "pre-merge-commit", "post-commit", "post-merge", "pre-push")
"""Hooks that are installed."""

KEPT = ".before-agent-sync"
"""Behind the name of a hook that was there before."""

MARK = b"# The agent-sync git hook."
SEAL = b"# seal: "
MADE = b"# made: the hooks directory\n"
"""A line of hooks for which the directory had to be made, so that it goes with the last of them."""

ANSWER_S = 5.0
"""Seconds that git may take to say where its hooks are: it reads its configuration, and nothing else."""

MAX_HOOK = 1 << 20
"""Bytes of a file that is looked at: ours is small, others' may be anything."""


class Step(Struct, frozen=True, gc=False):
    """One thing to do with a hook of git's."""

    verb: Literal["write", "keep", "restore", "remove"]
    """`keep`: rename what is there, so that ours can run it; `restore`: rename it back, over ours."""
    path: str
    data: bytes = b""
    """What to write."""


class Hooks(Struct, frozen=True, kw_only=True, gc=False):
    """What an installation or its removal changed, or would change."""

    directory: str
    steps: tuple[Step, ...]
    edited: tuple[str, ...] = ()
    """Hooks of ours that somebody has changed: they are left as they are."""
    shared: bool = False
    """The directory lies outside of this repository, so others use these hooks too."""


def install(session: Session, dry_run: bool = False) -> Hooks:
    """Install the hooks for the repository that the session is in. Idempotent; an older version is replaced.

    Args:
        session: Whose.
        dry_run: Whether to only say what would change.

    Raises:
        AgentSyncError: There is no repository, or a hook cannot be put there; nothing was written.
    """
    directory = hooks_directory(session)
    made = not os.path.isdir(directory)
    text = _sealed(shipped.read("hooks/git-hook"), made or _was_made(directory))
    steps: list[Step] = []
    edited: list[str] = []
    for event in EVENTS:
        path = _ours_at(directory, event) or f"{directory}/{event}"
        found = _look(path)
        if found == text and os.access(path, os.X_OK):
            continue
        if found is not None and MARK in found and not _is_sealed(found):
            edited.append(path)
            continue
        if os.path.lexists(path) and not (found is not None and _is_sealed(found)):
            _refuse_what_is_no_hook(path)
            steps.append(Step("keep", path))
        steps.append(Step("write", path, text))
    outcome = Hooks(
        directory=directory, steps=tuple(steps), edited=tuple(edited), shared=_is_shared(session, directory)
    )
    if not dry_run:
        care.init(session)
        os.makedirs(directory, exist_ok=True)
        _apply(outcome.steps)
    return outcome


def uninstall(session: Session, dry_run: bool = False) -> Hooks:
    """Take the hooks out and put back what was there.

    Raises:
        AgentSyncError: There is no repository.
    """
    directory = hooks_directory(session)
    made = _was_made(directory)
    steps: list[Step] = []
    edited: list[str] = []
    for event in EVENTS:
        path, kept = _ours_at(directory, event), f"{directory}/{event}{KEPT}"
        if path is None:
            if os.path.lexists(f"{directory}/{event}") and os.path.lexists(kept):
                edited.append(kept)  # another tool has put its own hook over ours
            elif os.path.lexists(kept):
                steps.append(Step("restore", f"{directory}/{event}"))
        elif not _is_sealed(_look(path) or b""):
            edited.append(path)
        elif os.path.lexists(kept):
            steps.append(Step("restore", path))
        else:
            steps.append(Step("remove", path))
    outcome = Hooks(
        directory=directory, steps=tuple(steps), edited=tuple(edited), shared=_is_shared(session, directory)
    )
    if not dry_run:
        _apply(outcome.steps)
        if made:
            try:
                os.rmdir(directory)
            except OSError:
                pass  # something else lives there now
    return outcome


def installed(session: Session) -> tuple[str, ...]:
    """Names of the hooks that are in place; none outside of a repository."""
    try:
        directory = hooks_directory(session)
    except AgentSyncError:
        return ()
    return tuple(event for event in EVENTS if _ours_at(directory, event))


def findings(session: Session) -> Iterator[Finding]:
    """What `doctor` says of them."""
    try:
        directory = hooks_directory(session)
    except AgentSyncError:
        return  # no repository
    ours = {event: found for event in EVENTS if (found := _ours_at(directory, event))}
    if not ours:
        yield Finding(check="git hooks", level="ok", message="none, commits are not checked: agent-sync install --git")
        return
    text = _sealed(shipped.read("hooks/git-hook"), _was_made(directory))
    wrong = [event for event in EVENTS if event not in ours]
    for event, path in ours.items():
        there = _look(path) or b""
        if not os.access(path, os.X_OK) or (there != text and _is_sealed(there)):
            wrong.append(event)
    if wrong:
        message = f"{', '.join(wrong)} in {directory}: missing, of another version, or not executable"
        yield Finding(check="git hooks", level="problem", message=message, fix="agent-sync install --git")
    else:
        yield Finding(check="git hooks", level="ok", message=f"{', '.join(EVENTS)} in {directory}")


def hooks_directory(session: Session) -> str:
    """Where git looks for the hooks of the session's working tree.

    Raises:
        AgentSyncError: It is in no repository.
    """
    base = session.place.base
    words = ["rev-parse", "--git-path", "hooks"]
    _, said = git.ask(words, base, git.unbound(session.runtime.env), timeout=ANSWER_S)
    return os.path.normpath(os.path.join(base, os.fsdecode(said.removesuffix(b"\n"))))


def _is_shared(session: Session, directory: str) -> bool:
    """Whether the directory belongs to more than this repository, as a `core.hooksPath` in the home folder does."""
    base = session.place.base
    _, said = git.ask(["rev-parse", "--git-common-dir"], base, git.unbound(session.runtime.env))
    common = os.path.realpath(os.path.join(base, os.fsdecode(said.removesuffix(b"\n"))))
    real = os.path.realpath(directory)
    return not any(f"{real}/".startswith(f"{os.path.realpath(top)}/") for top in (base, session.place.root, common))


def _ours_at(directory: str, event: str) -> str | None:
    """Where our hook for an event stands: under its name, or where the framework `pre-commit` has moved it."""
    for path in (f"{directory}/{event}", f"{directory}/{event}.legacy"):
        found = _look(path)
        if found is not None and MARK in found:
            return path
    return None


def _was_made(directory: str) -> bool:
    found = (_ours_at(directory, event) for event in EVENTS)
    return any(MADE in (_look(path) or b"") for path in found if path)


def _sealed(text: bytes, made: bool) -> bytes:
    first, _, rest = text.partition(b"\n")
    rest = (MADE if made else b"") + rest
    return first + b"\n" + SEAL + _digest(first, rest) + b"\n" + rest


def _is_sealed(text: bytes) -> bool:
    """Whether this is a hook of ours as some version of us has written it."""
    first, _, more = text.partition(b"\n")
    seal, _, rest = more.partition(b"\n")
    return MARK in text and seal == SEAL + _digest(first, rest)


def _digest(first: bytes, rest: bytes) -> bytes:
    return hashlib.sha256(first + b"\n" + rest).hexdigest()[:16].encode()


def _look(path: str) -> bytes | None:
    """A file's content; None when there is none, or it is no regular file of a hook's size."""
    try:
        status = os.lstat(path)
        if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_HOOK:
            return None
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        return None


def _refuse_what_is_no_hook(path: str) -> None:
    if os.path.isdir(path) and not os.path.islink(path):
        raise AgentSyncError(f"{path} is a directory; nothing was installed", "see what it is and move it away")
    if os.path.lexists(path.removesuffix(".legacy") + KEPT):
        raise AgentSyncError(
            f"{path} would be kept as {os.path.basename(path)}{KEPT}, which is there already; nothing was installed",
            "another tool has replaced our hook: join the two files, or move one of them away",
        )


def _apply(steps: tuple[Step, ...]) -> None:
    for step in steps:
        kept = step.path.removesuffix(".legacy") + KEPT
        if step.verb == "keep":
            os.rename(step.path, kept)
        elif step.verb == "restore":
            os.rename(kept, step.path)
        elif step.verb == "remove":
            os.unlink(step.path)
        else:
            temp = f"{step.path}.agent-sync-{os.getpid()}"
            try:
                with open(temp, "xb") as file:
                    file.write(step.data)
                os.chmod(temp, 0o755)
                os.replace(temp, step.path)
            except BaseException:
                if os.path.exists(temp):
                    os.unlink(temp)
                raise
