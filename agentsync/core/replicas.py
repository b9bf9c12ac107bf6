"""Tasks, mail and decisions of several machines: what they are called for everybody, and how two versions become one.

On the shared board an agent is `<id>.<machine>`, and what is numbered here is `m-<revision>.<machine>` there. What
comes from elsewhere keeps that name in `origin`, and gets a number of ours. A task, whose id is random, has one id.

Two versions of a task are merged with the one that both have seen. What one side alone has changed, is changed. Of who
owns it and how far it is, the board's version stands if both have: it was first, and who loses is told.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from msgspec.structs import replace

from agentsync.core import keys, progress
from agentsync.core.changes import ALL
from agentsync.core.messages import MAX_BODY
from agentsync.core.paths import is_valid_id, target_at
from agentsync.core.records import Decision, Message, Reader, Task
from agentsync.core.shared import is_sound_path

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

FOLDERS = ("tasks/", "messages/", "decisions/")
"""Where on the board they are."""

STANDING = ("status", "owner", "owner_name", "blocked_reason", "checkpoint", "claimed_at", "completed_at")
"""What a task's owner decides: of these, two versions are never mixed."""

WORDS = ("title", "description", "priority", "note")
LISTS = ("files", "depends_on")
"""To which edits only add."""

_NUMBERED = re.compile(r"(messages|decisions)/([0-9]{12})\.([a-z0-9]+)\.json")
_TASK_ID = re.compile(r"t-[a-z0-9]{1,40}")


class Names:
    """What is called how, here and there."""

    def __init__(self, me: str, machines: Iterable[str]) -> None:
        """Know who is who.

        Args:
            me: This machine.
            machines: All others that are known.
        """
        self.me = me
        self._others = frozenset(machines) - {me}

    def is_guest(self, agent_id: str) -> bool:
        """Whether an id that is used here is that of another machine's agent."""
        return agent_id.rpartition(".")[2] in self._others and "." in agent_id

    def abroad(self, agent_id: str) -> str:
        """An id of here, as everybody knows it."""
        return agent_id if self.is_guest(agent_id) else f"{agent_id}.{self.me}"

    def here(self, name: str) -> str:
        """The other way round."""
        return name.removesuffix(f".{self.me}")

    def is_ours(self, name: str) -> bool:
        """Whether everybody's name is that of an agent of this machine."""
        return name.endswith(f".{self.me}")


# ---------------------------------------------------------------- tasks
def task_abroad(task: Task, names: Names) -> Task | None:
    """A task as it stands on the board, but for `machine`; None when one of its names is too long for that."""
    owner = names.abroad(task.owner) if task.owner else None
    author = names.abroad(task.created_by)
    if not is_valid_id(author) or (owner is not None and not is_valid_id(owner)):
        return None
    inside = tuple(path for path in task.files if not path.startswith("/"))  # others do not have what is outside
    return replace(task, owner=owner, created_by=author, files=inside, asked_at=None, machine=None)


def task_here(there: Task, known: Task | None, names: Names) -> Task:
    """A board's task as it stands here.

    Args:
        there: As on the board.
        known: As it stood here before.
        names: What is called how.
    """
    outside = tuple(path for path in known.files if path.startswith("/")) if known else ()
    return replace(
        there,
        owner=names.here(there.owner) if there.owner else None,
        created_by=names.here(there.created_by),
        files=(*there.files, *outside),
        asked_at=known.asked_at if known and known.updated_at == there.updated_at else None,
        machine=None,
    )


def merged(base: Task | None, mine: Task | None, theirs: Task | None, is_echo: bool = False) -> Task | None:
    """One version of a task out of two; None = there is none any more.

    Args:
        base: As both have seen it; None = it was not there, or nobody remembers.
        mine: As this machine would put it on the board.
        theirs: As it is on the board.
        is_echo: Whether the board's version is one of this machine, whose push it does not remember.
    """
    if theirs in (mine, base) or (is_echo and mine is not None):
        return mine
    if mine == base:
        return theirs
    if mine is None or theirs is None:
        return mine or theirs  # somebody goes on with what the other has cleared away
    if base is None:
        found = theirs if theirs.updated_at >= mine.updated_at else mine
    else:
        side = mine if _same(theirs, base, STANDING) else theirs
        standing = {name: getattr(side, name) for name in STANDING}
        found = replace(theirs, **standing, **{name: _either(name, base, mine, theirs) for name in WORDS})
    found = replace(found, **{name: _both(getattr(theirs, name), getattr(mine, name)) for name in LISTS})
    newest = max(mine.updated_at, theirs.updated_at)
    same = (version for version in (theirs, mine) if replace(found, updated_at=version.updated_at) == version)
    return next(same, replace(found, updated_at=newest))


def _same(one: Task, other: Task, fields: Iterable[str]) -> bool:
    return all(getattr(one, name) == getattr(other, name) for name in fields)


def _either(name: str, base: Task, mine: Task, theirs: Task) -> object:
    """A field as the side has it that changed it; as on the board if both have."""
    my, their = getattr(mine, name), getattr(theirs, name)
    return my if their == getattr(base, name) else their


def _both(one: Sequence[str], other: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*one, *other)))[: progress.MAX_FILES]  # a task with more is none to anybody


def is_sound_task(key: str, task: Task) -> bool:
    """Whether a record may be a task on the board. Whoever can push there can write anything."""
    people = (task.created_by, *((task.owner,) if task.owner else ()))
    texts = (task.description, task.note, task.checkpoint, task.blocked_reason)
    return (
        keys.task(task.id) == key
        and _TASK_ID.fullmatch(task.id) is not None
        and 0 < len(task.title) <= progress.MAX_TITLE
        and abs(task.priority) <= progress.MAX_PRIORITY
        and all(text is None or len(text) <= progress.MAX_TEXT for text in texts)
        and all(is_valid_id(name) and "." in name for name in people)
        and (task.owner is not None or task.status != "in_progress")
        and len(task.files) <= progress.MAX_FILES
        and all(is_sound_path(path, target_at(path, None).scope) for path in task.files)
        and len(task.depends_on) <= progress.MAX_FILES
        and all(_TASK_ID.fullmatch(other) for other in task.depends_on)
    )


# ---------------------------------------------------------------- what is numbered
def name_of(record: Message | Decision, me: str) -> str:
    """What everybody calls a message or decision of here."""
    return record.origin or f"{record.id}.{me}"


def place_of(name: str) -> str:
    """Where on the board it is: `m-12.k3f9qa` is `messages/000000000012.k3f9qa.json`."""
    number, _, machine = name[2:].partition(".")
    folder = "messages" if name.startswith("m-") else "decisions"
    return f"{folder}/{int(number):0{keys.REVISION_DIGITS}}.{machine}.json"


def machine_of(key: str) -> str | None:
    """Whose a message or decision on the board is; None when the key is that of none."""
    found = _NUMBERED.fullmatch(key)
    return found[3] if found else None


def reference_abroad(record_id: str | None, known: Mapping[str, str], me: str) -> str | None:
    """What everybody calls the message or decision that another refers to.

    Args:
        record_id: As it is called here.
        known: Origins, by the id here.
        me: This machine.
    """
    return None if record_id is None else known.get(record_id, f"{record_id}.{me}")


def reference_here(name: str | None, known: Mapping[str, str], me: str) -> str | None:
    """The other way round; what is not here keeps everybody's name.

    Args:
        name: As everybody calls it.
        known: Ids here, by origin.
        me: This machine.
    """
    if name is None or name.endswith(f".{me}"):
        return name and name.removesuffix(f".{me}")
    return known.get(name, name)


def is_sound_words(key: str, record: Message | Decision) -> bool:
    """Whether a record may be a message or a decision on the board: at its place, by an agent of that machine."""
    machine = machine_of(key)
    author = record.sender if isinstance(record, Message) else record.by
    text = record.body if isinstance(record, Message) else record.text
    fine = (
        machine is not None
        and re.fullmatch(rf"[md]-[0-9]{{1,12}}\.{machine}", record.id) is not None
        and place_of(record.id) == key
        and author.endswith(f".{machine}")
        and is_valid_id(author)
        and 0 < len(text) <= MAX_BODY
    )
    if not fine or isinstance(record, Decision):
        return fine
    return all(is_valid_id(reader.agent) and "." in reader.agent for reader in record.readers)


def is_shared(message: Message, names: Names) -> bool:
    """Whether others are to have a message: it is for everybody, for one of them, or came from there."""
    to_some = any(names.is_guest(reader.agent) for reader in message.readers)
    return to_some or message.to == ALL or message.origin is not None


def message_abroad(message: Message, origins: Mapping[str, str], names: Names) -> Message | None:
    """A message as it stands on the board; None when its sender's name is too long for that."""
    sender = names.abroad(message.sender)
    if not is_valid_id(sender):
        return None
    readers = (replace(reader, agent=names.abroad(reader.agent)) for reader in message.readers)
    return replace(
        message,
        id=name_of(message, names.me),
        sender=sender,
        to=_address(message, names),
        reply_to=reference_abroad(message.reply_to, origins, names.me),
        readers=tuple(reader for reader in readers if is_valid_id(reader.agent)),
        origin=None,
    )


def _address(message: Message, names: Names) -> str:
    """To whom it is, where that is one agent, by everybody's name; a role is a role everywhere."""
    return names.abroad(message.to) if any(reader.agent == message.to for reader in message.readers) else message.to


def message_here(there: Message, known: Mapping[str, str], names: Names, revision: int, now: datetime) -> Message:
    """A message that is new here, with the number that it gets.

    Args:
        there: As on the board.
        known: Ids here, by origin.
        names: What is called how.
        revision: Of the event that brings it.
        now: No message is younger than this.
    """
    asks = f"lets you know that it waits for {there.request}: " if there.request else ""
    return replace(
        there,
        id=f"m-{revision}",
        body=f"{asks}{there.body}"[:MAX_BODY],
        to=names.here(there.to),
        reply_to=reference_here(there.reply_to, known, names.me),
        request=None,  # who asked learns of a release by itself
        readers=tuple(replace(reader, agent=names.here(reader.agent)) for reader in there.readers),
        created_at=min(there.created_at, now),
        origin=there.id,
    )


def receipts(known: Sequence[Reader], other: Iterable[Reader]) -> tuple[Reader, ...]:
    """How far readers got, by two versions of a message: whatever either knows, the earlier time of two."""
    found = {reader.agent: reader for reader in known}
    for reader in other:
        mine = found.get(reader.agent, reader)
        times = {
            name: min((t for t in (getattr(mine, name), getattr(reader, name)) if t is not None), default=None)
            for name in ("delivered_at", "read_at", "acked_at")
        }
        found[reader.agent] = replace(mine, **times)
    return tuple(found.values())


def decision_abroad(decision: Decision, origins: Mapping[str, str], names: Names) -> Decision | None:
    """A decision as it stands on the board; None when its author's name is too long for that."""
    author = names.abroad(decision.by)
    if not is_valid_id(author):
        return None
    name = name_of(decision, names.me)
    instead = reference_abroad(decision.supersedes, origins, names.me)
    return replace(decision, id=name, by=author, supersedes=instead, origin=None)


def decision_here(there: Decision, known: Mapping[str, str], names: Names, revision: int, now: datetime) -> Decision:
    """A decision that is new here; the arguments are those of `message_here`."""
    instead = reference_here(there.supersedes, known, names.me)
    return replace(
        there, id=f"d-{revision}", supersedes=instead, created_at=min(there.created_at, now), origin=there.id
    )
