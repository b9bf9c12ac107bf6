"""The handlers of the protocol: from a request of the SDK to a tool or resource, and back."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
import mcp_types as types
from mcp import MCPError
from mcp.server.lowlevel import Server

from agentsync import __version__
from agentsync.errors import AgentSyncError, explained
from agentsync.mcp import arguments, resources, tools
from agentsync.mcp.catalogue import INSTRUCTIONS, READS, TOOLS, schema
from agentsync.mcp.connection import Connection, Origin
from agentsync.mcp.handover import Handover
from agentsync.mcp.tools import Answer
from agentsync.mcp.wire import Wire, in_thread

if TYPE_CHECKING:
    from collections.abc import Callable

    from mcp.server import ServerRequestContext

    from agentsync.ops.session import Session

    Context = ServerRequestContext[Any, Any]

PARALLEL = 16
"""Calls that are carried out at a time; more wait."""

ROOTS_S = 2.0
"""Seconds that a client has to tell its roots."""


def build(handlers: Handlers) -> Server[Any]:
    """The SDK's server with our handlers."""
    return Server(
        "agent-sync",
        version=__version__,
        instructions=INSTRUCTIONS,
        on_list_tools=handlers.list_tools,
        on_call_tool=handlers.call_tool,
        on_list_resources=handlers.list_resources,
        on_list_resource_templates=handlers.list_templates,
        on_read_resource=handlers.read_resource,
    )


class Handlers:
    """What the protocol asks for."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.wire: Wire | None = None
        """None when something else carries the messages, as in tests within one process."""
        self._limiter = anyio.Semaphore(PARALLEL)
        self._has_roots = True

    # ------------------------------------------------------------ tools
    async def list_tools(self, _context: Context, _params: Any) -> types.ListToolsResult:
        """`tools/list`."""
        found = []
        for name, (about, _, _) in TOOLS.items():
            hints = types.ToolAnnotations(
                read_only_hint=True if name in READS else None, destructive_hint=False, open_world_hint=False
            )
            found.append(types.Tool(name=name, description=about, input_schema=schema(name), annotations=hints))
        return types.ListToolsResult(tools=found)

    async def call_tool(self, context: Context, params: types.CallToolRequestParams) -> types.CallToolResult:
        """`tools/call`."""
        name = params.name
        if name not in TOOLS:
            there = ", ".join(TOOLS)
            raise MCPError(code=types.INVALID_PARAMS, message=f"there is no tool {name[:80]!r}; there are {there}")
        async with self._limiter:
            return await self._call(context, name, params.arguments or {})

    async def _call(self, context: Context, name: str, raw: dict[str, Any]) -> types.CallToolResult:
        origin = await self._origin(context)
        session: Session | None = None
        abandoned = threading.Event()

        def work() -> Answer:
            nonlocal session
            given = arguments.checked(name, raw)
            session = self._connection.open(origin, given.pop("repo", None), tools.paths_of(name, given))
            answer = tools.call(session, name, given)
            if abandoned.is_set() and answer.undo is not None:
                answer.undo()
            return answer

        try:
            answer = await in_thread(partial(_guarded, work))
        except anyio.get_cancelled_exc_class():
            abandoned.set()  # nobody will hear what it was waiting for
            raise
        if session is None:
            return _result(answer)
        is_inbox = name == "inbox" and not answer.failed and not answer.text
        mail = await self._mail(session, context, is_inbox)
        if is_inbox:
            return _result(Answer(text=mail or "no new messages"))
        return _result(Answer(text=f"{answer.text}\n\n{mail}" if mail else answer.text, failed=answer.failed))

    async def _mail(self, session: Session, context: Context, is_inbox: bool) -> str:
        """What waits for the caller. It counts as told when the answer has been written."""
        request = context.request_id
        waits = self.wire is not None and request is not None
        handover = Handover(session, is_inbox, waits=waits)
        loop = asyncio.get_running_loop()
        found: asyncio.Future[str] = loop.create_future()

        def settle(text: str) -> None:
            if not found.cancelled():
                found.set_result(text)

        def hand_over(text: str) -> None:
            loop.call_soon_threadsafe(settle, text)

        def run() -> None:
            handover.run(hand_over)
            _upkeep(session)

        if self.wire is not None and request is not None:
            self.wire.when_written(request, handover.written)
        threading.Thread(target=run, daemon=True).start()
        try:
            return await found
        except anyio.get_cancelled_exc_class():
            handover.dropped()
            raise

    async def _origin(self, context: Context) -> Origin:
        session = context.session
        client = session.client_params.client_info.name if session.client_params is not None else ""
        meta = (context.params or {}).get("_meta")
        return Origin(
            client_name=client, meta=dict(meta) if isinstance(meta, dict) else {}, roots=await self._roots(context)
        )

    async def _roots(self, context: Context) -> tuple[str, ...]:
        """The client's roots, asked for with each call, as they change. Who fails once is not asked again."""
        session = context.session
        capabilities = session.client_capabilities
        if not (self._has_roots and session.can_send_request and capabilities and capabilities.roots is not None):
            return ()
        try:
            found = await session.send_request(types.ListRootsRequest(), types.ListRootsResult, ROOTS_S)
        except Exception:  # whatever it answers, it is no reason to refuse a call: there is the working directory
            self._has_roots = False
            return ()
        return tuple(str(root.uri) for root in found.roots)

    # ------------------------------------------------------------ resources
    async def list_resources(self, _context: Context, _params: Any) -> types.ListResourcesResult:
        """`resources/list`."""
        return types.ListResourcesResult(
            resources=[
                types.Resource(uri=resources.SCHEME + name, name=name, description=about, mime_type="text/plain")
                for name, about in resources.RESOURCES.items()
            ]
        )

    async def list_templates(self, _context: Context, _params: Any) -> types.ListResourceTemplatesResult:
        """`resources/templates/list`."""
        return types.ListResourceTemplatesResult(
            resource_templates=[
                types.ResourceTemplate(
                    uri_template=resources.SCHEME + name, name="path", description=about, mime_type="text/plain"
                )
                for name, about in resources.TEMPLATES.items()
            ]
        )

    async def read_resource(
        self, context: Context, params: types.ReadResourceRequestParams
    ) -> types.ReadResourceResult:
        """`resources/read`."""
        uri = str(params.uri)
        if not resources.is_known(uri):
            there = ", ".join(resources.SCHEME + name for name in resources.RESOURCES)
            raise MCPError(code=types.INVALID_PARAMS, message=f"there is no resource {uri[:200]!r}; there are {there}")
        origin = await self._origin(context)

        def work() -> Answer:
            session = self._connection.open(origin, paths=resources.paths_of(uri))
            return Answer(text=resources.read(session, uri))

        async with self._limiter:
            answer = await in_thread(partial(_guarded, work))
        if answer.failed:
            raise MCPError(code=types.INTERNAL_ERROR, message=answer.text)
        content = types.TextResourceContents(uri=uri, text=_sendable(answer.text), mime_type="text/plain")
        return types.ReadResourceResult(contents=[content])


def _guarded(work: Callable[[], Answer]) -> Answer:
    """The one place where what goes wrong becomes an answer. No internals in it: they go to stderr."""
    try:
        return work()
    except AgentSyncError as error:
        return tools.problem(error)
    except OSError as error:
        return tools.problem(explained(error))
    except Exception as error:
        say(f"internal error: {type(error).__name__}: {error}")
        hint = "the server's standard error says more; please report it"
        return tools.problem(AgentSyncError("agent-sync met an error of its own", hint))


def _upkeep(session: Session) -> None:
    """After answering."""
    if session.store.needs_care:
        from agentsync.ops import care

        care.after_answering(session)
    for warning in session.store.warnings:
        say(warning)


def _result(answer: Answer) -> types.CallToolResult:
    content = types.TextContent(type="text", text=_sendable(answer.text))
    return types.CallToolResult(content=[content], is_error=answer.failed)


def _sendable(text: str) -> str:
    """Without what is no Unicode: names on disk need not be."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def say(text: str) -> None:
    """One line on standard error."""
    from agentsync.render.frame import escape

    if sys.stderr is not None:
        try:
            os.write(2, f"agent-sync: {escape(text, 500)}\n".encode("utf-8", "backslashreplace"))
        except OSError:
            pass  # nobody listens
