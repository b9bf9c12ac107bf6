"""Keys: where in the state directory a record lives, as a relative path with `/`.

One function per kind; nobody else spells these names. The directory is made for `ls`: the name says what the record is
about, and a lock's file can be found without a search by whoever knows the path.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from agentsync.core.paths import decode, encode, encode_target, overlap, plain_target, target_at

if TYPE_CHECKING:
    from agentsync.core.paths import Target
    from agentsync.core.records import Lock, Mode, Record

FORMAT = "format.json"
INTENT = "intent.json"
GUARD = "guard"

LINK = "remote/link.json"
LEFT = "remote/left.json"
"""The link as it was when this clone stopped to take part: should it again, it is called the same."""

BOARD = "remote/board.json"
DUE = "remote/due"
"""Empty; its mtime says when the next sync in the background is to begin."""

REVISION_DIGITS = 12

Drawer = Literal["", "globs/", "shared/"]
"""Locks live in three drawers of a worktree: exclusive ones by name, patterns, and shared leases."""


def agent(agent_id: str) -> str:
    """`agents/<id>.json`."""
    return f"agents/{agent_id}.json"


def past_agent(agent_id: str) -> str:
    """`agents/past/<id>.json`: gone, and holding nothing."""
    return f"agents/past/{agent_id}.json"


def activity(agent_id: str) -> str:
    """`activity/<id>.ndjson`: edits reported by the gate, best effort."""
    return f"activity/{agent_id}.ndjson"


def machine(machine_id: str) -> str:
    """`remote/machines/<id>.json`: another clone, as it was seen last."""
    return f"remote/machines/{machine_id}.json"


def inbox(agent_id: str) -> str:
    """`inbox/<agent>`: the directory of what an agent has not been told yet."""
    return f"inbox/{agent_id}"


def notice(agent_id: str, revision: int) -> str:
    """`inbox/<agent>/<rev>.json`: told at the next chance, in the middle of a turn if need be."""
    return f"{inbox(agent_id)}/{_digits(revision)}.json"


def later(agent_id: str, revision: int) -> str:
    """`inbox/<agent>/later/<rev>.json`: told with the next prompt; interrupts nobody."""
    return f"{inbox(agent_id)}/later/{_digits(revision)}.json"


def message(revision: int) -> str:
    """`messages/<rev>.json`."""
    return f"messages/{_digits(revision)}.json"


def task(task_id: str) -> str:
    """`tasks/<id>.json`."""
    return f"tasks/{task_id}.json"


def decision(revision: int) -> str:
    """`decisions/<rev>.json`."""
    return f"decisions/{_digits(revision)}.json"


def waiter(revision: int, agent_id: str) -> str:
    """`queue/<rev>-<agent>.json`."""
    return f"queue/{_digits(revision)}-{agent_id}.json"


def revision_of(record_id: str, letter: str) -> int | None:
    """The revision in an id like `m-12`; None when it is not one of this letter.

    Args:
        record_id: As typed.
        letter: `m` for messages, `d` for decisions, `w` for the queue.
    """
    number = record_id.removeprefix(f"{letter}-")
    return int(number) if number != record_id and number.isascii() and number.isdigit() and len(number) < 13 else None


def is_place(key: str) -> bool:
    """Whether a change may write here: a record in one of the folders, and no way out of them.

    The keys that we make are places. Those in an intent that lies there were perhaps made by somebody else.
    """
    folder, *way = key.split("/")
    inside = all(part not in ("", ".", "..") for part in way) and "\\" not in key and "\0" not in key
    return bool(way) and folder.isalpha() and inside and key.endswith(".json")


def is_home(key: str, record: Record) -> bool:
    """Whether a record lies where its own id says. What it is called and what is done to it must not come apart."""
    name = key.rpartition("/")[2].removesuffix(".json")
    kind, named = type(record).__name__, getattr(record, "id", None)
    if kind in ("Agent", "Task", "Machine"):
        return bool(named == name)
    if kind in ("Message", "Decision", "Waiter") and isinstance(named, str):
        number, _, whose = name.partition("-")
        letters = {"Message": "mn", "Decision": "d", "Waiter": "wm"}[kind]
        numbered = number.isascii() and number.isdigit() and named[:1] in letters and named[1:] == f"-{int(number)}"
        return numbered and whose == getattr(record, "agent", "")
    return True


def _digits(revision: int) -> str:
    return f"{revision:0{REVISION_DIGITS}}"


def installation(client: str, worktree: str | None) -> str:
    """`installed/<client>.json`, or `installed/<client>~<worktree>.json` for a linked worktree's own settings."""
    return f"installed/{client}{'~' + encode(worktree) if worktree else ''}.json"


def event(revision: int) -> str:
    """`log/<rev>.json`."""
    return f"log/{_digits(revision)}.json"


def archive(first: int, last: int) -> str:
    """`archive/<first>-<last>.ndjson`."""
    return f"archive/{_digits(first)}-{_digits(last)}.ndjson"


def lock_home(worktree: str | None, everywhere: bool) -> str:
    """The directory of a worktree's locks, with a trailing slash. What binds everywhere lives with the main one's."""
    return "locks/" if worktree is None or everywhere else f"locks/worktrees/{encode(worktree)}/"


def lock(record: Lock) -> str:
    """The key of a lock's record."""
    drawer = drawer_of(record.scope, record.mode)
    name = encode_target(record.scope, record.path)
    suffix = f"~{record.holder}" if record.mode == "shared" else ""
    return f"{lock_home(record.worktree, record.everywhere)}{drawer}{name}{suffix}.json"


def exclusive_lock(target: Target) -> str:
    """The key of an exclusive lock on `target`."""
    drawer = drawer_of(target.scope, "exclusive")
    return f"{lock_home(target.worktree, target.everywhere)}{drawer}{encode_target(target.scope, target.path)}.json"


def home_of(key: str) -> str:
    """The `lock_home` that a lock's key begins with."""
    parts = key.split("/")
    return f"locks/worktrees/{parts[2]}/" if parts[1] == "worktrees" and len(parts) > 3 else "locks/"


def overlaps(key: str, target: Target) -> bool:
    """Whether the lock at a key, of which the name is all that is left, overlapped a target, in whatever worktree."""
    folder, _, name = key.rpartition("/")
    if not folder.startswith("locks"):
        return False
    stem = name.removesuffix(".json")
    if folder.endswith("/shared"):
        stem = stem.rpartition("~")[0]
    path = decode(stem)
    if path is None:
        return stem == encode_target(target.scope, target.path)  # a hash
    if folder.endswith(("/globs", "/shared")) or stem.startswith("@"):
        return overlap(target_at(path, None), target)
    return overlap(plain_target(path), target)


def drawer_of(scope: str, mode: Mode) -> Drawer:
    """Which drawer holds a lock. Shared leases come first: a shared pattern is one file per holder too."""
    if mode == "shared":
        return "shared/"
    return "globs/" if scope == "glob" else ""
