"""What is on the board now: lazy reads of records, judged by the clock.

A decision about one path among ten thousand locks reads the file of that name, those of its directories, and the few
patterns; nothing else. Reading takes no guard; inside a transaction the same object reads a state that stands still.
Records that cannot be decoded are remembered in `damaged` and read as absent.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeVar

from msgspec.structs import replace

from agentsync.core import keys, lease
from agentsync.core.paths import (
    Target,
    decode,
    encode,
    encode_target,
    is_valid_id,
    looks_like_glob,
    overlap,
    parents,
    plain_target,
)
from agentsync.core.records import (
    Agent,
    Board,
    Decision,
    Installation,
    Link,
    Lock,
    Machine,
    Message,
    Owner,
    Record,
    Task,
    Waiter,
)
from agentsync.errors import DamagedRecordError, NewerRecordError, StrangeFileError
from agentsync.store import codec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from agentsync.core.lease import Held, Life, Presence
    from agentsync.core.policy import Config
    from agentsync.store.files import Files

R = TypeVar("R", bound=Record)

_HOLDER_MARK = "~"
"""Separates path and holder in the name of a shared lease. No encoded path has it but as its first character."""


class State:
    """One look at the board. Make a new one for the next question: what was read is kept."""

    def __init__(
        self, files: Files, now: datetime, config: Config, life_of: Callable[[Agent | Waiter | Owner], Life]
    ) -> None:
        self.now = now
        self.config = config
        self.damaged: dict[str, str] = {}
        """Keys of records that could not be decoded, with the reason."""
        self.newer: set[str] = set()
        """Keys of records that a newer version wrote; nobody may overwrite them."""
        self.strange: dict[str, StrangeFileError] = {}
        """Keys at which no regular file stands: nothing of ours, so it is reported and left alone."""
        self._files = files
        self._life_of = life_of
        self._presences: dict[str, Presence | None] = {}
        self._held: dict[str, Held | None] = {}
        self._edited: dict[str, dict[tuple[str | None, str], datetime]] = {}

    # ------------------------------------------------------------ agents
    def agent_ids(self) -> list[str]:
        """Ids of all agents on the board, sorted."""
        return sorted(name[:-5] for name in self._files.names("agents") if name.endswith(".json"))

    def presence(self, agent_id: str) -> Presence | None:
        """An agent as it is now; None when it is not on the board, nor on that of another machine."""
        if agent_id not in self._presences:
            found = self._record(keys.agent(agent_id), Agent)
            if found is None:
                self._presences[agent_id] = self._elsewhere(agent_id) if "." in agent_id else None
            else:
                agent, mtime = found
                if agent.machine is None:  # of a guest, the record says all that is known
                    activity = self._files.status(keys.activity(agent_id))
                    edited = _time(activity.st_mtime) if activity else agent.last_seen
                    agent = replace(agent, last_seen=max(agent.last_seen, _time(mtime), edited))
                self._presences[agent_id] = lease.presence(agent, self.now, self._life_of(agent), self.config)
        return self._presences[agent_id]

    def presences(self) -> list[Presence]:
        """All agents on the board, by id."""
        return [found for agent_id in self.agent_ids() if (found := self.presence(agent_id)) is not None]

    def everybody(self) -> list[Presence]:
        """The same, with the agents of other machines that hold nothing, as they were seen last."""
        from agentsync.core.shared import guests_of

        here = self.presences()
        known = {presence.agent.id for presence in here}
        guests = (name for machine in self.machines() for name, _ in guests_of(machine) if name not in known)
        return [*here, *(found for name in guests if (found := self.presence(name)) is not None)]

    def _elsewhere(self, agent_id: str) -> Presence | None:
        """An agent of another machine that holds nothing here."""
        from agentsync.core.shared import guests_of

        machine_id = agent_id.rpartition(".")[2]
        machine = self.record(keys.machine(machine_id), Machine) if is_valid_id(machine_id) else None
        agent = dict(guests_of(machine)).get(agent_id) if machine is not None else None
        return lease.presence(agent, self.now, "unknown", self.config) if agent is not None else None

    def past_agent(self, agent_id: str) -> Agent | None:
        """The record of an agent that has left; None also for what is no id."""
        found = self._record(keys.past_agent(agent_id), Agent) if is_valid_id(agent_id) else None
        return found[0] if found else None

    def knows_agent(self, agent_id: str) -> bool:
        """Whether there is or was such an agent."""
        return self.presence(agent_id) is not None or self.past_agent(agent_id) is not None

    def past_agents(self) -> list[Agent]:
        """All that have left and are remembered."""
        found = (self._record(f"agents/past/{name}", Agent) for name in self._names("agents/past"))
        return [record[0] for record in found if record]

    def last_edit(self, agent_id: str) -> datetime | None:
        """When an agent last reported an edit; None when it never did."""
        found = self._files.status(keys.activity(agent_id))
        return _time(found.st_mtime) if found else None

    # ------------------------------------------------------------ locks
    def at(self, target: Target) -> list[Held]:
        """The locks on exactly this target: the exclusive one, or the shared leases."""
        name = encode_target(target.scope, target.path)
        drawer = "globs/" if target.scope == "glob" else ""
        found = []
        for home in dict.fromkeys((keys.lock_home(target.worktree, everywhere=False), "locks/")):
            wanted = [f"{home}{drawer}{name}.json"]
            wanted += [f"{home}shared/{n}" for n in self._files.names(f"{home}shared") if _owner_of(n)[0] == name]
            for key in wanted:
                held = self._held_at(key)
                if held is not None and self._same_target(held.lock, target):
                    found.append(held)
        return found

    @staticmethod
    def _same_target(lock: Lock, target: Target) -> bool:
        same_place = lock.worktree == target.worktree or lock.everywhere
        return same_place and (lock.scope, lock.path) == (target.scope, target.path)

    def touching(self, target: Target) -> list[Held]:
        """All locks whose paths overlap the target's, in whatever worktree."""
        if target.scope in ("dir", "glob"):
            return list(self._listed(target))
        names = [encode_target(target.scope, target.path)]
        if target.scope == "file":
            names += [encode(directory) for directory in parents(target.path)]
            names.append(encode(target.path + "/"))
        found = []
        for home in self._homes():
            found += [held for name in names if (held := self._held_at(f"{home}{name}.json")) is not None]
            for drawer in ("globs", "shared"):
                found += self._in_drawer(f"{home}{drawer}", target)
        return found

    def locks(self) -> list[Held]:
        """All locks, live or not, by path."""
        found = [held for key in self._lock_keys() if (held := self._held_at(key, listing=True)) is not None]
        return sorted(found, key=lambda held: (held.lock.path, held.lock.worktree or "", held.lock.holder))

    def held_by_others(self, agent_id: str) -> Iterator[Held]:
        """Live locks of everybody else, one by one: whoever needs a few need not read all."""
        for key in self._lock_keys():
            held = self._held_at(key, listing=True)
            if held is not None and held.live and held.lock.holder != agent_id:
                yield held

    def _listed(self, target: Target) -> Iterator[Held]:
        for home in self._homes():
            for drawer in ("", "globs", "shared"):
                yield from self._in_drawer(f"{home}{drawer}".rstrip("/"), target)

    def _in_drawer(self, directory: str, target: Target) -> Iterator[Held]:
        """Locks in one directory that overlap the target: judged by name where the name tells, then read."""
        is_globs, is_shared = directory.endswith("/globs"), directory.endswith("/shared")
        for name in self._files.names(directory):
            if not name.endswith(".json"):
                continue
            is_resource = target.scope == "resource"
            if name.startswith("@") != is_resource:
                continue  # resources are a key space of their own
            path = None if is_resource else decode(_owner_of(name)[0] if is_shared else name[:-5])
            if path is not None and not self._may_touch(path, is_globs, is_shared, target):
                continue
            held = self._held_at(f"{directory}/{name}")
            if held is not None and overlap(_target(held.lock), target):
                yield held

    @staticmethod
    def _may_touch(path: str, is_globs: bool, is_shared: bool, target: Target) -> bool:
        """Whether a lock of this name could overlap. In the shared drawer a name may be a path or a pattern."""
        as_pattern = is_globs or (is_shared and looks_like_glob(path))
        if as_pattern and overlap(Target(scope="glob", path=path), target):
            return True
        return not is_globs and overlap(plain_target(path), target)

    def _homes(self) -> list[str]:
        return ["locks/", *(f"locks/worktrees/{name}/" for name in sorted(self._files.names("locks/worktrees")))]

    def _lock_keys(self) -> Iterator[str]:
        for home in self._homes():
            for drawer in ("", "globs/", "shared/"):
                for name in self._files.names(f"{home}{drawer}".rstrip("/")):
                    if name.endswith(".json"):
                        yield f"{home}{drawer}{name}"

    def _held_at(self, key: str, listing: bool = False) -> Held | None:
        """The lock at a key.

        One that a newer version wrote in a way we cannot read, or that is no file, stops every decision it touches; a
        listing leaves it out.
        """
        if key not in self._held:
            found = self._record(key, Lock)
            if found is None and not listing:
                if key in self.newer:
                    raise NewerRecordError(f"{key} was written by a newer agent-sync", "upgrade this one")
                if key in self.strange:
                    raise self.strange[key]
            if found is None:
                self._held[key] = None
            else:
                lock, mtime = found
                renewed = _time(mtime)
                if lock.auto:
                    renewed = max(renewed, self._edits(lock.holder).get((lock.worktree, lock.path), renewed))
                process = self._life_of(lock.process) if lock.process else "unknown"
                self._held[key] = lease.held(lock, renewed, self.presence(lock.holder), self.now, process)
        return self._held[key]

    def _edits(self, agent_id: str) -> dict[tuple[str | None, str], datetime]:
        """When an agent last edited each file, as far as its activity file tells."""
        if agent_id not in self._edited:
            from agentsync.store import activity

            lines = (line for line in activity.read(self._files, agent_id) if line.verb == "edit")
            self._edited[agent_id] = {(line.worktree, line.path): line.at for line in lines}
        return self._edited[agent_id]

    # ------------------------------------------------------------ work and words
    def tasks(self) -> list[Task]:
        """All tasks in the directory, oldest first; finished ones leave it after a while."""
        found = (self._record(f"tasks/{name}", Task) for name in self._names("tasks"))
        return sorted((record[0] for record in found if record), key=lambda task: (task.created_at, task.id))

    def task(self, task_id: str) -> Task | None:
        """The task with exactly this id."""
        found = self._record(keys.task(task_id), Task)
        return found[0] if found else None

    def decisions(self) -> list[Decision]:
        """All decisions in the directory, oldest first, superseded ones too."""
        found = (self._record(f"decisions/{name}", Decision) for name in self._names("decisions"))
        return [record[0] for record in found if record]

    def message(self, revision: int) -> Message | None:
        """The message that this event put."""
        return self.mail(keys.message(revision))

    def messages(self) -> list[Message]:
        """All messages in the directory, oldest first; delivered ones leave it after a while."""
        return [message for key in self.message_keys() if (message := self.mail(key)) is not None]

    def inbox(self, agent_id: str, later: bool = True) -> list[tuple[str, Message]]:
        """What an agent has not been told yet, oldest first, with the keys.

        Args:
            agent_id: Whose.
            later: Whether what may wait for the next prompt is wanted too.
        """
        found = self.inbox_keys(agent_id, later)
        return [(key, message) for key in found if (message := self.mail(key)) is not None]

    def message_keys(self) -> list[str]:
        """Where the messages are, oldest first. Whoever wants a few need not read all."""
        return [f"messages/{name}" for name in self._names("messages")]

    def inbox_keys(self, agent_id: str, later: bool = True) -> list[str]:
        """Where an agent's copies are, oldest first."""
        directory = keys.inbox(agent_id)
        folders = (directory, f"{directory}/later") if later else (directory,)
        found = [f"{folder}/{name}" for folder in folders for name in self._names(folder)]
        return sorted(found, key=lambda key: key.rpartition("/")[2])

    def mail(self, key: str) -> Message | None:
        """One message, or one copy."""
        found = self._record(key, Message)
        return found[0] if found else None

    def inboxes(self) -> list[str]:
        """Ids of the agents that have something to be told."""
        return sorted(self._files.names("inbox"))

    def queue(self, known: Mapping[str, Waiter] | None = None) -> list[tuple[str, Waiter]]:
        """Who waits, and who asked a holder to let go, by revision, with the keys.

        Args:
            known: What was read earlier, by key: such a record never changes, so it is not read again.
        """
        known = known or {}
        found = []
        for name in self._names("queue"):
            key = f"queue/{name}"
            waiter = known.get(key)
            if waiter is None and (record := self._record(key, Waiter)) is not None:
                waiter = record[0]
            if waiter is not None:
                found.append((key, waiter))
        return found

    def is_there(self, key: str, waiter: Waiter) -> bool:
        """Whether somebody is behind a record of the queue, if only one who was stopped. If not, it can go."""
        return self._is_there(key, waiter, self._life_of(waiter))

    def is_in_line(self, key: str, waiter: Waiter) -> bool:
        """Whether somebody is behind it who takes what it waits for. Others stand behind such only."""
        life = self._life_of(waiter)
        return life != "stopped" and self._is_there(key, waiter, life)

    def _is_there(self, key: str, waiter: Waiter, life: Life) -> bool:
        from agentsync.core import queue

        status = self._files.status(key) if life == "unknown" else None
        seen = _time(status.st_mtime) if status else waiter.created_at
        return queue.is_live(waiter, seen, life, self.presence(waiter.agent), self.now)

    def line(self) -> list[Waiter]:
        """Everybody who is in line."""
        return [waiter for key, waiter in self.queue() if self.is_in_line(key, waiter)]

    def _names(self, folder: str) -> list[str]:
        return sorted(name for name in self._files.names(folder) if name.endswith(".json"))

    def installation(self, client: str, worktree: str | None) -> Installation | None:
        """What was there before a client's hooks were installed."""
        found = self._record(keys.installation(client, worktree), Installation)
        return found[0] if found else None

    # ------------------------------------------------------------ other machines
    def link(self) -> tuple[Link, datetime] | None:
        """How this clone takes part in a shared board, and when it last looked at that; None when it does not."""
        found = self._record(keys.LINK, Link)
        return (found[0], _time(found[1])) if found else None

    def board(self) -> Board | None:
        """Which board that is, as it was seen last."""
        found = self._record(keys.BOARD, Board)
        return found[0] if found else None

    def machines(self) -> list[Machine]:
        """The other machines, as they were seen last, by id."""
        found = (self._record(f"remote/machines/{name}", Machine) for name in self._names("remote/machines"))
        return [record[0] for record in found if record]

    # ------------------------------------------------------------ reading
    def record(self, key: str, kind: type[R]) -> R | None:
        """What is at a place; None when there is no such record."""
        found = self._record(key, kind)
        return found[0] if found else None

    def _record(self, key: str, kind: type[R]) -> tuple[R, float] | None:
        try:
            content = self._files.read(key)
            if content is None:
                return None
            record = codec.decode(content.data, kind, key)
            if not keys.is_home(key, record):
                raise DamagedRecordError(f"{key} holds the record of another place")
        except StrangeFileError as error:
            self.strange[key] = error
            return None
        except DamagedRecordError as error:
            self.damaged[key] = error.message
            return None
        except NewerRecordError:
            self.newer.add(key)
            return None
        if record.v > Record().v:
            self.newer.add(key)
        return record, content.mtime


def _owner_of(name: str) -> tuple[str, str]:
    """Encoded path and holder of a shared lease, from its file name."""
    path, _, holder = name.removesuffix(".json").rpartition(_HOLDER_MARK)
    return path, holder


def _target(lock: Lock) -> Target:
    return Target(scope=lock.scope, path=lock.path)


def _time(seconds: float) -> datetime:
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, ValueError):  # `touch -d` can give a file a time that no calendar has
        return datetime.fromtimestamp(0, UTC)
