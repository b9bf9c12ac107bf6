"""Patterns, and the exact question whether two of them have a path in common.

`*` and `?` and classes stop at `/`; `**` as a whole part matches any number of parts; `{a,b}` are alternatives. Two
patterns conflict iff some real path matches both. That is decided, not guessed: each pattern is a small automaton, and
the product of the two is searched for a path, together with a third automaton that knows what a path is (no empty
part, no `.` or `..`), so that patterns which only meet in `a//b` do not conflict.

Literal paths and directories are patterns too, hence one function answers for every pair.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from msgspec import Struct

from agentsync.errors import UsageError

if TYPE_CHECKING:
    from agentsync.core.records import Scope

MAX_ALTERNATIVES = 64
"""How many patterns the braces of one may stand for; more is a typing error or an attack."""

MAX_WILDCARDS = 64
"""Stars of one pattern; comparing two takes time by the product, and the guard is held meanwhile."""

_LAST = 0x10FFFF
_SLASH = ord("/")

Intervals = tuple[tuple[int, int], ...]
"""A set of characters: closed ranges of code points, ascending, disjoint."""

_ANY: Intervals = ((0, _LAST),)
_NOT_SLASH: Intervals = ((0, _SLASH - 1), (_SLASH + 1, _LAST))


class Step(Struct, frozen=True, gc=False):
    """One element of a pattern: characters of `chars`, once, or any number of times when `repeat`."""

    chars: Intervals
    repeat: bool = False


class Parents(Struct, frozen=True, gc=False):
    """`**/`: nothing, or any text that ends in a slash."""


Element = Step | Parents
Sequence = tuple[Element, ...]


def parts_of(scope: Scope, path: str) -> tuple[Sequence, ...]:
    """The sequences, one of which a path must match to be covered by a lock of this scope on this path."""
    if scope == "glob":
        return parse(path)
    if scope == "dir":
        below = (Step(_ANY, repeat=True),)
        if path == "./":
            return (below,)
        own = _literal(path[:-1])
        return (own, (*own, Step(((_SLASH, _SLASH),)), *below))
    return (_literal(path),)


def parse(pattern: str) -> tuple[Sequence, ...]:
    """The sequences that a pattern stands for, one per combination of its brace alternatives.

    Raises:
        UsageError: The pattern has too many alternatives or stars.
    """
    found = tuple(_sequence(text) for text in _expand(pattern))
    if any(sum(isinstance(e, Parents) or e.repeat for e in sequence) > MAX_WILDCARDS for sequence in found):
        raise UsageError(f"the pattern {pattern[:60]!r}… has more than {MAX_WILDCARDS} stars", "lock the directory")
    return found


def matches(pattern: str, path: str) -> bool:
    """Whether `path` is one of those that `pattern` covers."""
    return overlap(parse(pattern), (_literal(path),))


def overlap(a: tuple[Sequence, ...], b: tuple[Sequence, ...]) -> bool:
    """Whether some path matches one of `a` and one of `b`."""
    return any(_meet(x, y) for x in a for y in b)


def literal_prefix(pattern: str) -> str:
    """What every path that matches must begin with: the text before the first character with a meaning."""
    for i, char in enumerate(pattern):
        if char in "*?[{":
            return pattern[:i]
    return pattern


def _literal(text: str) -> Sequence:
    return tuple(Step(((ord(char), ord(char)),)) for char in text)


def _expand(pattern: str) -> list[str]:
    """Brace alternatives written out; braces may nest. `{` without a partner, or without a comma, is itself."""
    done: list[str] = []
    todo = [pattern]
    while todo:
        text = todo.pop()
        split = _first_braces(text)
        if split is None:
            done.append(text)
        else:
            head, options, tail = split
            todo.extend(head + option + tail for option in options)
        if len(done) + len(todo) > MAX_ALTERNATIVES:
            raise UsageError(
                f"the pattern {pattern!r} stands for more than {MAX_ALTERNATIVES} patterns",
                "lock the directory, or give several simpler patterns",
            )
    return done


def _first_braces(text: str) -> tuple[str, list[str], str] | None:
    """The leftmost braces that hold a comma, in one pass; `[{]` is how a brace in a literal path is spelled."""
    found: list[int] | None = None
    opened: list[list[int]] = []  # per open brace: where it is, and its commas
    for i, char in enumerate(text):
        if char == "{" and text[i - 1 : i + 2] != "[{]":
            opened.append([i])
        elif char == "," and opened:
            opened[-1].append(i)
        elif char == "}" and opened:
            cuts = opened.pop()
            if len(cuts) > 1 and (found is None or cuts[0] < found[0]):
                found = [*cuts, i]
    if found is None:
        return None
    options = [text[a + 1 : b] for a, b in pairwise(found)]
    return text[: found[0]], options, text[found[-1] + 1 :]


def _sequence(pattern: str) -> Sequence:
    elements: list[Element] = []
    i = 0
    while i < len(pattern):
        char = pattern[i]
        if char == "*":
            end = i
            while end < len(pattern) and pattern[end] == "*":
                end += 1
            whole_part = end - i == 2 and (i == 0 or pattern[i - 1] == "/")
            if whole_part and end < len(pattern) and pattern[end] == "/":
                if not elements or not isinstance(elements[-1], Parents):  # one says all that several would
                    elements.append(Parents())
                end += 1
            elif whole_part and end == len(pattern):
                elements.append(Step(_ANY, repeat=True))
            else:
                elements.append(Step(_NOT_SLASH, repeat=True))
            i = end
        elif char == "?":
            elements.append(Step(_NOT_SLASH))
            i += 1
        elif char == "[" and (end := _class_end(pattern, i)) > 0:
            elements.append(Step(_class(pattern[i + 1 : end])))
            i = end + 1
        else:
            elements.append(Step(((ord(char), ord(char)),)))
            i += 1
    return tuple(elements)


def _class_end(pattern: str, start: int) -> int:
    """Index of the `]` that closes the class at `start`, or 0: then the bracket is a plain character."""
    first = start + 1 + (pattern[start + 1 : start + 2] in ("!", "^"))
    return max(pattern.find("]", first + 1), 0)


def _class(body: str) -> Intervals:
    negated = body[:1] in ("!", "^")
    chars = body[1:] if negated else body
    ranges: list[tuple[int, int]] = []
    i = 0
    while i < len(chars):
        if i + 2 < len(chars) and chars[i + 1] == "-":
            ranges.append((ord(chars[i]), ord(chars[i + 2])))
            i += 3
        else:
            ranges.append((ord(chars[i]), ord(chars[i])))
            i += 1
    found = _normal(ranges)
    return _intersect(_complement(found) if negated else found, _NOT_SLASH)


def _normal(ranges: list[tuple[int, int]]) -> Intervals:
    merged: list[tuple[int, int]] = []
    for low, high in sorted(r for r in ranges if r[0] <= r[1]):
        if merged and low <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(merged[-1][1], high))
        else:
            merged.append((low, high))
    return tuple(merged)


def _complement(ranges: Intervals) -> Intervals:
    gaps, low = [], 0
    for start, end in ranges:
        if low < start:
            gaps.append((low, start - 1))
        low = end + 1
    if low <= _LAST:
        gaps.append((low, _LAST))
    return tuple(gaps)


def _intersect(a: Intervals, b: Intervals) -> Intervals:
    return tuple((max(x[0], y[0]), min(x[1], y[1])) for x in a for y in b if max(x[0], y[0]) <= min(x[1], y[1]))


# A state of one pattern is a position, twice as fine as its elements: 2i = before element i, 2i+1 = inside the text of
# a `**/` at i, not yet at a slash. A state of the path automaton says what the current part is so far.
_EMPTY, _DOT, _DOTDOT, _NAME = range(4)


def _closure(sequence: Sequence, state: int) -> tuple[int, ...]:
    """The state and those reached from it without reading a character."""
    reached = [state]
    while state % 2 == 0 and state // 2 < len(sequence):
        element = sequence[state // 2]
        if not (isinstance(element, Parents) or element.repeat):
            break
        state += 2
        reached.append(state)
    return tuple(reached)


def _moves(sequence: Sequence, state: int) -> list[tuple[Intervals, int]]:
    if state // 2 >= len(sequence):
        return []
    element = sequence[state // 2]
    if isinstance(element, Parents):
        inside = state // 2 * 2 + 1
        return [(_ANY, inside), (((_SLASH, _SLASH),), inside + 1)]
    return [(element.chars, state if element.repeat else state + 2)]


def _part_moves(part: int, chars: Intervals) -> list[int]:
    """Where the path automaton may go on one character out of `chars`."""
    out = []
    if part == _NAME and any(low <= _SLASH <= high for low, high in chars):
        out.append(_EMPTY)
    dot = ord(".")
    if any(low <= dot <= high for low, high in chars):
        out.append({_EMPTY: _DOT, _DOT: _DOTDOT}.get(part, _NAME))
    if any(not (low == high and low in (dot, _SLASH)) and not (low == dot and high == _SLASH) for low, high in chars):
        out.append(_NAME)
    return out


def _meet(a: Sequence, b: Sequence) -> bool:
    """Search the product of two patterns and the path automaton for an accepted text."""
    starts = [_strip_root(a), _strip_root(b)]
    if starts[0][1] != starts[1][1]:
        return False  # one is inside the root, the other outside
    a, b = starts[0][0], starts[1][0]
    ends = (2 * len(a), 2 * len(b))
    todo = [(x, y, _EMPTY) for x in _closure(a, 0) for y in _closure(b, 0)]
    seen = set(todo)
    while todo:
        x, y, part = todo.pop()
        if (x, y) == ends and part == _NAME:
            return True
        for chars_a, next_a in _moves(a, x):
            for chars_b, next_b in _moves(b, y):
                common = _intersect(chars_a, chars_b)
                if not common:
                    continue
                for next_part in _part_moves(part, common):
                    for closed_a in _closure(a, next_a):
                        for closed_b in _closure(b, next_b):
                            state = (closed_a, closed_b, next_part)
                            if state not in seen:
                                seen.add(state)
                                todo.append(state)
    return False


def _strip_root(sequence: Sequence) -> tuple[Sequence, bool]:
    """The sequence without the leading slash of an absolute path, and whether it had one."""
    if sequence and sequence[0] == Step(((_SLASH, _SLASH),)):
        return sequence[1:], True
    return sequence, False
