"""The grammar of Codex patches."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentsync.shell import patch


@pytest.mark.parametrize(
    ("text", "paths"),
    [
        ("", None),
        ("*** Update File: a", None),
        ("*** Begin Patch\n*** End Patch\n", ()),
        (
            "*** Begin Patch\n*** Update File: a\n*** Move to: b\n@@ x\n-1\n+2\n*** Delete File: c\n*** End Patch",
            ("a", "b", "c"),
        ),
        ("*** Begin Patch\r\n*** Add File: a\r\n+1\r\n*** End Patch\r\n", ("a",)),
        ("<<'EOF'\n*** Begin Patch\n*** Delete File: a\n*** End Patch\nEOF", ("a",)),
        (
            "*** Begin Patch\n*** Update File: a\n@@\n *** Delete File: context\n-*** Add File: old\n+*** Add File: new\n*** End Patch",
            ("a",),
        ),
        ("*** Begin Patch\n*** Add File: a\n+*** Delete File: text\n  *** Delete File: b\n*** End Patch", ("a", "b")),
        ("*** Begin Patch\n*** Update File: a\n@@\n+cut off", ("a",)),
        ("*** Begin Patch\n*** Update File: a\n*** Update File: a\n*** End Patch", ("a",)),
    ],
)
def test_the_files_of_a_patch(text: str, paths: tuple[str, ...] | None) -> None:
    assert patch.paths(text) == paths


@given(st.text() | st.lists(st.sampled_from(["*** Begin Patch", "*** Add File: ", "+", "x", "\n", " "])).map("".join))
def test_any_text_is_read(text: str) -> None:
    patch.paths(text)


# ---------------------------------------------------------------- what the real `apply_patch` does was tried
def lines_of(*lines: str) -> str:
    return "\n".join(["*** Begin Patch", *lines, "*** End Patch"])


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (lines_of("*** Update File: a.py", "@@", "-x", "+y"), ("a.py",)),
        (lines_of("*** Add File: a.py", "+x"), ("a.py",)),
        (lines_of("*** Delete File: a.py"), ("a.py",)),
        (lines_of("*** Update File: a.py", "*** Move to: b/c.py", "@@", "-x", "+y"), ("a.py", "b/c.py")),
        (lines_of("*** Add File: n", "+1", "*** Update File: f", "@@", "-x", "*** Delete File: g"), ("n", "f", "g")),
        (lines_of("*** Update File: a.py", "@@", "-x", "*** End of File", "*** Delete File: g"), ("a.py", "g")),
        (lines_of("*** Environment ID: x", "*** Delete File: g"), ("g",)),
        (lines_of("*** Add File: two words.md", "+x"), ("two words.md",)),
        (lines_of('*** Add File: "q"', "+x"), ('"q"',)),
        (lines_of("*** Delete File: /abs/../g"), ("/abs/../g",)),
        (lines_of("*** Update File: f  ", "*** Move to: h\t", "@@", "-a"), ("f", "h")),
        (lines_of("   *** Delete File: g"), ("g",)),
        (lines_of("*** Add File: n", "+1", "   *** Delete File: g"), ("n", "g")),
        (lines_of("*** Delete File: g").replace("\n", "\r\n"), ("g",)),
        ("<<'EOF'\n" + lines_of("*** Delete File: g") + "\nEOF", ("g",)),
        ("cd x && apply_patch <<EOF\n" + lines_of("*** Delete File: g") + "\nEOF", ("g",)),
        (lines_of("*** Delete File: g", "*** Delete File: g"), ("g",)),
        (lines_of("*** Delete File:  g"), (" g",)),
    ],
)
def test_every_file_that_codex_would_write_is_named(text: str, wanted: tuple[str, ...]) -> None:
    assert patch.paths(text) == wanted


@pytest.mark.parametrize(
    "text",
    [
        lines_of("*** Add File: a", "+*** Delete File: g"),
        lines_of("*** Update File: a", "@@", " *** Delete File: g", "+*** Add File: g", "-*** Move to: g"),
        lines_of("*** Update File: a", "@@", "-x", "  *** Delete File: g"),
    ],
)
def test_a_line_of_a_file_is_no_header(text: str) -> None:
    assert patch.paths(text) == ("a",)


@pytest.mark.parametrize(
    "text", ["", "*** Delete File: g", "echo", lines_of(), lines_of("*** Delete File: ", "*** delete file: g")]
)
def test_what_is_no_patch_names_nothing(text: str) -> None:
    assert not patch.paths(text)
