"""From arguments to an exit code. The one place that maps what went wrong to a code and a message."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from agentsync.cli.context import Context
from agentsync.cli.parser import UsageExit, build
from agentsync.errors import AgentSyncError, UsageError, explained

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from agentsync.runtime import Runtime

DEBUG = "AGENT_SYNC_DEBUG"


def main(
    arguments: Sequence[str],
    serve: Callable[[Runtime], int] | None = None,
    start_console: Callable[[Context, bool, str | None], int] | None = None,
) -> int:
    """Run one command.

    Args:
        arguments: What was typed after the command's name.
        serve: What `mcp` starts: another edge, which this one must not know.
        start_console: What `console` starts, likewise.

    Returns:
        The exit code: 0 done, 1 internal error, 2 usage, 3 conflict, 4 no such thing, 5 gave up waiting, 6 state
        directory unusable.
    """
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed before we began: nobody wants to hear
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 # until the process ends
        elif hasattr(getattr(sys, name), "reconfigure"):
            getattr(sys, name).reconfigure(errors="backslashreplace")  # names on disk need not be UTF-8
    context = Context("--json" in arguments[: [*arguments, "--"].index("--")], serve, start_console)
    code = _run(arguments, context)
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        _mute()
    except OSError as error:
        _mute()
        print(f"agent-sync: the answer could not be written: {error.strerror}", file=sys.stderr)
        return code or 1
    return code


def _run(arguments: Sequence[str], context: Context) -> int:
    try:
        options = build(arguments).parse_args(arguments)
        context.apply(options)
        code: int = options.run(context, options)
        context.close()
        return code
    except UsageExit as stop:
        return stop.code if stop.message is None else _fail(context, UsageError(stop.message, stop.hint))
    except AgentSyncError as error:
        return _fail(context, error)
    except BrokenPipeError:
        _mute()
        return 0
    except KeyboardInterrupt:
        return 130
    except OSError as error:
        return _fail(context, explained(error))
    except Exception as error:
        if os.environ.get(DEBUG):
            raise
        name = f"{type(error).__name__}: {error}"
        return _fail(context, AgentSyncError(f"internal error: {name}", f"{DEBUG}=1 shows where; please report it"))


def _mute() -> None:
    """Whoever read us has gone. Python would complain about that at its exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _fail(context: Context, error: AgentSyncError) -> int:
    try:
        context.problem(error)
    except OSError:
        _mute()  # nobody listens, or there is no room to answer; the exit code says it
    return error.code
