"""The agent clients: how each one's hooks are installed, what they are given, how they answer. Pure.

One file per client, with the names of `Adapter`. To add one: write the file, put its name into `NAMES`, and put
recorded payloads into `tests/clients/<name>/`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, cast

if TYPE_CHECKING:
    from agentsync.clients.call import Call
    from agentsync.runtime import Platform

NAMES = ("claude", "codex", "copilot", "cursor", "gemini", "opencode")


class Adapter(Protocol):
    """What the module of a client offers. Events have our names: `pre-tool-use`, `stop`."""

    NAME: str
    TITLE: str
    """As its vendor calls it."""
    SETTINGS: str
    """The file that its hooks go into, relative to the working tree."""
    FOLDER: str
    """A directory of a working tree that tells that the client is used there."""
    PROGRAM: str
    """The command that starts it."""
    SHIPPED: str | None
    """The file of `hooks/` that SETTINGS is a copy of, its `STRICT = false` set; None = hooks are merged into JSON."""
    FLAT: bool
    """Whether an event's list holds handlers, not matcher groups that hold handlers."""
    BASE: dict[str, Any]
    """What JSON settings that did not exist begin with."""
    TELLS: frozenset[str]
    """Events at which it takes a text into the model's context; mail waits for one of these."""
    LIMITS: tuple[str, ...]
    """What it cannot do, or what its user has to do first: sentences that `install` prints."""

    def parse(self, event: str | None, payload: dict[str, Any]) -> Call:
        """Read a payload; whatever has another shape than documented counts as absent."""
        ...

    def deny(self, reason: str) -> dict[str, Any]:
        """Refuse the tool call of a `pre-tool-use`; the reason goes to the model."""
        ...

    def context(self, event: str, text: str) -> dict[str, Any]:
        """Put a text before the model. On `stop` this also lets the turn go on."""
        ...

    def handlers(self, strict: bool, platform: Platform = "posix") -> dict[str, dict[str, Any]]:
        """What `install` adds to the settings: one entry for each of its events, by its own names.

        The entries start the gate; on Windows, which has no `sh`, Python itself.
        """
        ...

    def is_ours(self, handler: Any) -> bool:
        """Whether a handler in the settings is one of `handlers`, of this or an earlier version."""
        ...


def get(name: str) -> Adapter:
    """The adapter of a client in `NAMES`. Loads no other: a hook pays for one."""
    return cast("Adapter", __import__(f"agentsync.clients.{name}", fromlist=["NAME"]))
