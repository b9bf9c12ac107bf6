"""Braces, wildcards and trims: what a shell makes of `{a,b}`, `*.py` and `${name%.js}`.

A word comes as characters, each with the word whether it was quoted (then it stands for itself). The file system is
looked at only through `Disk`, which lists a bounded number of entries per command: a pattern that would need more is
not known.
"""

from __future__ import annotations

import os
import re

from msgspec import Struct

Char = tuple[str, bool]
"""A character, and whether it stands for itself because it was quoted."""

MAX_ENTRIES = 10_000
MAX_WORDS = 1_024

_RANGE = re.compile(r"(-?\d{1,6})\.\.(-?\d{1,6})|([A-Za-z])\.\.([A-Za-z])")


class TooMuchError(Exception):
    """More than we are willing to look at: the answer is "not known"."""


class Disk(Struct):
    """The file system, with a bound on how much of it one command makes us list."""

    left: int = MAX_ENTRIES

    def names(self, folder: str) -> list[str]:
        """The sorted names in a folder; none if it cannot be listed."""
        try:
            found = sorted(os.listdir(folder))
        except (OSError, ValueError):
            return []  # not there, not ours, no name at all: a shell would find nothing either
        self.left -= len(found) + 1
        if self.left < 0:
            raise TooMuchError
        return found

    def below(self, folder: str, skip: frozenset[str] = frozenset()) -> list[str]:
        """Every file below a folder, relative to it; links are files."""
        found: list[str] = []
        pending = [""]
        while pending:
            here = pending.pop()
            for name in self.names(os.path.join(folder, here)):
                path = os.path.join(here, name)
                full = os.path.join(folder, path)
                if os.path.isdir(full) and not os.path.islink(full):
                    if name not in skip:
                        pending.append(path)
                else:
                    found.append(path)
        return found


def expand(chars: list[Char], cwd: str, disk: Disk) -> list[str]:
    """The paths that match, sorted, as they are written: relative patterns give relative paths. May be none."""
    segments: list[list[Char]] = [[]]
    for char, quoted in chars:
        if char == "/":
            segments.append([])
        else:
            segments[-1].append((char, quoted))
    found = [""]
    for position, segment in enumerate(segments):
        last = position == len(segments) - 1
        found = [path for base in found for path in _step(base, segment, cwd, disk, last=last)]
        if len(found) > MAX_ENTRIES:
            raise TooMuchError
    return found


def _step(base: str, segment: list[Char], cwd: str, disk: Disk, *, last: bool) -> list[str]:
    end = "" if last else "/"
    if not is_pattern(segment):
        path = base + "".join(char for char, _ in segment)
        there = os.path.join(cwd, path)
        return [path + end] if not last or not path or os.path.lexists(there) else []
    matches = re.compile(to_regex(segment), re.DOTALL).fullmatch
    dotted = segment[0][0] == "."
    names = [name for name in disk.names(os.path.join(cwd, base)) if matches(name) and name.startswith(".") <= dotted]
    return [base + name + end for name in names if last or os.path.isdir(os.path.join(cwd, base, name))]


def is_pattern(chars: list[Char]) -> bool:
    """Whether some unquoted character asks for a look at the file system."""
    return any(char in "*?[" and not quoted for char, quoted in chars)


def to_regex(chars: list[Char]) -> str:
    """The regular expression of a pattern; `*` matches slashes too, so split paths before."""
    out: list[str] = []
    index = 0
    while index < len(chars):
        char, quoted = chars[index]
        index += 1
        if quoted or char not in "*?[":
            out.append(re.escape(char))
        elif char in "*?":
            if not (char == "*" and out[-1:] == [".*"]):
                out.append(".*" if char == "*" else ".")
        else:
            end = next((at for at in range(index + 1, len(chars)) if chars[at][0] == "]"), None)
            if end is None:
                out.append(r"\[")
                continue
            inner = "".join(one for one, _ in chars[index:end])
            if ":" in inner:
                raise TooMuchError  # [[:alpha:]]: not worth a table
            negated = inner[0] in "!^"
            body = re.sub(r"([\\\[\]&~|^])", r"\\\1", inner[negated:])
            out.append(f"[{'^' if negated else ''}{body}]" if _is_class(body) else r"(?!)")
            index = end + 1
    return "".join(out)


def _is_class(body: str) -> bool:
    try:
        re.compile(f"[{body}]")
    except re.error:
        return False
    return True


def number_range(text: str) -> list[str] | None:
    """The words of `1..9` or `a..e`, or None if the text is no such thing."""
    match = _RANGE.fullmatch(text)
    if match is None:
        return None
    if match[1] is not None:
        first, last = int(match[1]), int(match[2])
        width = max(len(match[1]), len(match[2])) if match[1][:1] == "0" or match[2][:1] == "0" else 0
    else:
        first, last, width = ord(match[3]), ord(match[4]), 0
    if abs(last - first) >= MAX_WORDS:
        raise TooMuchError
    step = 1 if last >= first else -1
    values = range(first, last + step, step)
    return [chr(value) for value in values] if match[3] else [str(value).zfill(width) for value in values]


def trim(value: str, operator: str, pattern: str) -> str:
    """`${value%pattern}` and its kin: the shortest (`#`, `%`) or longest (`##`, `%%`) match cut off."""
    matches = re.compile(to_regex([(char, False) for char in pattern]), re.DOTALL).fullmatch
    front = operator[0] == "#"
    lengths = range(len(value) + 1) if len(operator) == 1 else range(len(value), -1, -1)
    for length in lengths:
        cut = value[:length] if front else value[len(value) - length :]
        if matches(cut):
            return value[length:] if front else value[: len(value) - length]
    return value
