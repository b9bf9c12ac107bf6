"""The JSON Schemas of the records, made from the classes that read and write them.

    python schema/generate.py            rewrite schema/*.schema.json
    python schema/generate.py --check    change nothing; exit 1 and name the files that differ

One file per kind of record, and one each for the lines of activity and of watched files, which have no kind. A schema
says what a reader accepts; what a writer must do beyond that is in FORMAT.md. Descriptions are the docstrings of the
classes and fields.
"""

from __future__ import annotations

import ast
import inspect
import json
import sys
import textwrap
from pathlib import Path
from typing import Any, Union

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from msgspec import UNSET, Struct, UnsetType, defstruct  # noqa: E402  # the checkout comes first on the path
from msgspec.json import schema as describe  # noqa: E402
from msgspec.structs import fields  # noqa: E402

from agentsync.core import records  # noqa: E402
from agentsync.store.activity import Line  # noqa: E402
from agentsync.store.watched import Sighting  # noqa: E402

DIALECT = "https://json-schema.org/draft/2020-12/schema"

NEVER_CARRIED = ("format", "event")
"""Kinds that no transaction writes, so that no event carries them."""

Schema = dict[str, Any]


def schemas() -> dict[str, str]:
    """The text of every schema file, by name."""
    described: dict[str, type[Struct]] = {**records.KINDS, "event": _event(), "activity": Line, "watched": Sighting}
    return {f"{kind}.schema.json": _text(kind, struct) for kind, struct in sorted(described.items())}


def _text(kind: str, struct: type[Struct]) -> str:
    made = describe(struct)
    definitions: dict[str, Schema] = made["$defs"]
    for name, definition in definitions.items():
        _polish(name, definition)
    own = definitions.pop(struct.__name__)
    whole = {"$schema": DIALECT, "$id": f"urn:agentsync:schema:{kind}:{records.VERSION}", **own}
    if definitions:
        whole["$defs"] = dict(sorted(definitions.items()))
    return json.dumps(whole, indent=2, ensure_ascii=False) + "\n"


def _polish(name: str, definition: Schema) -> None:
    """Add what msgspec does not know: the fields' docstrings, and that a kind with one value is a constant."""
    told = _field_docs({"Line": Line, "Sighting": Sighting}.get(name) or getattr(records, name))
    definition["description"] = _one_line(definition["description"])
    for field, schema in definition["properties"].items():
        if field == "kind":
            definition["properties"][field] = {"const": schema["enum"][0]}
        elif field in told:
            schema["description"] = told[field]
    if name == "Change":
        definition["oneOf"] = [{"required": ["put", "record"]}, {"required": ["drop"]}]


def _event() -> type[Struct]:
    """`Event` with its changes spelled out: the code keeps their records as raw JSON, which msgspec cannot describe."""
    carried = Union[tuple(kind for name, kind in records.KINDS.items() if name not in NEVER_CARRIED)]  # noqa: UP007
    change = defstruct(
        "Change",
        [(name, Union[type_, UnsetType], UNSET) for name, type_ in (("put", str), ("record", carried), ("drop", str))],  # noqa: UP007  # a union of values, not of names
        namespace={"__doc__": records.Change.__doc__},
    )
    spelled = []
    for field in fields(records.Event):
        type_ = tuple[change, ...] if field.name == "changes" else field.type  # type: ignore[valid-type]
        spelled.append((field.name, type_) if field.required else (field.name, type_, field.default))
    docs = {"__doc__": records.Event.__doc__}
    return defstruct("Event", spelled, tag="event", tag_field="kind", kw_only=True, namespace=docs)


def _field_docs(struct: type) -> dict[str, str]:
    """The docstrings below the fields of a class, by the name that a field has in JSON."""
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(struct))).body
    assert isinstance(tree, ast.ClassDef)
    names = {field.name: field.encode_name for field in fields(struct)}
    found = {}
    for statement, following in zip(tree.body, tree.body[1:], strict=False):
        match statement, following:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                found[names[name]] = _one_line(text)
    return found


def _one_line(text: str) -> str:
    return " ".join(text.split())


def main(arguments: list[str]) -> int:
    """Rewrite the schemas, or compare them with what is there."""
    wanted = schemas()
    there = {path.name: path.read_text(encoding="utf-8") for path in HERE.glob("*.schema.json")}
    differing = sorted(name for name in wanted.keys() | there.keys() if wanted.get(name) != there.get(name))
    if arguments == ["--check"]:
        for name in differing:
            print(f"schema/{name} is not what the code says: run python schema/generate.py", file=sys.stderr)
        return 1 if differing else 0
    if arguments:
        print("usage: python schema/generate.py [--check]", file=sys.stderr)
        return 2
    for name in differing:
        if name in wanted:
            (HERE / name).write_text(wanted[name], encoding="utf-8", newline="\n")
        else:
            (HERE / name).unlink()
        print(f"schema/{name}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
