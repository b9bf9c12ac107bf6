"""Which characters a reader can see, and JSON in which there are no others.

A terminal obeys some characters and shows nothing of others, also when they stand in a JSON document that somebody
prints or a record that somebody reads with `cat`. JSON can spell each of them as an escape, and means the same.
"""

from __future__ import annotations

import re

_SUSPECT = re.compile(r"[^\n -~]")
"""All but what anybody can see at once: a large document is looked at where it is not plain ASCII."""

_INVISIBLE = (
    (0x034F, 0x034F),
    (0x115F, 0x1160),
    (0x17B4, 0x17B5),
    (0x180B, 0x180F),
    (0x3164, 0x3164),
    (0xFE00, 0xFE0F),
    (0xFFA0, 0xFFA0),
    (0xE0100, 0xE01EF),
)
"""Characters that Unicode calls printable although nothing is seen of them: joiners, fillers, variation selectors."""


def is_visible(char: str) -> bool:
    """Whether something is seen of a character, and nothing else happens when it is printed."""
    return char.isprintable() and not any(low <= ord(char) <= high for low, high in _INVISIBLE)


def plain_json(document: bytes) -> bytes:
    r"""The same document with `\u` escapes for what cannot be seen, which JSON allows in strings only."""
    if document.isascii() and b"\x7f" not in document:
        return document
    text = document.decode("utf-8")
    return _SUSPECT.sub(lambda found: found[0] if is_visible(found[0]) else _escaped(found[0]), text).encode()


def _escaped(char: str) -> str:
    units = char.encode("utf-16-be")
    return "".join(f"\\u{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2))
