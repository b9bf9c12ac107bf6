"""How input is made: from a document that is fine, by small and large damage; and how much of it.

The corpus is `tests/fuzz/corpus/` (payloads of all clients) and `schema/fixtures/` (records of all kinds, good and bad).
An input that found a bug becomes an `@example` beside the law that it broke.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from rounds import ROUNDS

if TYPE_CHECKING:
    from collections.abc import Callable

CORPUS = Path(__file__).parent / "corpus"
FIXTURES = Path(__file__).parents[2] / "schema/fixtures"


def fuzzed(each: int) -> Callable[[Any], Any]:
    """So many examples for each round of the knob."""
    return settings(
        max_examples=each * ROUNDS,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large],
    )


ODD_TEXTS = st.sampled_from(
    [
        *(
            "",
            " ",
            "\0",
            "\n",
            "..",
            "../../x",
            "/",
            "//",
            "/etc/passwd",
            "@",
            "@/",
            "-",
            "--",
            "%",
            "%2F",
            "~",
            "*",
            "**/*",
        ),
        *(
            "{a,b}",
            "[",
            "[]",
            "é",
            "e\u0301",
            "\u202e",
            "\x1b[2J",
            "\x9b",
            "'",
            '"',
            "\\",
            "$(x)",
            "`x`",
            "con",
            "a" * 300,
        ),
        *(
            "x" * 5000,
            "m-1",
            "m-0",
            "t-aaaa",
            "d-1",
            "n-1",
            "all",
            "agent-sync",
            "past",
            "9" * 30,
            "1e400",
            "nan",
            "٣",
            "null",
        ),
        *(
            "9999-12-31T23:59:59Z",
            "0001-01-01T00:00:00+14:00",
            "2026-01-01T00:00:00Z",
            "</agent-sync-state>",
            "./",
            "a/",
        ),
    ]
)

TEXTS = ODD_TEXTS | st.text(max_size=30)

NUMBERS = st.sampled_from([0, 1, -1, 2**31, 2**63, -(2**63), 2**64, 10**30]) | st.integers()

SCALARS = st.none() | st.booleans() | NUMBERS | st.floats(allow_nan=False, allow_infinity=False) | TEXTS

JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3), max_leaves=6
)


def _ways(value: Any, way: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [way]
    if isinstance(value, dict):
        for key in value:
            found += _ways(value[key], (*way, key))
    elif isinstance(value, list):
        for index in range(len(value)):
            found += _ways(value[index], (*way, index))
    return found


@st.composite
def damaged(draw: st.DrawFn, documents: list[Any], values: st.SearchStrategy[Any] = JSON) -> Any:
    """A document of which a few parts were replaced, removed or doubled."""
    document = json.loads(json.dumps(draw(st.sampled_from(documents))))
    for _ in range(draw(st.integers(1, 3))):
        way = draw(st.sampled_from(_ways(document)))
        if not way:
            if draw(st.integers(0, 20)) == 0:
                document = draw(values)
            continue
        around = document
        for key in way[:-1]:
            around = around[key]
        if draw(st.integers(0, 4)) == 0:
            del around[way[-1]]
        else:
            around[way[-1]] = draw(values)
        if not isinstance(document, (dict, list)) or not document:
            break
    return document


@st.composite
def torn(draw: st.DrawFn, documents: list[bytes]) -> bytes:
    """Bytes that once were a document: cut, filled with NULs, with flipped bits, or something put in."""
    data = bytearray(draw(st.sampled_from(documents)))
    match draw(st.integers(0, 5)):
        case 0:
            del data[draw(st.integers(0, len(data))) :]
        case 1:
            start = draw(st.integers(0, len(data)))
            data[start:] = bytes(len(data) - start)
        case 2:
            for _ in range(draw(st.integers(1, 4))):
                if data:
                    data[draw(st.integers(0, len(data) - 1))] ^= 1 << draw(st.integers(0, 7))
        case 3:
            at = draw(st.integers(0, len(data)))
            data[at:at] = draw(st.binary(max_size=20) | st.sampled_from([b"[" * 20_000, b'{"a":' * 20_000, b"\\ud800"]))
        case 4:
            return draw(st.binary(max_size=200))
        case _:
            data += draw(st.sampled_from(documents))
    return bytes(data)
