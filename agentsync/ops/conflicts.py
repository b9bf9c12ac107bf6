"""`conflicts`: what would happen if the branches that others work on were merged with this one now.

For each worktree with live agents, or each branch that is named: a real merge by `git merge-tree`, with the uncommitted
changes and new files of both sides in it, and the locks that are held there on what this side has changed. Nothing is
left behind: the snapshots are made with an index of their own, and their objects go into a temporary folder. The
branches of a remote are tried by `partners`.
"""

from __future__ import annotations

import os
import tempfile
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from agentsync.core.lease import is_guest
from agentsync.core.locks import Blocked
from agentsync.core.paths import Target, overlap, target_of
from agentsync.errors import AgentSyncError, NotFoundError
from agentsync.ops import git
from agentsync.store.locate import find_repository, name_in

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agentsync.core.lease import Presence
    from agentsync.ops.session import Session

QUIET = (
    *("-c", "core.hooksPath=/dev/null", "-c", "core.splitIndex=false", "-c", "core.safecrlf=false"),
    *("-c", "advice.addEmbeddedRepo=false", "-c", "gc.auto=0", "-c", "commit.gpgSign=false"),
)
"""No hook runs and no configuration speaks while a snapshot is made."""

SNAPSHOT_S = 600.0
"""Seconds that git may take to read a whole working tree."""

NOBODY = {
    **{f"GIT_{who}_NAME": "agent-sync" for who in ("AUTHOR", "COMMITTER")},
    **{f"GIT_{who}_EMAIL": "agent-sync@localhost" for who in ("AUTHOR", "COMMITTER")},
}
"""Who makes the snapshots, which nobody ever sees."""


class Worktree(Struct, frozen=True, kw_only=True, gc=False):
    """A working tree of this repository, as git lists it."""

    path: str
    name: str | None
    """As in agent and lock records; None = the main one."""
    branch: str | None
    """None = detached."""


class Ahead(Struct, frozen=True, kw_only=True, gc=False):
    """What lies ahead with one branch."""

    branch: str
    """Its name, or the commit that is checked out where there is none."""
    worktree: Worktree | None
    """Where it is checked out; None = nowhere, so there are no uncommitted changes."""
    remote: str | None = None
    """Whose branch it is; None = of this repository."""
    agents: tuple[Presence, ...] = ()
    conflicts: tuple[str, ...] = ()
    """Paths that git cannot merge by itself."""
    uncommitted: bool = False
    """Whether changes that are not committed there took part."""
    overlap: tuple[Blocked, ...] = ()
    """Paths that this side has changed and that somebody holds there."""
    problem: str | None = None
    """Why the merge could not be tried."""


def ahead(session: Session, branches: Sequence[str] = ()) -> list[Ahead]:
    """Try to merge this working tree with others.

    Args:
        session: Whose.
        branches: Which; none = all that live agents work on in other worktrees.

    Raises:
        GitError: This is no repository, or git is too old for `merge-tree --write-tree`.
        NotFoundError: There is no such branch.
    """
    with tempfile.TemporaryDirectory(prefix="agent-sync-") as scratch:
        return Trial(session, scratch).run(branches)


class Trial:
    """One look ahead, with a folder for its objects."""

    def __init__(self, session: Session, scratch: str) -> None:
        self.session = session
        self.scratch = scratch
        self._mine = ""
        self.base = session.place.base
        env = git.unbound(session.runtime.env)
        _, said = git.ask(["rev-parse", "--git-path", "objects"], self.base, env)
        objects = os.path.join(self.base, os.fsdecode(said.removesuffix(b"\n")))
        self.repository = f"{scratch}/repository"
        """Nothing yet; who makes it there may leave objects for the merges."""
        os.makedirs(f"{self.repository}/objects")
        quoted = objects.replace("\\", "\\\\").replace('"', '\\"')
        self.env = {
            **env,
            **NOBODY,
            "GIT_OBJECT_DIRECTORY": f"{self.repository}/objects",
            "GIT_ALTERNATE_OBJECT_DIRECTORIES": f'"{quoted}"',
        }
        state = session.store.state() if session.store.exists() else None
        there = [p for p in state.presences() if p.agent.machine is None] if state else []  # no guest is in a worktree
        self.agents = [p for p in there if p.agent.id != session.me.id and not p.is_gone and not p.ended]
        self.locks = [held for held in state.locks() if held.live and not is_guest(held.lock)] if state else []

    def run(self, branches: Sequence[str]) -> list[Ahead]:
        """Try to merge with other worktrees, or with branches of this repository."""
        trees = self._worktrees()
        here = self.session.place.worktree
        others = [tree for tree in trees if tree.name != here]
        if branches:
            wanted = [self._named(word, others) for word in branches]
        else:
            wanted = [(tree.branch or "", tree) for tree in others if self._at(tree)]
        return [self._try(self.mine(), branch, tree) for branch, tree in wanted]

    def mine(self) -> str:
        """This working tree as it stands: a commit."""
        self._mine = self._mine or self._snapshot(self.base)[0]
        return self._mine

    def meet(self, remote: str, branch: str, commit: str, agents: tuple[Presence, ...]) -> Ahead:
        """Try to merge a commit of a remote's branch, which is here already.

        Args:
            remote: What the remote is called.
            branch: What the branch is called there.
            commit: Which.
            agents: Who works on it.
        """
        found = Ahead(branch=branch, worktree=None, remote=remote, agents=agents)
        try:
            return replace(found, conflicts=self._merge(self.mine(), commit))
        except git.GitError as error:
            return replace(found, problem=error.message)

    def _try(self, mine: str, branch: str, tree: Worktree | None) -> Ahead:
        agents = self._at(tree) if tree is not None else ()
        uncommitted = False
        try:
            if tree is None:
                theirs = self._git("rev-parse", "--verify", "-q", f"{branch}^{{commit}}").decode().strip()
            else:
                theirs, uncommitted = self._snapshot(tree.path)
            return Ahead(
                branch=branch or theirs[:12],
                worktree=tree,
                agents=agents,
                conflicts=self._merge(mine, theirs),
                uncommitted=uncommitted,
                overlap=self._declared(mine, theirs, tree),
            )
        except git.GitError as error:
            return Ahead(branch=branch or "?", worktree=tree, agents=agents, problem=error.message)

    def _at(self, tree: Worktree) -> tuple[Presence, ...]:
        """Who works in a worktree: who registered there, and who has gone there since and holds something."""
        files = (h.lock for h in self.locks if h.lock.scope != "resource")
        holders = {lock.holder for lock in files if lock.worktree == tree.name}
        return tuple(p for p in self.agents if p.agent.worktree == tree.name or p.agent.id in holders)

    def _merge(self, mine: str, theirs: str) -> tuple[str, ...]:
        words = ["merge-tree", "--write-tree", "-z", "--name-only", "--no-messages", mine, theirs]
        code, said = git.ask([*QUIET, *words], self.base, self.env, ok=(0, 1))
        _tree, _, files = said.partition(b"\0")
        return tuple(git.names(files)) if code else ()

    def _declared(self, mine: str, theirs: str, tree: Worktree | None) -> tuple[Blocked, ...]:
        held = [h for h in self.locks if tree is not None and h.lock.worktree == tree.name]
        held = [h for h in held if h.lock.holder != self.session.me.id and h.lock.scope != "resource"]
        code, base = git.ask(["merge-base", mine, theirs], self.base, self.env, ok=(0, 1))
        if code or not held:
            return ()
        changed = git.names(self._git("diff", "--name-only", "-z", "--no-renames", base.decode().strip(), mine))
        place = self.session.place
        targets = [Target(scope="file", path=name_in(f"{place.base}/{path}", place)) for path in changed]
        return tuple(Blocked(target, h) for h in held for target in targets if overlap(target, target_of(h.lock)))

    def _snapshot(self, base: str) -> tuple[str, bool]:
        """A commit of a working tree as it stands, and whether it differs from what is committed there."""
        found = os.path.join(base, os.fsdecode(self._git("rev-parse", "--git-path", "index", cwd=base))[:-1])
        index = tempfile.mktemp(dir=self.scratch)  # noqa: S306 # the folder is ours alone
        try:
            with open(found, "rb") as source, open(index, "xb") as copy:
                copy.write(source.read())
        except FileNotFoundError:
            pass  # nothing was ever staged: git begins with an empty index
        env = {**self.env, "GIT_INDEX_FILE": index}
        git.ask([*QUIET, "add", "--all", "--ignore-errors", "--", ":/"], base, env, ok=(0, 1), timeout=SNAPSHOT_S)
        tree = git.ask([*QUIET, "write-tree"], base, env)[1].decode().strip()
        head = self._git("rev-parse", "--verify", "-q", "HEAD^{commit}", cwd=base).decode().strip()
        if tree == self._git("rev-parse", "HEAD^{tree}", cwd=base).decode().strip():
            return head, False
        made = git.ask([*QUIET, "commit-tree", tree, "-p", head, "-m", "as it stands"], base, env)[1]
        return made.decode().strip(), True

    def _worktrees(self) -> list[Worktree]:
        said = self._git("worktree", "list", "--porcelain", "-z")
        found = []
        for entry in said.split(b"\0\0"):
            fields = dict(line.partition(b" ")[::2] for line in entry.split(b"\0") if line)
            path = os.fsdecode(fields.get(b"worktree", b""))
            if not path or b"bare" in fields or b"prunable" in fields:
                continue
            repository = find_repository(os.path.realpath(path))
            branch = os.fsdecode(fields[b"branch"]).removeprefix("refs/heads/") if b"branch" in fields else None
            name = repository.worktree if repository else None
            found.append(Worktree(path=path, name=name, branch=branch))
        return found

    def _named(self, word: str, others: Sequence[Worktree]) -> tuple[str, Worktree | None]:
        """What a branch, a worktree or a commit that somebody typed means."""
        for tree in others:
            if word in (tree.branch, tree.name, f"refs/heads/{tree.branch}"):
                return tree.branch or "", tree
        code, _ = git.ask(["rev-parse", "--verify", "-q", f"{word}^{{commit}}"], self.base, self.env, ok=(0, 1))
        if code or word.startswith("-"):
            raise NotFoundError(f"there is no branch or commit {word[:80]!r}", "git branch --all lists them")
        return word, None

    def _git(self, *words: str, cwd: str | None = None) -> bytes:
        return git.ask(words, cwd or self.base, self.env)[1]


def require_repository(session: Session) -> None:
    """Refuse to look ahead where there is no repository with a working tree.

    Raises:
        AgentSyncError: There is none.
    """
    if find_repository(session.place.base) is None:
        raise AgentSyncError(f"{session.place.base} is no git repository", "run this in a working tree of one")
