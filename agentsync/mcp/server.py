"""Starts and ends the server.

It ends with its input, on a signal, or when the process that started it is gone (a pipe may be kept open by somebody
else). In each case the connection says goodbye. Standard output belongs to the protocol alone: whatever else would be
printed goes to standard error.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING

import anyio

from agentsync.errors import AgentSyncError
from agentsync.mcp.connection import Connection
from agentsync.mcp.handlers import Handlers, build, say
from agentsync.mcp.wire import Wire
from agentsync.ops.session import CLI_TIMEOUT

if TYPE_CHECKING:
    from agentsync.runtime import Runtime

ORPHAN_S = 1.0
"""Seconds between two looks whether whoever started us is still there."""


def serve(runtime: Runtime) -> int:
    """Serve one connection on standard input and output.

    Returns:
        The exit code.
    """
    import logging

    logging.getLogger("mcp").addHandler(logging.NullHandler())  # what the SDK would log is not for the user
    logging.getLogger("mcp").propagate = False
    logging.getLogger("asyncio").addHandler(logging.NullHandler())
    try:
        source, sink = os.dup(0), os.dup(1)
    except OSError:
        raise AgentSyncError("standard input or output is closed: a client starts this and talks to it there") from None
    os.dup2(2, 1)
    connection = Connection(runtime, CLI_TIMEOUT)
    anyio.run(_serve, connection, source, sink)
    for problem in connection.goodbye():
        say(problem)
    return 0


async def _serve(connection: Connection, source: int, sink: int) -> None:
    handlers = Handlers(connection)
    handlers.wire = wire = Wire(build(handlers), source, sink)
    async with anyio.create_task_group() as group:
        group.start_soon(_hang_up_on_signal, wire)
        group.start_soon(_hang_up_when_orphaned, wire)
        await wire.run()
        group.cancel_scope.cancel()


async def _hang_up_on_signal(wire: Wire) -> None:
    if sys.platform == "win32":
        return  # the loop knows no signals there; the dead process is the proof
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
        async for _ in signals:
            wire.hang_up()


async def _hang_up_when_orphaned(wire: Wire) -> None:
    parent = os.getppid()
    while True:
        await anyio.sleep(ORPHAN_S)
        if os.getppid() == parent:
            continue
        if wire.first.is_set():
            wire.hang_up()
            return
        parent = os.getppid()  # a launcher that left before anybody spoke
