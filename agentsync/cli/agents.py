"""`register`, `heartbeat`, `whoami`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentsync.render.frame import escape

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from agentsync.cli.context import Context


def add(add_parser: Callable[[str, str, str], argparse.ArgumentParser]) -> None:
    """Add the commands to the grammar."""
    register = add_parser(
        "register",
        "come on the board under a name",
        'register --name backend --role "API and database"\nregister --name alice',
    )
    register.add_argument("--name", required=True, help="how the others see you")
    register.add_argument("--role", help="what you are here for")
    register.set_defaults(run=_register)
    beat = add_parser("heartbeat", "give a sign of life", "heartbeat\nheartbeat --json")
    beat.set_defaults(run=_heartbeat)
    who = add_parser("whoami", "tell who you are, and how that was found out", "whoami\nwhoami --json")
    who.set_defaults(run=_whoami)


def _register(context: Context, options: argparse.Namespace) -> int:
    from agentsync.ops import agents

    agent = agents.register(context.session, options.name, options.role)
    if context.json:
        context.data(agent)
    else:
        role = f", {escape(agent.role)}" if agent.role else ""
        context.say(f"{escape(agent.name)} ({agent.id}{role}) is on the board")
    return 0


def _heartbeat(context: Context, _options: argparse.Namespace) -> int:
    from agentsync.ops import agents

    agent = agents.heartbeat(context.session)
    if context.json:
        context.data(agent)
    else:
        context.say(f"{escape(agent.name)} ({agent.id}) is alive")
    return 0


def _whoami(context: Context, _options: argparse.Namespace) -> int:
    from agentsync.ops import agents

    answer = agents.whoami(context.session)
    if context.json:
        from agentsync.render.payload import whoami

        context.data(whoami(answer))
        return 0
    agent = answer.presence.agent
    context.say(f"{escape(agent.name)} ({agent.id}), {escape(agent.client)}, known by {escape(answer.source)}")
    if not answer.registered:
        context.say("not on the board yet: the first lock, or `agent-sync register --name NAME`, does that")
    return 0
