"""What `.git` says without running git: where we are, and whether a word names a commit."""

from __future__ import annotations

import os


def folder(top: str) -> str | None:
    """The git folder of a working tree; None if there is none."""
    git = os.path.join(top, ".git")
    if os.path.isdir(git):
        return git
    line = _line(git)
    return os.path.join(top, line[8:]) if line.startswith("gitdir: ") else None


def head(git: str) -> str:
    """The branch of HEAD (`refs/heads/main`), or its commit, or ""."""
    return _line(os.path.join(git, "HEAD")).removeprefix("ref: ")


def commit(git: str, name: str) -> str | None:
    """The commit of a branch, a tag (unless packed or annotated, then something unlike any commit) or HEAD."""
    if name in ("HEAD", "@"):
        at = head(git)
        return commit(git, at.removeprefix("refs/heads/")) if at.startswith("refs/") else at or None
    common = os.path.normpath(os.path.join(git, _line(os.path.join(git, "commondir")) or "."))
    for prefix in ("refs/heads/", "refs/tags/", "refs/remotes/", "refs/", ""):
        ref = prefix + name
        if not ref.startswith("refs/"):
            continue
        found = _line(os.path.join(common, ref)) or _packed(common, ref)
        if found:
            return found
    return None


def _packed(common: str, ref: str) -> str:
    try:
        with open(os.path.join(common, "packed-refs"), encoding="utf-8", errors="replace") as file:
            for line in file:
                if line.rstrip("\n").endswith(" " + ref):
                    return line.split(" ")[0]
    except (OSError, ValueError):
        pass  # no packed refs, or a name that is none: no such ref either way
    return ""


def _line(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.readline(4096).rstrip("\n")
    except (OSError, ValueError):
        return ""  # not there, or a name that is none
