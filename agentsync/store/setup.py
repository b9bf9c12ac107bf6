"""Making a state directory, and making sure that it is the one it says it is."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from agentsync.core import keys
from agentsync.core.records import VERSION, Format
from agentsync.errors import DamagedRecordError, NewerRecordError, UnusableError
from agentsync.store import codec
from agentsync.store.files import read_plain
from agentsync.store.locate import STATE, find_repository

if TYPE_CHECKING:
    from agentsync.store.store import Store

DIRECTORIES = (
    *("agents", "agents/past", "locks", "tasks", "messages", "inbox", "decisions", "queue"),
    *("log", "archive", "activity", "quarantine", "tmp"),
)
"""What every store has. Others (`locks/globs`, `locks/worktrees/<name>`, …) come and go with their content."""

PYTHON = "python"
"""Name of the file that tells the gate which interpreter runs agent-sync on this machine."""

NEIGHBOURS = "neighbours"
"""Name of a file in a board's directory: its agents may meet another board, so the gate must look at every path."""

BALLAST = "ballast"
BALLAST_BYTES = 1 << 16
"""Freed before compaction, so that a full disk can still be compacted."""

README = """\
This directory is how the coding agents of this repository coordinate, by the tool agent-sync.
Every file is a record that you can read: `ls locks` is the lock table, `ls log | tail` the feed.

  agents/     who is here        locks/      what is held: %2F is a slash, @name a resource
  tasks/      what is to be done queue/      who waits for what
  messages/   what was said      inbox/      what an agent will be told next
  decisions/  what was agreed    log/        what happened
  archive/    older events       quarantine/ files that could not be read
  activity/   edits, best effort tmp/        files on their way
  watched/    what others held before a command ran, with copies for the way back

Nothing here is tracked by git. When no agent runs it is safe to delete all of it.
"""


def create(store: Store) -> None:
    """Make the directory, safely beside others who do the same.

    Raises:
        UnusableError: It is tracked by git.
    """
    refuse_tracked(store)
    files = store.files
    os.makedirs(os.path.dirname(store.place.state), exist_ok=True)
    for name in ("tmp", *DIRECTORIES):
        files.make_directory(name)
        store.check_directory(name)
    _publish(store, ".gitignore", b"*\n")  # were it empty after a power cut, state could be committed
    _publish(store, "README", README.encode())
    _publish(store, BALLAST, bytes(BALLAST_BYTES))
    write_python(store)
    inode = os.stat(store.place.state).st_ino
    made = Format(store=store.runtime.random_id(10), inode=inode, created_at=store.runtime.now())
    files.link(files.write_temp(codec.encode(made), sync=True), keys.FORMAT)  # last: it says that all is there


def tell_enclosing_board(store: Store) -> None:
    """Tell the board of a repository around this one that it has a neighbour.

    A lonely agent's edit is let through by the gate without a look at the path, because nobody else is on its board. A
    nested repository has a board of its own, so from now on the path is looked at.
    """
    directory = os.path.dirname(store.place.root)
    while True:
        outer = f"{directory.rstrip('/')}/{STATE}"
        if os.path.isdir(f"{outer}/agents") and outer != store.place.state:
            mark_neighbours(outer)
        parent = os.path.dirname(directory)
        if parent == directory:
            return
        directory = parent


def mark_neighbours(state: str) -> None:
    """Make the gate of the board at `state` look at every path. Best effort: not being allowed to is no error."""
    try:
        if os.lstat(state).st_uid == os.lstat(f"{state}/agents").st_uid and not os.path.islink(state):
            os.close(os.open(f"{state}/{NEIGHBOURS}", os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o600))
    except OSError:
        pass  # somebody else's board; its owner's agents do not come here


def write_python(store: Store) -> None:
    """Tell the gate which interpreter to start. Rewritten when another installation takes over."""
    wanted = (store.runtime.python + "\n").encode("utf-8", "surrogateescape")
    content = store.files.read(PYTHON)
    if content is None or content.data != wanted:
        store.files.replace(store.files.write_temp(wanted, sync=True), PYTHON)


def _publish(store: Store, key: str, data: bytes) -> None:
    if store.files.status(key) is None:
        store.files.link(store.files.write_temp(data, sync=key != BALLAST), key)


OWNED = ("agents", "locks", "queue", "remote")
"""What belongs to agents at work, who work elsewhere when the directory is a copy, and what a clone is called."""


def verified_format(store: Store) -> Format:
    """The store's format record, made anew when the directory is a copy. Call with the guard held.

    It is read for every transaction: what was deleted and made anew may well have the inode that it had.

    A copy (of a backup, or with `cp -r`) keeps its records but gets a new id, and the agents and locks of the original
    are dropped: their owners work elsewhere.

    Raises:
        UnusableError: The directory came with a clone: it is tracked by git.
        NewerRecordError: A newer version made it.
    """
    files = store.files
    inode = os.stat(store.place.state).st_ino
    content = files.read(keys.FORMAT)
    found: Format | None = None
    if content is not None:
        try:
            found = codec.decode(content.data, Format, keys.FORMAT)
        except DamagedRecordError as error:
            store.warnings.append(f"{error.message}: made anew")
    if found is not None and found.v > VERSION:
        raise NewerRecordError(f"{store.place.state} was made by a newer agent-sync", "upgrade this one")
    if found is not None and found.inode == inode:
        return found
    refuse_tracked(store)
    made = Format(store=store.runtime.random_id(10), inode=inode, created_at=store.runtime.now())
    if found is not None:
        for key in [*(key for folder in OWNED for key in _records_below(store, folder)), keys.INTENT]:
            files.unlink(key)
        store.warnings.append(f"{store.place.state} is a copy: its agents and locks were dropped")
    files.replace(files.write_temp(codec.encode(made), sync=True), keys.FORMAT)
    return made


def _records_below(store: Store, key: str) -> list[str]:
    found = []
    for name in store.files.names(key):
        below = f"{key}/{name}"
        found += [below] if name.endswith(".json") else _records_below(store, below)
    return found


def refuse_tracked(store: Store) -> None:
    """Refuse a state directory that git tracks: it would carry one machine's locks to another.

    Raises:
        UnusableError: The index has a file below it.
    """
    repository = find_repository(store.place.root)
    if repository is None or not store.place.state.startswith(repository.top + "/"):
        return
    relative = os.path.relpath(store.place.state, repository.top)
    if _may_be_indexed(repository.git_dir, relative) and _is_indexed(repository.top, relative):
        raise UnusableError(
            f"{store.place.state} is tracked by git, and state must not travel with commits",
            f"git rm -r --cached {relative}, commit, and run the command again",
        )


def _may_be_indexed(git_dir: str, relative: str) -> bool:
    """Whether the index could name a file below `relative`: by its bytes, because starting git costs more.

    Version 4 shortens names and a split index keeps them in another file: then it could.
    """
    index = read_plain(f"{git_dir}/index", 1 << 30)
    if index is None:
        return False
    named = f"{relative}/".encode("utf-8", "surrogateescape") in index
    return named or index[4:8] == b"\0\0\0\x04" or b"link" in index


def _is_indexed(top: str, relative: str) -> bool:
    """Git's own word for it; without git, what the bytes look like must do."""
    import subprocess

    command = ["git", "-C", top, "-c", "core.fsmonitor=false", "ls-files", "-z", "--", f":(top){relative}"]
    env = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        listed = subprocess.run(command, capture_output=True, timeout=30, check=False, env=env)
    except (OSError, subprocess.SubprocessError):
        return True
    return bool(listed.stdout)
