"""Paths and configuration: what a typed path means agrees with the system, whatever is typed on whatever tree.

Overlap of patterns against brute force is in `tests/core/test_globs.py`; the gate against Python in
`tests/hook/test_gate_law.py`; the settings file there and back in `tests/ops/test_settings_text.py`.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from fuzz.mutations import JSON, ODD_TEXTS, TEXTS, damaged, fuzzed, torn
from hypothesis import example, given
from hypothesis import strategies as st
from security.stage import MEMORY
from world import make_repo

from agentsync.clients import claude, settings_text
from agentsync.core import policy
from agentsync.core.paths import ROOT, decode, encode, looks_like_glob
from agentsync.errors import AgentSyncError, UsageError
from agentsync.store import settings
from agentsync.store.locate import locate, resolve

if TYPE_CHECKING:
    from collections.abc import Iterator

NAMES = ["a", "b", "é", "x.py", "[id].tsx", "sp ace", "..."]

LINKS = {
    "up": "..",
    "self": ".",
    "to-a": "a",
    "abs": "/",
    "out": "../outside",
    "loop": "loop",
    "deep": "a/b",
    "gone": "no/no",
}


@pytest.fixture(scope="module")
def tree() -> Iterator[Path]:
    """A repository with directories, files, and links of all kinds in every one of them."""
    with tempfile.TemporaryDirectory(dir=MEMORY) as top:
        root = Path(os.path.realpath(make_repo(Path(top) / "repo")))
        (root.parent / "outside").mkdir()
        for folder in (root, root / "a", root / "a/b", root.parent / "outside"):
            folder.mkdir(exist_ok=True)
            for name in NAMES:
                if not (folder / name).exists():
                    (folder / name).mkdir() if name in ("a", "b", "é") else (folder / name).touch()
            for name, target in LINKS.items():
                (folder / name).symlink_to(target)
        yield root


PARTS = st.sampled_from([*NAMES, *LINKS, "..", ".", "", "new", "e\u0301", "src", "app.py"])


@fuzzed(150)
@given(
    parts=st.lists(PARTS, min_size=1, max_size=7), cwd=st.sampled_from(["", "a", "a/b", "src"]), absolute=st.booleans()
)
@example(parts=["up", "..", "outside", "a"], cwd="a", absolute=False)
@example(parts=["loop", "x"], cwd="", absolute=False)
@example(parts=["loop", "..", "up"], cwd="a", absolute=False)  # was taken for another repository
def test_a_typed_path_means_what_the_system_says(parts: list[str], cwd: str, absolute: bool, tree: Path) -> None:
    here = str(tree / cwd).rstrip("/")
    typed = "/".join(parts)
    typed = f"{tree}/{typed}" if absolute else typed
    real = os.path.realpath(os.path.realpath(os.path.join(here, typed)))  # twice, because of links to themselves
    try:
        place, target = resolve(typed, here, locate(here, {}), {})
    except UsageError:
        inside = f"{tree}/".startswith(real.rstrip("/") + "/") and real != str(tree)
        behind = ".." in parts and any(looks_like_glob(part) for part in parts)
        assert not typed.strip() or inside or behind, typed
        return
    if target.scope == "glob":
        assert any(looks_like_glob(part) for part in parts)
        return
    assert place.root == str(tree)
    name = target.path.rstrip("/") if target.path != "/" else "/"
    if target.path == ROOT:
        assert real == str(tree)
    elif name.startswith("/"):
        assert unicodedata.normalize("NFC", os.path.normpath(real)) == name
        assert not real.startswith(f"{tree}/")
    else:
        expected = unicodedata.normalize("NFC", os.path.relpath(real, tree))
        assert name == expected
        assert ".." not in name.split("/")
    is_directory = typed.endswith("/") or os.path.isdir(real)
    assert (target.scope == "dir") == (is_directory or target.path == ROOT)


@fuzzed(100)
@given(typed=TEXTS | st.lists(ODD_TEXTS, max_size=4).map("/".join))
def test_anything_typed_is_a_target_or_a_usage_error(typed: str, tree: Path) -> None:
    try:
        _, target = resolve(typed, str(tree), locate(str(tree), {}), {})
    except UsageError:
        return
    stem = encode(target.path)
    assert len(stem.encode()) < 200
    assert "/" not in stem
    assert stem not in (".", "..")
    assert decode(stem) in (None, target.path)


@fuzzed(60)
@given(path=st.text(min_size=1, max_size=80))
def test_names_of_files_are_plain_and_lead_back(path: str) -> None:
    name = encode(path)
    assert name.isascii()
    assert name.isprintable()
    assert not {"/", "\\", "\0", " ", "~"} & set(name[1:])
    assert not name.startswith(".")
    assert decode(name) in (None, path)


# ---------------------------------------------------------------- configuration and settings
CONFIGS = [
    b'auto_lock = true\nworktrees = "deny"\nttl_minutes = 60\n[paths]\nshared = ["CHANGELOG.md"]\nrequired = ["db/**"]\n',
    b'stale_minutes = 5\noffline_minutes = 120\n[paths]\nignore = ["dist/", "**/*.lock"]\n',
]


@fuzzed(80)
@given(data=torn(CONFIGS))
@example(data=b"a = " + b"[" * 50_000)
@example(data=b"a." * 30_000 + b"a = 1")  # took 12 s
@example(data=b"a." * 8_000 + b"a = 1")
@example(data=b"\xff\xfe")
def test_any_configuration_is_one_or_the_defaults_and_soon(data: bytes) -> None:
    start = time.monotonic()
    with tempfile.TemporaryDirectory(dir=MEMORY) as top:
        (Path(top) / ".claude").mkdir()
        (Path(top) / settings.NAME).write_bytes(data)
        config, warnings = settings.load(top, top)
        config.class_of("src/app.py")
        assert len(warnings) <= settings.MAX_WARNINGS + 1
        assert all(len(warning) < 400 for warning in warnings)
    assert time.monotonic() - start < 5, "a client waits for ten seconds"


@fuzzed(80)
@given(table=st.dictionaries(st.sampled_from([*policy._MINUTES, "auto_lock", "worktrees", "paths", "x"]) | TEXTS, JSON))
def test_any_table_is_a_configuration(table: dict[str, Any]) -> None:
    config, _ = policy.from_table(table)
    assert config.worktrees in policy.WORKTREES
    config.class_of("a/b.py")


SETTINGS = [
    {
        "hooks": {"Stop": [{"hooks": [{"type": "command", "command": "x"}]}]},
        "permissions": {"allow": ["Bash"]},
        "n": 1.50,
    },
    {"hooks": {"PreToolUse": [{"matcher": "Edit", "hooks": [{"type": "command", "command": claude.COMMAND}]}]}},
    {},
]


@fuzzed(80)
@given(document=damaged(SETTINGS), data=torn([json.dumps(one, indent=2).encode() for one in SETTINGS]))
def test_settings_are_refused_or_come_back_as_they_were(document: Any, data: bytes) -> None:
    for text in (json.dumps(document), data.decode("utf-8", "replace")):
        try:
            before = settings_text.parse(text, "here")
        except AgentSyncError:
            continue
        merged = settings_text.with_hooks(before, claude.handlers(strict=False), claude.is_ours)
        rendered = settings_text.render(merged, text)
        again = settings_text.parse(rendered, "here")
        assert settings_text.with_hooks(again, claude.handlers(strict=False), claude.is_ours) == again
        assert _theirs(again) == _theirs(before)


def _theirs(table: dict[str, Any]) -> dict[str, Any]:
    left = settings_text.without_hooks(table, claude.is_ours)
    hooks = {event: groups for event, groups in left.get("hooks", {}).items() if groups}
    return {**{key: value for key, value in left.items() if key != "hooks"}, **({"hooks": hooks} if hooks else {})}
