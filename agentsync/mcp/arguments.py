"""The check of a tool's arguments, in words that help a model to call it right the next time.

A text where a list of texts is wanted counts as a list of one: models do that, and it means only one thing. Nothing
else is bent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agentsync.errors import UsageError
from agentsync.mcp.catalogue import schema

if TYPE_CHECKING:
    from collections.abc import Mapping

_SHOWN = 60
"""Characters of a wrong value that are shown."""

_KINDS = {"string": "a text", "array": "a list of texts", "integer": "a whole number", "boolean": "true or false"}

_NAMES: dict[type, str] = {str: "a text", list: "a list with other things in it", dict: "an object"}


def checked(tool: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a call, each of the type that the schema says. null counts as not given.

    Raises:
        UsageError: One is unknown, missing, or of another type.
    """
    wanted = schema(tool)
    properties, required = wanted["properties"], wanted.get("required", [])
    said = {name: value for name, value in given.items() if value is not None}
    names = ", ".join(name + ("" if name in required else "?") for name in properties)
    for name in said:
        if name not in properties:
            raise UsageError(f"{tool} has no argument {str(name)[:_SHOWN]!r}", f"it takes {names}")
    for name in required:
        if name not in said:
            raise UsageError(f"{tool} needs {name!r}", f"it takes {names}")
    return {name: _value(tool, name, value, properties[name]) for name, value in said.items()}


def _value(tool: str, name: str, value: Any, wanted: Mapping[str, Any]) -> Any:
    kind = wanted["type"]
    match kind, value:
        case "array", str():
            return [value]
        case "array", list() if all(isinstance(item, str) for item in value):
            return value
        case "string", str():
            return value
        case "boolean", bool():
            return value
        case "integer", int() | float() if not isinstance(value, bool) and value == value // 1:
            low, high = wanted["minimum"], wanted["maximum"]
            if not low <= value <= high:
                raise UsageError(f"{tool}: {name} is {str(value)[:_SHOWN]}", f"give {low} to {high}")
            return int(value)
    shown = str(value)[:_SHOWN] if isinstance(value, int | float) else _NAMES.get(type(value), "something else")
    raise UsageError(f"{tool}: {name} must be {_KINDS[kind]}, not {shown}", "look at the tool's schema")
