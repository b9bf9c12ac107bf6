"""What git's index says, read as a file: starting git costs more than a hook may."""

from __future__ import annotations

from agentsync.store.files import read_plain
from agentsync.store.locate import find_repository

MAX_INDEX = 1 << 26
"""Bytes of an index that is read; a million files take about so much."""


def tracks(path: str) -> bool:
    """Whether git tracks a file: its name is an entry of the index.

    Unknown counts as no: a larger index, one of version 4 (which shortens names), one that is split.

    Args:
        path: Real and absolute.
    """
    repository = find_repository(path.rpartition("/")[0] or "/")
    if repository is None or not path.startswith(repository.top.rstrip("/") + "/"):
        return False
    try:
        index = read_plain(f"{repository.git_dir}/index", MAX_INDEX + 1)
    except OSError:
        return False
    if index is None or len(index) > MAX_INDEX or index[:4] != b"DIRC" or index[7:8] not in (b"\x02", b"\x03"):
        return False
    name = path[len(repository.top.rstrip("/")) + 1 :].encode("utf-8", "surrogateescape")
    return _is_entry(index, name)


def _is_entry(index: bytes, name: bytes) -> bool:
    """An entry ends in 16 bits, the low 12 of which are the length of its name, the name, and a NUL (gitformat-index).

    With version 3 another 16 bits may stand between the two.
    """
    length = min(len(name), 0xFFF)
    at = index.find(name + b"\0")
    while at >= 0:
        if length in (_twelve_bits(index, at - 2), _twelve_bits(index, at - 4)):
            return True
        at = index.find(name + b"\0", at + 1)
    return False


def _twelve_bits(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 2], "big") & 0xFFF if at >= 0 else -1
