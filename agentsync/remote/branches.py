"""The branches of a git remote, looked at without a trace in the user's repository.

All happens in a bare repository that the caller throws away. It borrows the objects that the user's repository has, so
that only what is new travels. No branch, remote-tracking ref, `FETCH_HEAD` or anything else of the user's is written.
Refs have numbers for names, so no name that a remote makes up becomes the name of a file.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from msgspec import Struct

from agentsync.remote.backend import LIMIT_S
from agentsync.remote.command import Git

if TYPE_CHECKING:
    from collections.abc import Mapping

FETCHING = 3
"""Fetching may take so many times as long as a question."""

MAX_FETCHED = 1000
"""Branches that are fetched at a time."""

_ODD = re.compile(r"[\x00-\x20\x7f:*?\[\\^~]|\.\.|//|@\{|/$|\.lock$")
"""What git allows in no branch's name; whoever offers one wants something else."""


class Tip(Struct, frozen=True, gc=False):
    """A branch of the remote."""

    name: str
    commit: str


class Branches:
    """The branches of `remote`."""

    def __init__(
        self, repository: str, top: str, remote: str, *, env: Mapping[str, str], limit_s: float = LIMIT_S
    ) -> None:
        """Make the repository.

        Args:
            repository: Where; there may be objects already.
            top: The user's working tree.
            remote: A remote of it, an address, or a path.
            env: The caller's environment.
            limit_s: Seconds that a question may take.

        Raises:
            EndedError: The user's repository cannot be read.
        """
        self._quick = Git(repository, top, remote, env=env, limit_s=limit_s)
        self._slow = Git(repository, top, remote, env=env, limit_s=limit_s * FETCHING)
        kind, objects, shallow = (
            self._quick.ask("rev-parse", "--path-format=absolute", *words).removesuffix(b"\n")
            for words in (("--show-object-format",), ("--git-path", "objects"), ("--git-path", "shallow"))
        )
        options = ("--quiet", "--bare", "--template=", f"--object-format={kind.decode().strip()}")
        self._quick("-c", "init.defaultRefFormat=files", "init", *options)
        self._packed = f"{repository}/packed-refs"
        quoted = objects.replace(b"\\", b"\\\\").replace(b'"', b'\\"').replace(b"\n", b"\\n")
        with open(f"{repository}/objects/info/alternates", "wb") as file:
            file.write(b'"%s"\n' % quoted)
        try:
            with open(shallow, "rb") as source, open(f"{repository}/shallow", "wb") as copy:
                copy.write(source.read())
        except FileNotFoundError:
            pass  # the history is all there

    def listed(self) -> dict[str, str]:
        """The commit of each branch, by name.

        Raises:
            EndedError: The remote says no, or nothing.
        """
        said = self._quick("ls-remote", "--heads", "--", self._quick.addresses()[0]).decode("utf-8", "surrogateescape")
        found = (line.split("\t", 1) for line in said.split("\n") if "\trefs/heads/" in line)
        names = {name.removeprefix("refs/heads/"): commit for commit, name in found}
        return {name: commit for name, commit in names.items() if not _ODD.search(name)}

    def bring(self, wanted: Mapping[str, str], beside: str | None = None) -> tuple[list[Tip], int]:
        """Have the commits of some branches here.

        Args:
            wanted: Of those that are `listed`.
            beside: A commit; branches that are merged into it are left out.

        Returns:
            The branches, the newest first, and how many were too many to fetch.

        Raises:
            EndedError: The remote says no, or nothing, or one of them has gone meanwhile.
        """
        names = list(wanted)
        asked = "".join(f"{commit}\n" for commit in wanted.values()).encode()
        said = self._quick("cat-file", "--batch-check=%(objecttype)", stdin=asked).decode().splitlines()
        is_here = [line == "commit" for line in said]
        with open(self._packed, "w", encoding="ascii") as file:
            file.writelines(f"{wanted[name]} refs/heads/{n}\n" for n, name in enumerate(names) if is_here[n])
        missing = [n for n in range(len(names)) if not is_here[n]]
        fetched = "".join(f"+refs/heads/{names[n]}:refs/heads/{n}\n" for n in missing[:MAX_FETCHED])
        if fetched:
            options = ("--quiet", "--no-tags", "--no-write-fetch-head", "--no-auto-maintenance", "--stdin")
            where = self._slow.addresses()[0]
            self._slow("fetch", *options, "--", where, stdin=fetched.encode("utf-8", "surrogateescape"))
        only = [f"--no-merged={beside}"] if beside else []
        lines = self._quick(
            "for-each-ref", "--sort=-committerdate", "--format=%(refname:lstrip=2) %(objectname)", *only, "refs/heads"
        )
        pairs = (line.split() for line in lines.decode().splitlines())
        return [Tip(names[int(number)], commit) for number, commit in pairs], len(missing[MAX_FETCHED:])
