"""`provision`: a place for several machines to meet, made with the forge's own program, `gh`, if that is logged in.

A plan is looked up first, and shows what will be typed; nothing is made before somebody has agreed to it. Each step can
be done again, and those that are done already are found to be, so after a failure the same command goes on from there.
We see no credentials: `gh` and git have theirs. (Tried with a stand-in for `gh` only, from its documentation.)
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from agentsync.errors import AgentSyncError, HeldError, MissingExtraError, UsageError
from agentsync.ops import remote
from agentsync.ops.git import unbound
from agentsync.remote.command import SHOWN, UNASKED, EndedError, run
from agentsync.store.locate import branch_of, find_repository

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from agentsync.ops.session import Session
    from agentsync.remote.backend import Backend

LIMIT_S = 60.0
"""Seconds that one question to the forge may take."""

PUSH_S = 600.0
"""Seconds that the first push may take: all of a history goes."""

ABSENT = re.compile(r"could not resolve to a repository|not found|HTTP 404", re.IGNORECASE)
"""Words of gh's for a repository that is not there, or that we may not see; then making it fails, and says so."""


class Wish(Struct, frozen=True, kw_only=True, gc=False):
    """What somebody wants."""

    name: str
    """`NAME`, or `OWNER/NAME`."""
    remote: str = "origin"
    public: bool = False
    push: bool = False
    """Whether the current branch goes there."""
    invite: tuple[str, ...] = ()


class Step(Struct, frozen=True, kw_only=True, gc=False):
    """One thing to do."""

    what: Literal["create", "remote", "push", "board", "invite"]
    command: tuple[str, ...]
    """What a person would type for it."""
    done: bool = False


class Found(Struct, frozen=True, kw_only=True, gc=False, rename="camel"):
    """A repository, as `gh repo view` tells it."""

    name_with_owner: str
    url: str
    ssh_url: str
    is_private: bool
    is_empty: bool


class Plan(Struct, frozen=True, kw_only=True, gc=False):
    """What there is to do, in this order."""

    wish: Wish
    steps: tuple[Step, ...]

    @property
    def open(self) -> tuple[Step, ...]:
        """Those that are not done yet."""
        return tuple(step for step in self.steps if not step.done)


class Provisioning:
    """One run of it."""

    def __init__(self, session: Session, wish: Wish, backend: Backend | None = None) -> None:
        """Check what was typed.

        Raises:
            UsageError: It makes no sense, or this is no clone.
        """
        repository = find_repository(session.place.base)
        if repository is None:
            raise UsageError(f"{session.place.base} is no git repository", "git init makes one")
        if not re.fullmatch(r"(\w[\w.-]*/)?\w[\w.-]*", wish.name, re.ASCII):
            raise UsageError(f"{wish.name[:80]!r} cannot be a repository's name", "NAME or OWNER/NAME")
        if not re.fullmatch(r"\w[\w.-]*", wish.remote, re.ASCII):
            raise UsageError(f"{wish.remote[:80]!r} cannot be a remote's name", "for example: --remote origin")
        for user in wish.invite:
            if not re.fullmatch(r"[A-Za-z0-9](?:[A-Za-z0-9_-]{0,62}[A-Za-z0-9])?", user):
                raise UsageError(f"{user[:80]!r} cannot be a user's name", "give the name at the forge, without @")
        self._session, self._wish, self._backend = session, wish, backend
        self._base = session.place.base
        self.branch = branch_of(self._base)
        if wish.push and self.branch is None:
            raise UsageError("no branch is checked out, so there is none to push", "git switch a branch first")
        self._env = {**unbound(session.runtime.env), **UNASKED}
        self._env |= {"GH_PROMPT_DISABLED": "1", "GH_NO_UPDATE_NOTIFIER": "1", "NO_COLOR": "1"}
        self._env.pop("GH_REPO", None)  # it would lead to another repository than the one that is named

    def by_hand(self) -> list[tuple[str, ...]]:
        """What a person types who has a machine that git reaches by ssh, and no forge."""
        name, there = self._wish.name.rpartition("/")[2], self._wish.remote
        return [
            ("ssh", "HOST", "git", "init", "--bare", f"{name}.git"),
            ("git", "remote", "add", there, f"HOST:{name}.git"),
            ("git", "push", "-u", there, self.branch or "BRANCH"),
            ("agent-sync", "remote", "add", there),
        ]

    # ------------------------------------------------------------ what to do
    def plan(self) -> Plan:
        """See what is done already. Changes nothing, here or there.

        Raises:
            MissingExtraError: `gh` is needed and not there, or not logged in.
            HeldError: The name is taken by a repository that is not as wished.
            UsageError: This clone shares a board elsewhere.
            AgentSyncError: `gh` does not answer.
        """
        wish, address = self._wish, self._address()
        if address is None or wish.invite:
            self._require_gh()
        there = self._view(wish.name) if address is None else None
        if there is not None:
            self._require_as_wished(there)
        steps = []
        if address is None:
            kind = "--public" if wish.public else "--private"
            make = ("gh", "repo", "create", wish.name, kind)
            steps.append(Step(what="create", command=make, done=there is not None))
        known = address or (self._url(there) if there else "ADDRESS")
        steps.append(Step(what="remote", command=("git", "remote", "add", wish.remote, known), done=bool(address)))
        if wish.push:
            steps.append(Step(what="push", command=("git", "push", "-u", wish.remote, self.branch or "")))
        steps.append(self._board())
        owner = self._view(address) if address and wish.invite else there
        where = owner.name_with_owner if owner else wish.name if "/" in wish.name else f"OWNER/{wish.name}"
        steps += [Step(what="invite", command=_invitation(where, user)) for user in wish.invite]
        return Plan(wish=wish, steps=tuple(steps))

    def _board(self) -> Step:
        there = remote.standing(self._session) if self._session.store.exists() else None
        if there is not None and there.link.remote != self._wish.remote:
            raise UsageError(
                f"this clone takes part in the board at {there.link.remote} already", "agent-sync remote remove"
            )
        command = ("agent-sync", "remote", "add", self._wish.remote)
        return Step(what="board", command=command, done=there is not None)

    def _require_gh(self) -> None:
        from shutil import which

        if which("gh", path=self._env.get("PATH")) is None:
            said = "gh, the program of GitHub's, is not installed"
            raise MissingExtraError(said, "install it, or type the commands shown here")
        try:
            self._gh("auth", "status")
        except EndedError as error:
            said = f"gh is not logged in: {_line(error)}"
            raise MissingExtraError(said, "gh auth login, or type the commands shown here") from None

    def _require_as_wished(self, there: Found) -> None:
        """A repository of that name may be what an earlier run has made, or somebody's work."""
        what, hint = there.name_with_owner, f"another name, or: git remote add {self._wish.remote} {self._url(there)}"
        if not there.is_empty:
            raise HeldError(f"{what} exists already and is not empty; nothing was changed", hint)
        if not (there.is_private or self._wish.public):
            raise HeldError(f"{what} exists already and is public; nothing was changed", f"--public, {hint}")

    # ------------------------------------------------------------ doing it
    def carry_out(self, plan: Plan) -> Iterator[Step]:
        """Do what is open; each step is told when it is done.

        Raises:
            AgentSyncError: A step did not work; what was told before stays done.
        """
        for step in plan.open:
            try:
                yield replace(step, command=self._do(step, plan.wish), done=True)
            except EndedError as error:
                raise AgentSyncError(
                    f"{' '.join(step.command)} did not work: {_line(error)}", "mend it, then repeat this command"
                ) from None

    def _do(self, step: Step, wish: Wish) -> tuple[str, ...]:
        """Do one step; returns the command as it was in the end."""
        command = step.command
        match step.what:
            case "board":
                remote.add(self._session, wish.remote, backend=self._backend)
                return command
            case "remote":
                there = self._view(wish.name)
                if there is None:
                    raise EndedError("gh does not find the repository that was made")
                command = (*command[:-1], self._url(there))
            case "invite":
                there = self._view(self._address() or wish.name)
                if there is None:
                    raise EndedError("gh does not find the repository")
                command = _invitation(there.name_with_owner, command[-1].rpartition("/")[2])
        self._run(command, PUSH_S if step.what == "push" else LIMIT_S)
        return command

    # ------------------------------------------------------------ asking
    def _address(self) -> str | None:
        try:
            return self._run(("git", "config", "--get", f"remote.{self._wish.remote}.url")).decode().strip() or None
        except EndedError:
            return None

    def _view(self, name: str) -> Found | None:
        """A repository at the forge by its name or address; None when there is none."""
        fields = "nameWithOwner,url,sshUrl,isPrivate,isEmpty"
        try:
            return msgspec.json.decode(self._gh("repo", "view", name, "--json", fields), type=Found)
        except EndedError as error:
            if ABSENT.search(error.said):
                return None
            raise AgentSyncError(f"gh cannot tell whether there is {name}: {_line(error)}", "try again") from None
        except msgspec.DecodeError as error:
            raise AgentSyncError(f"gh repo view answers otherwise than documented: {error}", "upgrade gh") from None

    def _url(self, there: Found) -> str:
        try:
            protocol = self._gh("config", "get", "git_protocol").strip()
        except EndedError:
            protocol = b""
        return there.ssh_url if protocol == b"ssh" else f"{there.url}.git"

    def _gh(self, *words: str) -> bytes:
        return self._run(("gh", *words))

    def _run(self, command: Sequence[str], limit_s: float = LIMIT_S) -> bytes:
        return run(command, cwd=self._base, env=self._env, limit_s=limit_s)


def _invitation(repository: str, user: str) -> tuple[str, ...]:
    return ("gh", "api", "--silent", "--method", "PUT", f"repos/{repository}/collaborators/{user}")


def _line(error: EndedError) -> str:
    return " ".join(error.said.split())[:SHOWN]
