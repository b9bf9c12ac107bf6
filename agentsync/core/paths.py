"""Names: what a lock protects, how it is spelled, and which file keeps it.

A `Target` is what somebody wants to lock. Its `path` is already normal: relative to the root with `/` between parts
(absolute outside the root), NFC, no `.`, `..`, empty parts or symlinks. Making it so needs the disk and happens in
`store.locate`; everything here is arithmetic on text.

`encode` and `decode` translate between paths and file names. The shell gate does the same in `hooks/gate`, and
`tests/hook/test_gate_law.py` holds the two together.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from msgspec import Struct

from agentsync.core.records import Scope

if TYPE_CHECKING:
    from agentsync.core.records import Lock

PLAIN = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._+@=,-")
"""Bytes that stand for themselves in a file name; all others are percent-encoded."""

MAX_NAME = 180
"""Bytes of an encoded name. File systems allow 255; `.json`, a holder's id and a separator still have to fit."""

MAX_PATH = 4096
"""Characters of a path or pattern: what POSIX promises to open."""

ROOT = "./"
"""The path of the whole tree, as a directory target."""

_ID = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?")
_RESERVED = re.compile(r"(?:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:\..*)?")
_GLOB_CHARACTERS = frozenset("*?[{")


class Target(Struct, frozen=True, kw_only=True, gc=False):
    """Something that can be locked."""

    scope: Scope
    path: str
    """Ends in `/` iff scope is dir; begins with `@` iff scope is resource; a pattern iff scope is glob."""
    worktree: str | None = None
    """The linked worktree it is meant in; None = the main one, and always for resources and outside paths."""
    everywhere: bool = False


def is_valid_id(text: str) -> bool:
    """Whether `text` may name an agent, task or store: safe as a file name on every system, in every shell."""
    return _ID.fullmatch(text) is not None and ".." not in text and _RESERVED.fullmatch(text) is None


def looks_like_glob(text: str) -> bool:
    """Whether `text` has a character that means something in a pattern."""
    return not _GLOB_CHARACTERS.isdisjoint(text)


def encode(path: str) -> str:
    """The file name (without `.json`) that stands for `path`.

    Percent-encoded UTF-8. A leading dot is encoded too, or `ls` would not show it; so is a leading `@` of a path,
    which would read as a resource (pass resources to `encode_resource`). A name that would be longer than `MAX_NAME`
    becomes `~` and 16 hex digits of the SHA-256 of the path; the path itself is in the record.
    """
    raw = path.encode("utf-8", "surrogateescape")
    name = "".join(chr(byte) if byte in PLAIN else f"%{byte:02X}" for byte in raw)
    if name[:1] in (".", "@"):
        name = f"%{ord(name[0]):02X}{name[1:]}"
    if len(name) > MAX_NAME:
        import hashlib

        return "~" + hashlib.sha256(raw).hexdigest()[:16]
    return name


def encode_target(scope: Scope, path: str) -> str:
    """The file name of a lock on `path`: `encode`, but a resource keeps its `@`."""
    return "@" + encode(path[1:]) if scope == "resource" else encode(path)


def decode(name: str) -> str | None:
    """The path that `encode` made `name` of; None when the name is a hash and only the record knows."""
    if name.startswith("~"):
        return None
    if "%" not in name:
        return name
    head, *parts = name.split("%")
    try:
        raw = head.encode("ascii") + b"".join(bytes((int(part[:2], 16),)) + part[2:].encode("ascii") for part in parts)
    except ValueError:  # nobody encoded this
        return None
    return raw.decode("utf-8", "surrogateescape")


def parents(path: str) -> tuple[str, ...]:
    """The directories above a file or directory, as directory paths, outermost first: the root, then `a/`, `a/b/`.

    An absolute path is outside the root, so the root is not among them.
    """
    if path == ROOT:
        return ()
    parts = path.rstrip("/").split("/")[:-1]
    above = ["/".join(parts[: i + 1]) + "/" for i in range(len(parts))]
    return tuple(above) if path.startswith("/") else (ROOT, *above)


def overlap(a: Target, b: Target) -> bool:
    """Whether some path is covered by both, whatever worktree they are meant in."""
    if a.scope == "resource" or b.scope == "resource":
        return a.scope == b.scope and a.path == b.path
    if a.scope == "glob" or b.scope == "glob":
        from agentsync.core import globs  # 1 ms, and most stores hold no glob

        return globs.overlap(globs.parts_of(a.scope, a.path), globs.parts_of(b.scope, b.path))
    if a.scope == "dir" and _inside(b.path, a.path):
        return True
    if b.scope == "dir" and _inside(a.path, b.path):
        return True
    return a.path.rstrip("/") == b.path.rstrip("/")


def _inside(path: str, directory: str) -> bool:
    if directory == ROOT:
        return not path.startswith("/")
    return path.startswith(directory) or path == directory[:-1]


def reach_overlap(a: Target, b: Target) -> bool:
    """Whether two targets meet in one worktree, so that a shared path is the very same file."""
    return a.everywhere or b.everywhere or a.worktree == b.worktree


def target_of(lock: Lock) -> Target:
    """What a lock protects."""
    return Target(scope=lock.scope, path=lock.path, worktree=lock.worktree, everywhere=lock.everywhere)


def plain_target(path: str) -> Target:
    """A file or directory; what looks like a pattern is none."""
    return Target(scope="dir" if path.endswith("/") else "file", path=path)


def target_at(path: str, worktree: str | None) -> Target:
    """What a path on the board means: a resource, a directory, a pattern or a file."""
    if path.startswith("@") and "/" not in path:
        return Target(scope="resource", path=path)
    scope: Scope = "dir" if path.endswith("/") else "glob" if looks_like_glob(path) else "file"
    return Target(scope=scope, path=path, worktree=None if path.startswith("/") else worktree)
