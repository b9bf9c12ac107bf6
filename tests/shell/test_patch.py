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
