"""Lines in, lines out: JSON-RPC over two file descriptors, for the SDK's server.

What the SDK's own transport leaves open is decided here:

- A line that is no message is answered with a JSON-RPC error, and one longer than `MAX_LINE` is not kept in memory.
- Both eras of the protocol work on one connection. Clients probe with `server/discover` (2026-07-28) and may then fall
  back to `initialize`; the SDK serves a connection in the era of its first request and refuses the other. So there are
  two lanes, each with a run of the SDK's server, and every message goes to the lane of its era.
- When the input ends, calls that were received are still answered, for `GRACE_S` at most.
- Whoever sent an answer can learn that it was written (`when_written`).
"""

from __future__ import annotations

import asyncio
import os
import threading
from typing import TYPE_CHECKING, Any

import anyio
from mcp.shared.message import SessionMessage
from mcp_types import (
    INVALID_REQUEST,
    PARSE_ERROR,
    PROTOCOL_VERSION_META_KEY,
    ErrorData,
    JSONRPCError,
    JSONRPCNotification,
    JSONRPCRequest,
    JSONRPCResponse,
    jsonrpc_message_adapter,
)
from msgspec import DecodeError, json
from pydantic import ValidationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from anyio.abc import TaskGroup
    from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
    from mcp.server.lowlevel import Server
    from mcp_types import JSONRPCMessage

MAX_LINE = 4 << 20
"""Bytes of a line; a megabyte of paths is a mistake already."""

GRACE_S = 5.0
"""Seconds that calls may still take when the input has ended."""

Id = str | int


class Lines:
    """Reads lines from a file descriptor. Not through Python's own buffers: their lock hangs the interpreter's exit."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def __iter__(self) -> Iterator[bytes | None]:
        """Lines without their ends; None for one that was too long."""
        kept = bytearray()
        too_long = False
        while chunk := self._read():
            *ends, rest = chunk.split(b"\n")
            for end in ends:
                kept += end
                yield None if too_long or len(kept) > MAX_LINE else bytes(kept)
                kept.clear()
                too_long = False
            kept += rest
            if len(kept) > MAX_LINE:
                too_long = True
                kept.clear()
        if too_long or kept:
            yield None if too_long else bytes(kept)

    def _read(self) -> bytes:
        try:
            return os.read(self._fd, 1 << 16)
        except OSError:
            return b""  # closed under us: whoever wrote there is gone


class Wire:
    """One connection."""

    def __init__(self, server: Server[Any], source: int, sink: int) -> None:
        """Connect a server.

        Args:
            server: The SDK's, with its handlers.
            source: File descriptor to read from.
            sink: File descriptor to write to.
        """
        self._server = server
        self._source = source
        self._sink = sink
        self._lanes: dict[bool, MemoryObjectSendStream[SessionMessage | Exception]] = {}
        self._open: dict[Id, bool] = {}
        """Requests that are not answered yet, and in which lane they are."""
        self._settled = anyio.Event()
        self._on_written: dict[Id, Callable[[], None]] = {}
        self._writing = anyio.Lock()
        self.first = threading.Event()
        """Set with the first message."""
        self._scope = anyio.CancelScope()

    def when_written(self, request: Id, tell: Callable[[], None]) -> None:
        """Have `tell` called when the answer to a request has left."""
        self._on_written[request] = tell

    def hang_up(self) -> None:
        """End it now, from any task of the loop."""
        self._scope.cancel()

    async def run(self) -> None:
        """Serve until the input ends, the output breaks, or somebody hangs up."""
        send, lines = anyio.create_memory_object_stream[bytes | None](16)
        loop = asyncio.get_running_loop()
        threading.Thread(target=_pump, args=(self._source, send, loop), daemon=True).start()
        with self._scope:
            async with anyio.create_task_group() as group:
                async with lines:
                    async for line in lines:
                        self.first.set()
                        await self._take(line, group)
                await self._settle()
                group.cancel_scope.cancel()

    async def _settle(self) -> None:
        """Let calls finish whose answers somebody still waits for."""
        with anyio.move_on_after(GRACE_S):
            while self._open and not _nobody_reads(self._sink):
                self._settled = anyio.Event()
                with anyio.move_on_after(0.1):
                    await self._settled.wait()

    # ------------------------------------------------------------ in
    async def _take(self, line: bytes | None, group: TaskGroup) -> None:
        if line is None:
            return await self._complain(INVALID_REQUEST, f"a message has at most {MAX_LINE >> 20} MiB")
        if not line.strip():
            return None
        try:
            message = jsonrpc_message_adapter.validate_json(line, by_name=False)
        except ValidationError as error:
            if any(problem["type"] == "json_invalid" for problem in error.errors(include_url=False)):
                return await self._complain(PARSE_ERROR, "this line is not JSON")
            return await self._complain(INVALID_REQUEST, "this is not a JSON-RPC 2.0 message")
        if isinstance(message, JSONRPCNotification) and _has_id(line):
            # The SDK would take it for a notification, and who waits for the answer would wait for ever.
            return await self._complain(INVALID_REQUEST, "the id of a request is a text or a whole number")
        lane = self._lane_of(message)
        if isinstance(message, JSONRPCRequest):
            self._open[message.id] = lane
        elif isinstance(message, JSONRPCNotification) and message.method == "notifications/cancelled":
            self._close((message.params or {}).get("requestId"))
        if lane not in self._lanes:
            await self._start(lane, group)
        await self._lanes[lane].send(SessionMessage(message))
        return None

    def _lane_of(self, message: JSONRPCMessage) -> bool:
        """Whether a message belongs to the era without a handshake."""
        if isinstance(message, JSONRPCRequest):
            meta = (message.params or {}).get("_meta")
            enveloped = isinstance(meta, dict) and PROTOCOL_VERSION_META_KEY in meta
            return enveloped and message.method != "initialize"
        if isinstance(message, JSONRPCNotification):
            about = (message.params or {}).get("requestId")
            if isinstance(about, str | int) and about in self._open:
                return self._open[about]
            return False not in self._lanes and True in self._lanes
        return False  # only the era with a handshake has requests of ours to answer

    async def _start(self, lane: bool, group: TaskGroup) -> None:
        send, receive = anyio.create_memory_object_stream[SessionMessage | Exception](0)
        out, sent = anyio.create_memory_object_stream[SessionMessage](0)
        self._lanes[lane] = send
        group.start_soon(self._forward, sent)
        group.start_soon(self._server.run, receive, out, self._server.create_initialization_options())

    # ------------------------------------------------------------ out
    async def _forward(self, sent: MemoryObjectReceiveStream[SessionMessage]) -> None:
        async with sent:
            async for item in sent:
                message = item.message
                await self._write(message.model_dump_json(by_alias=True, exclude_unset=True).encode() + b"\n")
                if isinstance(message, JSONRPCResponse | JSONRPCError) and message.id is not None:
                    tell = self._on_written.pop(message.id, None)
                    if tell is not None:
                        tell()
                    self._close(message.id)

    def _close(self, request: Any) -> None:
        if isinstance(request, str | int):
            self._open.pop(request, None)
            self._on_written.pop(request, None)
            self._settled.set()

    async def _complain(self, code: int, text: str) -> None:
        error = JSONRPCError(jsonrpc="2.0", id=None, error=ErrorData(code=code, message=text))
        await self._write(error.model_dump_json(by_alias=True, exclude_unset=True).encode() + b"\n")

    async def _write(self, line: bytes) -> None:
        async with self._writing:
            try:
                await in_thread(lambda: _write_all(self._sink, line))
            except OSError:  # nobody reads any more
                self.hang_up()
                await anyio.lowlevel.checkpoint()


def _has_id(line: bytes) -> bool:
    try:
        found = json.decode(line)
    except DecodeError:  # of the two parsers one is stricter
        return False
    return isinstance(found, dict) and "id" in found


def _nobody_reads(fd: int) -> bool:
    """Whether the other end of a pipe is closed; False where that cannot be asked."""
    import select

    if not hasattr(select, "poll"):
        return False
    poll = select.poll()
    poll.register(fd, 0)
    return any(event & (select.POLLERR | select.POLLNVAL) for _, event in poll.poll(0))


def _write_all(fd: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(fd, left) :]


def _pump(fd: int, send: MemoryObjectSendStream[bytes | None], loop: asyncio.AbstractEventLoop) -> None:
    """Lines from a descriptor into the loop, no faster than it takes them."""
    try:
        for line in Lines(fd):
            asyncio.run_coroutine_threadsafe(send.send(line), loop).result()
        loop.call_soon_threadsafe(send.close)
    except (RuntimeError, anyio.BrokenResourceError, anyio.ClosedResourceError, asyncio.CancelledError):
        pass  # the connection is over, and the loop perhaps too


async def in_thread(work: Callable[[], Any]) -> Any:
    """What `work` returns, from a thread of its own. It keeps nobody from exiting, and goes on if this is cancelled."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Any] = loop.create_future()

    def settle(result: Any, error: BaseException | None) -> None:
        if done.cancelled():
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(result)

    def run() -> None:
        result, error = None, None
        try:
            result = work()
        except BaseException as problem:  # the waiting task's to handle
            error = problem
        try:
            loop.call_soon_threadsafe(settle, result, error)
        except RuntimeError:
            pass  # the loop is closed: nobody waits for it

    threading.Thread(target=run, daemon=True).start()
    return await done
