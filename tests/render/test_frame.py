"""The frame and the escapes: whatever another agent wrote stays inside, on its line, and does nothing to a terminal."""

from __future__ import annotations

import shlex
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agentsync.render.frame import CLOSE, OPEN, escape, framed, quoted, shorten_path

anything = st.text(st.characters(), max_size=60) | st.text(
    st.sampled_from(
        [*"\0\a\b\t\n\v\f\r\x1b\x7f\x85\x9b<>/\\'\"`$ -@", "\u2028", "\u202e", "\u200b", "\ufeff", "\udcff"]
    )
)

IGNORABLE = [
    *(0x00AD, 0x034F, 0x061C, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x180B, 0x180E, 0x3164, 0xFEFF, 0xFFA0),
    *(0x200B, 0x200C, 0x200D, 0x200E, 0x200F, 0x202A, 0x202E, 0x2060, 0x2064, 0x2066, 0x2069, 0x206F),
    *(0xFE00, 0xFE0F, 0xE0001, 0xE0041, 0xE007F, 0xE0100, 0xE01EF),
]
"""Characters that nobody sees (Default_Ignorable_Code_Point): text can be hidden in them, or turned around."""


@given(anything)
@example("\x1b]0;title\x07\x1b[2J")
@example("a\r\nb\u2028c\u2029d\x85e\x0bf\x0cg\x1ch")
def test_an_escaped_text_is_one_line_that_prints(text: str) -> None:
    said = escape(text)
    assert said.isprintable()
    assert len(said.splitlines()) <= 1
    said.encode()  # surrogates are gone


@given(st.text(st.characters(categories=["L", "N", "P", "S"], exclude_characters=map(chr, IGNORABLE))))
def test_what_can_be_seen_stays_as_it_is(text: str) -> None:
    assert escape(text) == text


@pytest.mark.parametrize("code", IGNORABLE, ids=lambda code: f"U+{code:04X}")
def test_what_cannot_be_seen_is_written_as_an_escape(code: int) -> None:
    said = escape(f"a{chr(code)}b")
    assert chr(code) not in said, unicodedata.name(chr(code), "?")
    assert said == "a" + chr(code).encode("unicode_escape").decode() + "b"


@given(anything, st.integers(1, 50))
@example("\U000e0041" * 9, 50)
def test_a_limit_is_one_and_what_is_cut_leaves_a_mark(text: str, limit: int) -> None:
    """It counts what is shown: an escape is ten times as long as what it stands for."""
    whole, said = escape(text), escape(text, limit)
    assert len(said) <= limit
    assert said == whole if len(whole) <= limit else said == whole[: limit - 1] + "…"


@given(st.lists(anything, max_size=5))
def test_nothing_inside_opens_or_closes_the_frame_or_adds_a_line(lines: list[str]) -> None:
    said = framed([escape(line) for line in lines]).split("\n")
    assert (said[0], said[-1], len(said)) == (OPEN, CLOSE, len(lines) + 2)
    assert not any("<" in line or ">" in line for line in said[1:-1])


@given(anything)
@example("a" * 300)
@example("\x1b" * 200)
def test_a_shortened_path_is_short_and_prints(path: str) -> None:
    said = shorten_path(path, 40)
    assert len(said) <= 40
    assert said.isprintable()


def test_a_shortened_path_keeps_both_ends() -> None:
    said = shorten_path("src/" + "deep/" * 100 + "file.py", 60)
    assert said.startswith("src/deep/")
    assert said.endswith("/file.py")


@given(anything | st.text("abc/._-@$`'\" *[]{}!#&;|<>~\\"))
@example("-rf")
@example("--all")
@example("$(id)")
@example("a b")
def test_a_quoted_path_is_one_word_for_a_shell_and_no_option(path: str) -> None:
    said = quoted(path)
    if said is not None:
        assert said.isprintable()
        (word,) = shlex.split(said)
        assert word == path or word == f"./{path}"
        assert not word.startswith("-")


@pytest.mark.parametrize("path", ["src/api.py", "a b.py", "pages/[id].tsx", "ü.md", "@db", "src/"])
def test_usual_paths_can_be_quoted(path: str) -> None:
    assert quoted(path) is not None
