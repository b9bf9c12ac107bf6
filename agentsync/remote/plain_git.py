"""A board as one ref of a git remote: any that git can push to.

Plumbing only, in a bare repository of our own: no index, no worktree, nothing of the user's repository changes, no hook
runs, and what a killed process leaves is garbage, never a lock file that would stop the next one. (Hence the files that
git would lock, `HEAD`, `config` and the one ref, are written by us, by rename.) The user's repository lends the
remote's address and what is configured for getting there.

Every git runs in a session of its own, so that nothing can ask a terminal, and is killed with its children when the
time is up.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from agentsync.remote.backend import LIMIT_S, Done, Lost, Rejected, Snapshot, Unreachable
from agentsync.remote.command import DENIED, SHOWN, EndedError, Git
from agentsync.remote.objects import Objects

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agentsync.core.shared import Wanted
    from agentsync.store.files import Files

REPOSITORY = "remote.git"
"""Our bare repository, in the state directory."""

MANY = 20
"""Objects in one of the 256 folders, as `git gc` counts them, after which it is cheaper to fetch the board anew."""

SEEN = f"{REPOSITORY}/refs/heads/seen"
"""The version that was seen last: what need not be fetched again."""

_LOST = re.compile(
    r"stale info|failed to update ref|incorrect old value|cannot lock ref|failed to lock|reference already exists"
)
"""Words for a push that was too late, by git here and by receive-pack there."""

_BROKEN = re.compile(r"bad object|bad tree|missing|unable to read|corrupt|is empty|not a (valid|git)|did not send all")
"""Words for a repository of ours in which something is gone, or came out of a power cut empty."""


class PlainGit:
    """The board at `ref` of `remote`."""

    def __init__(
        self, files: Files, top: str, remote: str, ref: str, *, env: Mapping[str, str], limit_s: float = LIMIT_S
    ) -> None:
        """Nothing is asked or made before it is needed.

        Args:
            files: Primitives below the state directory, where our repository is.
            top: The user's working tree, or bare repository.
            remote: A remote of it, an address, or a path.
            ref: The whole name of the ref.
            env: The caller's environment.
            limit_s: Seconds that one git may take.
        """
        self._files = files
        self._ref = ref
        self._git = Git(files.path(REPOSITORY), top, remote, env=env, limit_s=limit_s)
        self._objects = Objects(files, self._git, REPOSITORY)

    # ------------------------------------------------------------ the three questions
    def read(self, known: str | None, wanted: Wanted | None = None) -> Snapshot | Rejected | Unreachable:
        """See `Backend.read`."""
        if self._is_full():
            self._begin_anew()
        for is_last in (False, True):
            try:
                return self._fetched(known, wanted)
            except EndedError as error:
                if is_last or not _BROKEN.search(error.said):
                    return Rejected(error.said) if DENIED.search(error.said) else Unreachable(error.said)
            self._begin_anew()
        raise AssertionError("the last time returns")

    def _fetched(self, known: str | None, wanted: Wanted | None) -> Snapshot:
        self._prepare()
        head = f"{REPOSITORY}/FETCH_HEAD"
        self._files.unlink(head)
        try:
            self._git("fetch", "--quiet", "--no-tags", "--no-auto-maintenance", self._git.addresses()[0], self._ref)
        except EndedError as error:
            if "find remote ref" not in error.said:
                raise
            return Snapshot(version=None, files={}, follows=known is None)
        fetched = self._files.read(head)
        version = fetched.data.split(b"\t")[0].decode("ascii", "replace") if fetched else ""
        files = self._objects.contents(version, wanted)
        self._note(version)
        follows = known in (None, version) or self._is_ancestor(known or "", version)
        return Snapshot(version=version, files=files, follows=follows)

    def _is_full(self) -> bool:
        return len(self._files.names(f"{REPOSITORY}/objects/17")) > MANY

    def _begin_anew(self) -> None:
        """Throw our repository away: first what says that anything is in it."""
        self._files.unlink(SEEN)
        self._files.unlink(f"{REPOSITORY}/HEAD")
        self._files.remove_tree(REPOSITORY)
        self._objects.forget()

    def recall(self, version: str, wanted: Wanted | None = None) -> Snapshot | None:
        """See `Backend.recall`."""
        try:
            return Snapshot(version=version, files=self._objects.contents(version, wanted))
        except EndedError:  # somebody deleted our repository, which is allowed
            return None

    def swap(
        self, base: str | None, changes: Mapping[str, bytes | None], about: str, squash: bool = False
    ) -> Done | Lost | Rejected | Unreachable:
        """See `Backend.swap`."""
        self._prepare()
        subject = " ".join(about.split())[:200]
        try:
            tree = self._objects.write_tree(base, changes)
        except EndedError:  # a power cut took some of what we had of that version
            self._begin_anew()
            return Lost()
        version = self._objects.write_commit(tree, None if squash else base, subject)
        outcome = self._push(version, base or "")
        if isinstance(outcome, Done):
            self._note(version)
            if self._is_full():  # whoever is alone at the board may never read it
                self._begin_anew()
        return outcome

    def _push(self, version: str, expected: str) -> Done | Lost | Rejected | Unreachable:
        lease = f"--force-with-lease={self._ref}:{expected}"
        try:
            self._git("push", "--porcelain", "--no-verify", lease, self._git.addresses()[1], f"{version}:{self._ref}")
        except EndedError as error:
            said = error.said
            refused = re.search(r"^!\t.*\t\[(remote )?rejected\] \((.*)\)", said, re.MULTILINE)
            if refused is None:
                return Rejected(said) if DENIED.search(said) else Unreachable(said)
            if _LOST.search(refused[2]):
                return Lost()
            words = [line.removeprefix("remote:").strip() for line in said.splitlines() if line.startswith("remote:")]
            return Rejected("; ".join([refused[2], *filter(None, words)])[:SHOWN])
        return Done(version)

    def _is_ancestor(self, old: str, new: str) -> bool:
        try:
            self._git("merge-base", "--is-ancestor", old, new)
        except EndedError:  # also when the old one is not here any more: then nobody knows
            return False
        return True

    # ------------------------------------------------------------ our repository
    def _prepare(self) -> None:
        """Make our repository, unless it is there. Each step can be done again."""
        if self._files.status(f"{REPOSITORY}/HEAD") is not None:
            return
        for name in ("objects", "refs/heads"):
            self._files.make_directory(f"{REPOSITORY}/{name}")
        version, extension = ("1", "[extensions]\n\tobjectFormat = sha256\n") if self._is_sha256() else ("0", "")
        config = f"[core]\n\trepositoryformatversion = {version}\n\tbare = true\n{extension}"
        self._publish(f"{REPOSITORY}/config", config)
        self._publish(f"{REPOSITORY}/HEAD", "ref: refs/heads/seen\n")  # last: it says that all is there

    def _is_sha256(self) -> bool:
        told = self._git.config().get("extensions.objectformat")
        return told == ["sha256"]

    def _note(self, version: str) -> None:
        if re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", version):
            self._publish(SEEN, version + "\n")

    def _publish(self, key: str, text: str) -> None:
        self._files.replace(self._files.write_temp(text.encode(), sync=False), key)
