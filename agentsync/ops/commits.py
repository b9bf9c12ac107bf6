"""What a commit, a merge and a push mean for locks. This is what git's hooks call.

Before a commit: refused iff a path that would go into it is held by another live agent, judged as an edit of that path
would be. After it: the committer's locks on exactly those files are released, but not on a file that still has
uncommitted changes, and not when a rebase only repeats old commits. Before a push: the team's `pre_push` decides.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Literal

from msgspec import Struct

from agentsync.core import keys, locks
from agentsync.core.changes import Drop
from agentsync.core.paths import Target, parents, target_of
from agentsync.ops import agents, git
from agentsync.store.locate import name_in

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from agentsync.core.changes import Stamp
    from agentsync.core.lease import Held
    from agentsync.core.locks import Blocked, Verdict
    from agentsync.core.records import Lock
    from agentsync.ops.session import Session
    from agentsync.store.state import State

MANY = 64
"""Paths from which on all locks are read once instead of those of each path."""

ARGUMENTS = 400
"""Paths that one command line is given."""

ZEROS = frozenset("0")
"""An object id of nothing but these stands for no object."""

Way = Literal["index", "paths", "merge", "first"]


class Stop(Struct, frozen=True, kw_only=True, gc=False):
    """The commit or push must not happen, or should not."""

    blocked: tuple[Blocked, ...] = ()
    elsewhere: tuple[Blocked, ...] = ()
    """Paths that are locked in another worktree: a warning, never a refusal."""
    way: Way = "index"
    """How the paths got into the commit, which decides how they get out: staged before, staged by this very command
    (`-a`, `-i`, `-o`), by a merge, or staged for the first commit of all."""
    enforce: bool = True
    prefix: str = ""
    """The folder that git was started in, as seen from the top: where its user types the next command."""


class Released(Struct, frozen=True, kw_only=True, gc=False):
    """What the committer no longer holds, and what it holds on to because there is more to commit."""

    locks: tuple[Lock, ...] = ()
    unfinished: tuple[str, ...] = ()


def before_commit(session: Session, merging: bool = False) -> Stop | None:
    """Judge the commit that is about to be made in the working directory.

    Args:
        session: The committer's.
        merging: Whether `git merge` makes it, which has not yet left the mark of a merge.

    Raises:
        GitError: Git does not say what is staged.
    """
    if not session.store.exists() or session.is_alone():
        return None
    top, git_dir = _where(session)
    staged = _names(session, ["diff", "--cached", *_PLAIN])
    blocked, _ = _judge(session, _targets(session, top, staged))
    session.store.touch(session.me.id)
    if not blocked:
        return None
    from agentsync.store import refusals

    refusals.append_blocked(session.store.files, session.runtime.now(), session.me.id, "commit", blocked)
    way = "merge" if merging else _way(session, git_dir)
    return Stop(blocked=blocked, way=way, prefix=session.runtime.env.get("GIT_PREFIX", ""))


def after_commit(session: Session, commit: str = "") -> Released:
    """Release what was committed.

    Args:
        session: The committer's.
        commit: The object id, when the hook had the time to note it; else the newest is meant.
    """
    if not session.store.exists() or not session.is_registered():
        return Released()
    top, git_dir = _where(session)
    if _is_rebasing(git_dir):
        return Released()
    commit = commit or "HEAD"
    before = _amended(session, commit)
    trees = [before, commit] if before else ["--root", "--diff-merges=first-parent", commit]
    return _release(session, top, _names(session, ["diff-tree", "-r", "--no-commit-id", *_PLAIN, *trees]))


def after_merge(session: Session, squash: bool = False) -> Released:
    """Release what a merge or a pull has brought. With `--squash` nothing is committed yet."""
    if squash or not session.store.exists() or not session.is_registered():
        return Released()
    top, _ = _where(session)
    return _release(session, top, _names(session, ["diff-tree", "-r", *_PLAIN, "ORIG_HEAD", "HEAD"]))


def before_push(session: Session, remote: str, lines: Iterable[str]) -> Stop | None:
    """Judge a push, by the configuration's `pre_push`.

    Args:
        session: Whose.
        remote: Its name, or its address when it has none.
        lines: What git tells the hook: local ref, local id, remote ref, remote id.
    """
    policy = session.store.config.pre_push
    if policy == "off" or not session.store.exists() or session.is_alone():
        return None
    pushed: list[str] = []
    for line in lines:
        words = line.split()
        if len(words) == 4 and not ZEROS.issuperset(words[1]):
            pushed += _pushed(session, remote, words[1], words[3])
    top = session.place.base if _is_bare(session) else _where(session)[0]
    blocked, elsewhere = _judge(session, _targets(session, top, list(dict.fromkeys(pushed))))
    if not blocked and not elsewhere:
        return None
    return Stop(blocked=blocked, elsewhere=elsewhere, enforce=policy == "enforce" and bool(blocked))


# ---------------------------------------------------------------- judging
def _judge(session: Session, targets: Sequence[Target]) -> tuple[tuple[Blocked, ...], tuple[Blocked, ...]]:
    """What others hold of some files, here and in other worktrees."""
    config, me = session.store.config, session.me.id
    judged = [target for target in targets if config.class_of(target.path) != "ignore"]

    def verdicts(state: State) -> list[tuple[Target, Verdict]]:
        board: locks.Board = state if len(judged) < MANY else _Listed(state)
        deny = config.worktrees == "deny"
        return [(target, locks.judge_edit(board, me, target, deny)) for target in judged]

    state = session.store.state()
    found = verdicts(state)
    if state.damaged:  # one of them may be the lock on one of these files
        with session.store.transaction(me, session.timeout) as tx:
            found = tx.ask(lambda state, _: verdicts(state))
    blocked = [
        one
        for target, verdict in found
        for one in verdict.blocked
        if config.class_of(target.path) != "shared" or one.held.lock.mode == "exclusive"
    ]
    warned = [] if config.worktrees == "ignore" else found
    elsewhere = [locks.Blocked(target, held) for target, verdict in warned for held in verdict.elsewhere]
    return tuple(blocked), tuple(elsewhere)


class _Listed:
    """All locks, read once: for commits of many files."""

    def __init__(self, state: State) -> None:
        self._by_path: dict[str, list[Held]] = {}
        self._globs: list[Held] = []
        for held in state.locks():
            if held.lock.scope == "glob":
                self._globs.append(held)
            elif held.lock.scope != "resource":
                self._by_path.setdefault(held.lock.path, []).append(held)

    def touching(self, target: Target) -> Sequence[Held]:
        """Locks on a file, on what is above it, and patterns that match it."""
        names = (target.path, target.path + "/", *parents(target.path))
        found = [held for name in names for held in self._by_path.get(name, ())]
        if self._globs:
            from agentsync.core import globs

            found += [held for held in self._globs if globs.matches(held.lock.path, target.path)]
        return found

    def at(self, target: Target) -> Sequence[Held]:
        """The locks on exactly this target."""
        return [held for held in self._by_path.get(target.path, ()) if target_of(held.lock) == target]


# ---------------------------------------------------------------- releasing
def _release(session: Session, top: str, committed: Sequence[str]) -> Released:
    """Release the caller's locks on files that were committed and have no further changes."""
    me = session.me.id
    named = dict(zip(_targets(session, top, committed), committed, strict=True))

    def own(state: State, targets: Iterable[Target]) -> list[Target]:
        return [target for target in targets if any(held.lock.holder == me for held in state.at(target))]

    candidates = own(session.store.state(), named)
    if not candidates:
        return Released()
    unfinished = _changed(session, top, [named[target] for target in candidates])
    targets = [target for target in candidates if named[target] not in unfinished]

    def question(state: State, _: Stamp) -> list[Lock]:
        return [held.lock for target in targets for held in state.at(target) if held.lock.holder == me]

    with session.store.transaction(me, session.timeout) as tx:
        agent = agents.ensure(session, tx)
        gone = tx.ask(question)
        what = ", ".join(lock.path for lock in gone)
        writes = agents.answered(tx, gone, [Drop(keys.lock(lock)) for lock in gone])
        tx.commit("unlock", f"{agent.name} ({agent.id}) committed and released {what}", writes)
    return Released(locks=tuple(gone), unfinished=tuple(unfinished))


def _changed(session: Session, top: str, paths: Sequence[str]) -> list[str]:
    """Those of some paths that differ from the last commit."""
    found: list[str] = []
    for start in range(0, len(paths), ARGUMENTS):
        some = paths[start : start + ARGUMENTS]
        found += _names(session, ["--literal-pathspecs", "diff", *_PLAIN, "HEAD", "--", *some], top)
    return found


# ---------------------------------------------------------------- asking git
_PLAIN = ("--name-only", "-z", "--no-renames", "--no-ext-diff", "--ignore-submodules=none")
"""Both ends of a rename, every name as it is, nothing that a configuration could add."""


def _names(session: Session, arguments: Sequence[str], cwd: str | None = None) -> list[str]:
    return git.names(git.ask(arguments, cwd or session.runtime.cwd, session.runtime.env)[1])


def _where(session: Session) -> tuple[str, str]:
    """Top of the working tree, and its own git directory."""
    words = ["rev-parse", "--show-toplevel", "--absolute-git-dir"]
    _, said = git.ask(words, session.runtime.cwd, session.runtime.env)
    top, _, git_dir = os.fsdecode(said.removesuffix(b"\n")).rpartition("\n")
    return os.path.realpath(top), git_dir


def _is_bare(session: Session) -> bool:
    _, said = git.ask(["rev-parse", "--is-inside-work-tree"], session.runtime.cwd, session.runtime.env)
    return said.strip() != b"true"


def _targets(session: Session, top: str, paths: Sequence[str]) -> list[Target]:
    place = session.place
    found = []
    for path in paths:
        name = name_in(f"{top}/{path}", place)
        outside = name.startswith("/")
        found.append(Target(scope="file", path=name, worktree=None if outside else place.worktree))
    return found


def _is_rebasing(git_dir: str) -> bool:
    return os.path.isdir(f"{git_dir}/rebase-merge") or os.path.isdir(f"{git_dir}/rebase-apply")


def _amended(session: Session, commit: str) -> str | None:
    """What an amended commit replaces, as the reflog tells: of it, only what was added is new."""
    words = ["log", "-g", "-n", "2", "--no-patch", "--format=%H %gs", "HEAD", "--"]
    code, said = git.ask(words, session.runtime.cwd, session.runtime.env, ok=(0, 128))
    entries = [line.partition(" ") for line in said.decode("utf-8", "replace").splitlines()]
    if code or len(entries) < 2 or not entries[0][2].startswith("commit (amend)"):
        return None
    return entries[1][0] if commit in ("HEAD", entries[0][0]) else None


def _way(session: Session, git_dir: str) -> Way:
    if os.path.exists(f"{git_dir}/MERGE_HEAD"):
        return "merge"
    if os.path.basename(session.runtime.env.get("GIT_INDEX_FILE", "index")) != "index":
        return "paths"
    words = ["rev-parse", "-q", "--verify", "HEAD"]
    code, _ = git.ask(words, session.runtime.cwd, session.runtime.env, ok=(0, 1))
    return "first" if code else "index"


def _pushed(session: Session, remote: str, local: str, there: str) -> list[str]:
    """Paths that a push of one ref changes on the other side, as far as can be known here."""
    cwd, env = session.runtime.cwd, session.runtime.env
    known = not ZEROS.issuperset(there) and git.ask(["cat-file", "-e", there], cwd, env, ok=(0, 1, 128))[0] == 0
    base = [there] if known else [f"--remotes={remote}"]
    plain = [word for word in _PLAIN if word != "--ignore-submodules=none"]
    words = ["log", "--format=", "--diff-merges=first-parent", *plain, local, "--not", *base, "--"]
    return git.names(git.ask(words, cwd, env)[1])


# ---------------------------------------------------------------- for the hook
def sweep_warning(session: Session, words: Sequence[str]) -> str:
    """What to tell an agent that is about to run a git command which sweeps up what its peers do; usually nothing.

    Args:
        session: Whose; its working directory is where the command will run.
        words: The command, its words as the shell would pass them.
    """
    from agentsync.core.sweeps import sweep
    from agentsync.store.locate import locate

    found = sweep(words)
    if found is None:
        return ""
    if found.directory is not None:
        where = os.path.join(session.runtime.cwd, os.path.expanduser(found.directory))
        session = session.at(locate(where, session.runtime.env))
    if not session.store.exists() or session.is_alone():
        return ""
    state = session.store.state()
    here = session.place.worktree
    held: dict[str, list[str]] = {}
    for one in state.locks():
        if one.live and one.lock.worktree == here and one.lock.scope != "resource":
            held.setdefault(one.lock.holder, []).append(one.lock.path)
    here_too = (p for p in state.presences() if p.agent.machine is None)  # a guest's changes are elsewhere
    others = [p for p in here_too if p.agent.id != session.me.id and p.status in ("active", "idle")]
    peers = [p for p in others if not p.ended and (p.agent.worktree == here or p.agent.id in held)]
    if not peers:
        return ""
    from agentsync.render import commits

    return commits.sweep(found, peers, held)
