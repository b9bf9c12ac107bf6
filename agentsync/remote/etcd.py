"""A board as a log in etcd: for teams for whom one ref of a git remote has become too slow.

Below the board's prefix there is one key that everybody wants to change, and a log that nobody changes:

    <board>/<ref>/head                        the version that counts
    <board>/<ref>/log/<version>/<part>        what it changed, and which version it came after

A version is a number, one more than that of the one before, and a random rest: no two are equal, whatever is restored
from whichever backup. A swap is one transaction: if `head` is what it was, write the entry and the new `head`. It has
the same few operations however much it changes; what is too much for one request is written before, in parts, which
mean nothing until there is a `head` that leads to them. So a process that dies leaves a board that is whole, and parts
of a version that can never count any more once there is another of its number: the next squash removes them.

Reading is one question as well: `head`, and the log from the version on that is known; `seen` keeps what that was.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from agentsync.remote import gateway, seen
from agentsync.remote.backend import LIMIT_S, Done, Lost, Rejected, Snapshot, Unreachable
from agentsync.remote.gateway import Gateway, NoAnswerError
from agentsync.remote.seen import Seen

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from agentsync.core.shared import Wanted
    from agentsync.store.files import Files

PART = 1 << 20
"""Bytes of one value; etcd takes requests of one and a half times that."""

_VERSION = re.compile(r"([0-9]{12})-[0-9a-f]{16}")


class _Entry(Struct, frozen=True, gc=False):
    """What is in the log."""

    parent: str | None
    """None: `files` is all there is."""
    about: str
    files: dict[str, bytes | None]


class _Pair(Struct, frozen=True, gc=False):
    key: bytes
    value: bytes = b""


class _Found(Struct, frozen=True, gc=False):
    kvs: list[_Pair] = []


class _Response(Struct, frozen=True, gc=False):
    response_range: _Found = _Found()


class _Answer(Struct, frozen=True, gc=False):
    """Of a transaction. What is empty or false is left out."""

    succeeded: bool = False
    responses: list[_Response] = []


class Etcd:
    """The board at an address."""

    def __init__(
        self, files: Files, address: str, ref: str, *, env: Mapping[str, str], limit_s: float = LIMIT_S
    ) -> None:
        """Nothing is asked before it is needed.

        Args:
            files: Primitives below the state directory.
            address: As `gateway.parse` takes it.
            ref: Of several boards there, which: part of all keys.
            env: The caller's environment.
            limit_s: Seconds that one question may take.

        Raises:
            UsageError: The address is none.
        """
        where = gateway.parse(address)
        self._gateway = Gateway(where, env, limit_s)
        self._files = files
        self._head = f"{where.board}/{ref}/head"
        self._log = f"{where.board}/{ref}/log/"
        self._seen: Seen | None = None

    # ------------------------------------------------------------ the three questions
    def read(self, known: str | None, wanted: Wanted | None = None) -> Snapshot | Rejected | Unreachable:
        """See `Backend.read`."""
        try:
            found = self._read(known)
        except NoAnswerError as error:
            return error.outcome
        return replace(found, files=_of_interest(found.files, wanted))

    def recall(self, version: str, wanted: Wanted | None = None) -> Snapshot | None:
        """See `Backend.recall`."""
        last = self._remembered()
        files = last.at(version) if last is not None else None
        if files is None:
            return None
        return Snapshot(version=version, files=_of_interest(files, wanted))

    def swap(
        self, base: str | None, changes: Mapping[str, bytes | None], about: str, squash: bool = False
    ) -> Done | Lost | Rejected | Unreachable:
        """See `Backend.swap`."""
        try:
            return self._swap(base, changes, " ".join(about.split())[:200], squash)
        except NoAnswerError as error:
            return error.outcome

    # ------------------------------------------------------------ reading
    def _read(self, known: str | None) -> Snapshot:
        last = self._remembered()
        first = min(_number(last.version), _number(known or last.version)) if last else 0
        for start in sorted({first, 0}, reverse=True):
            head, log = self._since(start)
            if head is None:
                return Snapshot(version=None, files={}, follows=known is None)
            way = dict(_way(head, log))
            now = _replayed(head, way, last)
            if now is not None:
                self._remember(now)
                return Snapshot(version=head, files=dict(now.files), follows=known is None or known in way)
        raise NoAnswerError(Rejected("the log of the board is damaged"))

    def _since(self, number: int) -> tuple[str | None, dict[str, bytes]]:
        """The newest version, and what the log has from a number on, as of one moment."""
        log = {"key": f"{self._log}{number:012d}".encode(), "range_end": f"{self._log}:".encode()}
        answer = self._transaction([], [{"request_range": {"key": self._head.encode()}}, {"request_range": log}])
        if len(answer.responses) != 2:
            raise NoAnswerError(Unreachable("that is not how etcd answers"))
        heads, entries = (response.response_range.kvs for response in answer.responses)
        if not heads:
            return None, {}
        head = heads[0].value.decode("ascii", "replace")
        if not _VERSION.fullmatch(head):
            raise NoAnswerError(Rejected("what is there is no board of agent-sync"))
        found: dict[str, list[bytes]] = {}
        for pair in entries:  # in the order of their keys
            version = pair.key.decode("utf-8", "replace").removeprefix(self._log).partition("/")[0]
            found.setdefault(version, []).append(pair.value)
        return head, {version: b"".join(parts) for version, parts in found.items()}

    # ------------------------------------------------------------ changing
    def _swap(self, base: str | None, changes: Mapping[str, bytes | None], about: str, squash: bool) -> Done | Lost:
        last = self._remembered()
        before = {} if base is None else last.files if last is not None and last.version == base else None
        if squash and before is None:
            there = self._read(None)
            if there.version != base:
                return Lost()
            last, before = self._remembered(), there.files
        after = None if before is None else seen.changed(before, changes)
        is_whole = base is None or squash
        assert after is not None or not is_whole
        entry = _Entry(None, about, {**(after or {})}) if is_whole else _Entry(base, about, dict(changes))
        number = _number(base) + 1 if base else 1
        version = f"{number:012d}-{os.urandom(8).hex()}"
        if not self._committed(base, version, msgspec.msgpack.encode(entry), f"{number:012d}" if squash else ""):
            return Lost()
        if after is not None:
            self._remember(seen.replaced(last, version, after))
        return Done(version)

    def _committed(self, base: str | None, version: str, entry: bytes, forget: str) -> bool:
        """Write an entry, and make it count if the base still does. That may be asked again: it happens once.

        Args:
            base: As in `swap`.
            version: The new one.
            entry: What is to be in the log.
            forget: Up to where the log is not needed any more.
        """
        parts = [entry[at : at + PART] for at in range(0, len(entry), PART)]
        keys = [f"{self._log}{version}/{number:04d}".encode() for number in range(len(parts))]
        for key, part in zip(keys[:-1], parts[:-1], strict=True):
            self._gateway.ask("kv/put", {"key": key, "value": part}, _Answer)
        unchanged: dict[str, Any] = {"key": self._head.encode()}
        if base is None:
            unchanged |= {"target": "CREATE", "result": "EQUAL", "create_revision": "0"}
        else:
            unchanged |= {"target": "VALUE", "result": "EQUAL", "value": base.encode()}
        exist = {"target": "CREATE", "result": "GREATER", "create_revision": "0"}
        writes = [
            {"request_put": {"key": keys[-1], "value": parts[-1]}},
            {"request_put": {"key": self._head.encode(), "value": version.encode()}},
        ]
        if forget:
            older = {"key": self._log.encode(), "range_end": f"{self._log}{forget}".encode()}
            writes.append({"request_delete_range": older})
        mine = {"request_range": {"key": keys[-1], "keys_only": True}}
        answer = self._transaction([unchanged, *({"key": key, **exist} for key in keys[:-1])], writes, [mine])
        if answer.succeeded or any(response.response_range.kvs for response in answer.responses):
            return True  # or it had, and the answer was lost
        try:
            for key in keys[:-1]:
                self._gateway.ask("kv/deleterange", {"key": key}, _Answer)
        except NoAnswerError:
            pass  # then a squash removes them
        return False

    def _transaction(
        self, compare: Sequence[object], success: Sequence[object], failure: Sequence[object] = ()
    ) -> _Answer:
        return self._gateway.ask("kv/txn", {"compare": compare, "success": success, "failure": failure}, _Answer)

    # ------------------------------------------------------------ what was seen
    def _remembered(self) -> Seen | None:
        if self._seen is None:
            self._seen = seen.load(self._files)
        return self._seen

    def _remember(self, now: Seen) -> None:
        if self._seen is None or self._seen.version != now.version:
            self._seen = now
            seen.save(self._files, now)


def _number(version: str) -> int:
    found = _VERSION.fullmatch(version)
    return int(found[1]) if found else 0


def _way(head: str, log: Mapping[str, bytes]) -> Iterator[tuple[str, _Entry]]:
    """Versions from the newest back to one that has everything, or as far as the log goes."""
    version: str | None = head
    while version is not None and version in log:
        try:
            entry = msgspec.msgpack.decode(log[version], type=_Entry)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return
        yield version, entry
        version = entry.parent if _number(entry.parent or "") < _number(version) else None


def _replayed(head: str, way: Mapping[str, _Entry], last: Seen | None) -> Seen | None:
    """The newest version; None when its way does not come from anything that is known."""
    now, order = last, list(way)[::-1]
    if last is not None and last.version in way:
        for version in order[order.index(last.version) + 1 :]:
            assert now is not None
            now = now.then(version, way[version].files)
        return now
    if not order or way[order[0]].parent is not None:
        return None
    files: dict[str, bytes] = {}
    for version in order:
        seen.change(files, way[version].files)
    return seen.replaced(last, head, files)


def _of_interest(files: dict[str, bytes], wanted: Wanted | None) -> dict[str, bytes]:
    return {path: data for path, data in files.items() if wanted is None or wanted.matters(path)}
