"""Where a path's state lives, and what a path is called there.

Root = `AGENT_SYNC_ROOT`, else the main worktree of the git repository that contains the path, else the nearest ancestor
that already has `.claude/coordination`, else the working directory. A bare `.claude` never counts: that is how a home
folder would swallow every project. Git's files are read as files (`.git`, `gitdir:`, `commondir`); no git is spawned.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from msgspec import Struct

from agentsync.core.paths import MAX_PATH, ROOT, Target, looks_like_glob
from agentsync.errors import UsageError
from agentsync.store.files import read_plain

if TYPE_CHECKING:
    from collections.abc import Mapping

STATE = ".claude/coordination"

MAX_CONFIG = 1 << 20
"""Bytes of a repository's configuration that are read."""


class Place(Struct, frozen=True, gc=False):
    """A working tree and the state that it shares with its siblings. All paths are real: no symlinks in them."""

    root: str
    """The main worktree's top; of a bare repository, the repository itself."""
    state: str
    """The state directory."""
    base: str
    """Top of the working tree that contains the path: `root`, or a linked worktree's own."""
    worktree: str | None = None
    """Git's name of the linked worktree; None = the main one."""


class Repository(Struct, frozen=True, gc=False):
    """What git's own files say about the working tree that contains a path."""

    top: str
    git_dir: str
    main: str
    """Top of the main worktree (`top` unless this is a linked one)."""
    worktree: str | None


def locate(start: str, env: Mapping[str, str]) -> Place:
    """The place that a directory belongs to.

    Args:
        start: An absolute path; it need not exist.
        env: Looked up for `AGENT_SYNC_ROOT` and `AGENT_SYNC_DIR`.
    """
    found = _discover(os.path.realpath(start), env)
    return found or _place(os.path.realpath(start), env)


def locate_path(path: str, home: Place, env: Mapping[str, str]) -> Place:
    """The place that judges a file: its own repository's, else that of `home`.

    Args:
        path: Real and absolute.
        home: Where the caller is.
        env: As for `locate`.
    """
    directory = path if os.path.isdir(path) else os.path.dirname(path)
    if directory == home.base and home.worktree is None and os.path.exists(f"{directory}/.git"):
        return home
    return _discover(directory, env) or home


def _discover(start: str, env: Mapping[str, str]) -> Place | None:
    if forced := env.get("AGENT_SYNC_ROOT"):
        root = os.path.realpath(forced)
        repository = find_repository(start)
        if repository is not None and repository.worktree is not None and repository.main == root:
            return _place(root, env, repository.top, repository.worktree)
        return _place(root, env)
    repository = find_repository(start)
    if repository is not None:
        return _place(repository.main, env, repository.top, repository.worktree)
    directory = start
    while True:
        if os.path.isdir(f"{directory}/{STATE}"):
            return _place(directory, env)
        parent = os.path.dirname(directory)
        if parent == directory:
            return None
        directory = parent


def _place(root: str, env: Mapping[str, str], base: str | None = None, worktree: str | None = None) -> Place:
    forced = env.get("AGENT_SYNC_DIR")
    state = os.path.abspath(forced) if forced else f"{root.rstrip('/')}/{STATE}"
    return Place(root, state, base or root, worktree)


# ---------------------------------------------------------------- git, read as files
def find_repository(start: str) -> Repository | None:
    """The working tree that contains a real directory, which need not exist."""
    directory = start
    while True:
        found = _repository_at(directory)
        if found is not None:
            return found
        parent = os.path.dirname(directory)
        if parent == directory:
            return None
        directory = parent


def _repository_at(top: str) -> Repository | None:
    dot_git = f"{top.rstrip('/')}/.git"
    if os.path.isfile(f"{dot_git}/HEAD"):
        return Repository(top, dot_git, top, None)
    pointer = _line(dot_git)
    if pointer is None or not pointer.startswith("gitdir:"):
        return None
    git_dir = os.path.realpath(os.path.join(top, pointer[7:].strip()))
    common = _line(f"{git_dir}/commondir")
    if common is None:  # a submodule, or a repository kept apart from its tree: its own root
        if not os.path.isfile(f"{git_dir}/HEAD"):
            return None
        # A folder around a bare repository shares the state with the worktrees, which know only the repository.
        bare = config_value(git_dir, "core", "bare") == "true"
        return Repository(top, git_dir, git_dir if bare else top, None)
    common_dir = os.path.realpath(os.path.join(git_dir, common))
    return Repository(top, git_dir, _main_top(common_dir), os.path.basename(git_dir))


def _main_top(common_dir: str) -> str:
    """The main worktree of a repository; a bare one has none, so the repository itself stands in."""
    if os.path.basename(common_dir) == ".git":
        return os.path.dirname(common_dir)
    # How a submodule's repository knows its tree; a sparse checkout moves it to the second file.
    worktree = config_value(common_dir, "core", "worktree") or config_value(
        common_dir, "core", "worktree", "config.worktree"
    )
    return os.path.realpath(os.path.join(common_dir, worktree)) if worktree else common_dir


def lost_tree(start: str) -> str | None:
    """The git directory of a repository whose main working tree its linked ones cannot find, so each has its own board.

    `git init --separate-git-dir` keeps the two apart, and only the tree knows of the other. Where no linked worktree
    asks, nothing is lost: then None.
    """
    found = find_repository(start)
    if found is None or found.git_dir == f"{found.top.rstrip('/')}/.git":
        return None
    common = found.main if found.worktree is not None else found.git_dir
    if not os.path.isfile(f"{common}/HEAD") or config_value(common, "core", "bare") == "true":
        return None
    known = config_value(common, "core", "worktree") or config_value(common, "core", "worktree", "config.worktree")
    return common if known is None and os.path.isdir(f"{common}/worktrees") else None


def config_value(git_dir: str, section: str, name: str, file_name: str = "config") -> str | None:
    """A plain `name = value` of a `[section]` in a repository's config; includes are not followed."""
    try:
        data = read_plain(f"{git_dir}/{file_name}", MAX_CONFIG) or b""
    except OSError:
        return None  # not ours to read: it tells us nothing
    inside = False
    for line in data.decode("utf-8", "surrogateescape").split("\n"):
        text = line.strip()
        if text.startswith("["):
            inside = text.lower() == f"[{section}]"
        elif inside and "=" in text:
            key, _, value = text.partition("=")
            if key.strip().lower() == name:
                return value.strip().strip('"')
    return None


def branch_of(base: str) -> str | None:
    """The branch checked out in the working tree at `base`; None when there is none or no git."""
    repository = _repository_at(base)
    head = _line(f"{repository.git_dir}/HEAD") if repository else None
    return head[16:] if head and head.startswith("ref: refs/heads/") else None


def _line(path: str) -> str | None:
    """First line of a small file; None when it cannot be read."""
    try:
        fd = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))
    except OSError:
        return None
    try:
        return os.read(fd, MAX_PATH + 16).decode("utf-8", "surrogateescape").partition("\n")[0].strip()
    except OSError:  # a directory
        return None
    finally:
        os.close(fd)


# ---------------------------------------------------------------- what a typed path means
def real_path(typed: str, cwd: str) -> str:
    """The absolute path without symlinks, `.` and `..` that a typed one means; it need not exist.

    Raises:
        UsageError: It is empty, too long, or holds a NUL.
    """
    if not typed.strip():
        raise UsageError("an empty path locks nothing", "name a file, a directory, a pattern or @resource")
    if "\0" in typed or len(typed) > MAX_PATH:
        raise UsageError(f"not a path: {typed[:60]!r}", "paths hold no NUL and have at most 4096 characters")
    try:
        typed.encode("utf-8")
    except UnicodeEncodeError:
        raise UsageError(f"not a path: {typed[:60]!r}", "names that are not UTF-8 cannot be locked") from None
    real = os.path.realpath(os.path.join(cwd, typed))
    # What comes behind a link that leads to itself is left as it stands, `..` taken out, and may hold links again.
    return os.path.realpath(real) if ".." in typed else real


def name_in(path: str, place: Place) -> str:
    """What a real path is called at a place: relative to its working tree, absolute when it is outside."""
    base = place.base.rstrip("/")
    if path == place.base:
        return "."
    if path.startswith(base + "/"):
        path = path[len(base) + 1 :]
    if not path.isascii():
        import unicodedata

        path = unicodedata.normalize("NFC", path)
    return path.replace(os.sep, "/") if os.sep != "/" else path


def resolve(
    typed: str, cwd: str, home: Place, env: Mapping[str, str], everywhere: bool = False
) -> tuple[Place, Target]:
    """What somebody means by a path, directory or pattern typed in `cwd`.

    A file that exists wins over a pattern that looks like it (`pages/[id].tsx`). A directory that exists needs no
    trailing slash.

    Raises:
        UsageError: It cannot name anything.
    """
    path = real_path(typed, cwd)
    first = _first_wildcard(typed, cwd)
    if first is not None:
        return _resolve_glob(typed, first, cwd, home, env, everywhere=everywhere)
    place = locate_path(path, home, env)
    name = name_in(path, place)
    if place.base.startswith(path.rstrip("/") + "/"):
        raise UsageError(f"{path} contains the repository {place.base}", "lock what is in it: agent-sync lock .")
    if name == ".":
        name = ROOT
    elif typed.endswith("/") or os.path.isdir(path):
        name += "/"
    scope = "dir" if name.endswith("/") else "file"
    return place, _target(scope, name, place, everywhere)


def _first_wildcard(typed: str, cwd: str) -> int | None:
    """Index of the first part that is a pattern: it looks like one, and nothing of that name exists."""
    parts = typed.split("/")
    for i, part in enumerate(parts):
        if looks_like_glob(part) and not os.path.lexists(os.path.join(cwd, "/".join(parts[: i + 1]))):
            return i
    return None


def _resolve_glob(
    typed: str, first: int, cwd: str, home: Place, env: Mapping[str, str], *, everywhere: bool
) -> tuple[Place, Target]:
    from agentsync.core import globs  # 1 ms, and most targets are plain paths

    parts = typed.split("/")
    rest = [part for part in parts[first:] if part not in ("", ".")]
    if ".." in rest:
        raise UsageError(f"{typed!r} has '..' after its first wildcard", "write the pattern without '..'")
    head = real_path("/".join(parts[:first]) + "/" if first else ".", cwd)
    place = locate_path(head, home, env)
    name = name_in(head, place)
    pattern = "/".join(([] if name == "." else [_escape(name).rstrip("/")]) + rest)
    if typed.endswith("/"):
        pattern += "/**"
    if not pattern.isascii():
        import unicodedata

        pattern = unicodedata.normalize("NFC", pattern)
    found = globs.parse(pattern)  # raises for what it cannot be
    if pattern.startswith("/") and globs.overlap(found, globs.parse(_escape(place.base.rstrip("/")) + "/**")):
        raise UsageError(f"{typed!r} reaches into the repository from outside", "write the pattern from inside it")
    return place, _target("glob", pattern, place, everywhere)


def _escape(name: str) -> str:
    return "".join(f"[{char}]" if looks_like_glob(char) else char for char in name)


def _target(scope: str, name: str, place: Place, everywhere: bool) -> Target:
    outside = name.startswith("/")
    return Target(
        scope=scope,  # type: ignore[arg-type]  # one of three literals above
        path=name,
        worktree=None if outside else place.worktree,
        everywhere=everywhere and not outside,
    )
