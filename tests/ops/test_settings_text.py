"""Whatever a settings file looks like: our hooks go in, everything else stays, and the old bytes come back.

Each example is a directory of its own with real files, without git: nothing here depends on it, and it is slow.
"""

from __future__ import annotations

import json
import os
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from world import World

from agentsync.clients import claude, settings_text
from agentsync.clients.call import GATE
from agentsync.errors import AgentSyncError
from agentsync.ops import install

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BOM = b"\xef\xbb\xbf"

MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
"""Where syncing costs nothing: thousands of files are written here."""


class Folder:
    """A project with one agent and perhaps a settings file."""

    def __init__(self, top: Path, content: bytes | None = None) -> None:
        self.player = World(top, git_repo=False).agent("me")
        self.path = Path(self.player.runtime.cwd) / claude.SETTINGS
        if content is not None:
            self.path.parent.mkdir(parents=True)
            self.path.write_bytes(content)

    @property
    def content(self) -> bytes | None:
        return self.path.read_bytes() if self.path.exists() else None

    @property
    def settings(self) -> dict[str, Any]:
        return json.loads(self.path.read_bytes())

    def installs(self, **options: bool) -> install.Outcome:
        return install.install(self.player.session, claude, **options)

    def uninstalls(self) -> install.Outcome:
        return install.uninstall(self.player.session, claude)


@contextmanager
def folder(content: bytes | None) -> Iterator[Folder]:
    with tempfile.TemporaryDirectory(dir=MEMORY) as top:
        yield Folder(Path(top), content)


# ---------------------------------------------------------------- settings as people have them
words = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats(allow_nan=False, allow_infinity=False)
    | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=8,
)
handlers = st.builds(
    lambda more, command: {"type": "command", "command": command, **more},
    st.dictionaries(words.filter(lambda key: key not in ("command", "args")), values, max_size=2),
    words.filter(lambda command: not claude.is_ours({"command": command})),
)
groups = st.builds(
    lambda matcher, hooks, more: {**more, **matcher, "hooks": hooks},
    st.fixed_dictionaries({}, optional={"matcher": words}),
    st.lists(handlers, max_size=3),
    st.dictionaries(words.filter(lambda key: key not in ("matcher", "hooks")), values, max_size=1),
)
events = st.sampled_from([*claude.EVENTS, "Notification", "PreCompact"]) | words
tables = st.builds(
    lambda before, hooks, after: {**before, **hooks, **{k: v for k, v in after.items() if k not in before}},
    st.dictionaries(words.filter(lambda key: key != "hooks"), values, max_size=3),
    st.fixed_dictionaries({}, optional={"hooks": st.dictionaries(events, st.lists(groups, max_size=2), max_size=4)}),
    st.dictionaries(words.filter(lambda key: key != "hooks"), values, max_size=3),
)


@st.composite
def manners(draw: st.DrawFn) -> Callable[[Any], bytes]:
    """A way to write JSON: indentation, spacing, escapes, line ends, blank lines around it."""
    indent = draw(st.sampled_from([None, 0, 1, 2, 3, 4, "\t"]))
    comma = "," if indent is not None else draw(st.sampled_from([",", ", "]))
    colon = draw(st.sampled_from([":", ": ", " : "]))
    is_ascii = draw(st.booleans())
    crlf = draw(st.booleans())
    end = draw(st.sampled_from(["", "\n", "\n\n", "  \n"]))
    start = draw(st.sampled_from(["", "\n", " "]))

    def write(value: Any) -> bytes:
        text = start + json.dumps(value, indent=indent, separators=(comma, colon), ensure_ascii=is_ascii) + end
        return (text.replace("\n", "\r\n") if crlf else text).encode()

    return write


files = (
    st.none()
    | st.sampled_from([b"", b"\n", b" \r\n", b"{}", b"{}\n", b'{"hooks":{}}'])
    | st.builds(lambda table, write: write(table), tables, manners())
)


def exact(value: Any) -> str:
    """A value as text: unlike `==`, this tells 1 from 1.0 and from true, and one order of keys from another."""
    return json.dumps(value, ensure_ascii=True)


def parsed(content: bytes | None) -> dict[str, Any]:
    return json.loads(content) if content and content.strip() else {}


def foreign(table: dict[str, Any]) -> dict[str, Any]:
    """The settings without our handlers and without the empty shells around where they were."""
    hooks: dict[str, Any] = {}
    for event, there in table.get("hooks", {}).items():
        kept = []
        for group in there:
            others = [handler for handler in group["hooks"] if not claude.is_ours(handler)]
            if others or not group["hooks"]:
                kept.append({**group, "hooks": others})
        if kept:
            hooks[event] = kept
    rest = {key: value for key, value in table.items() if key != "hooks"}
    return {**rest, "hooks": hooks} if hooks else rest


def ours(table: dict[str, Any]) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for event, there in table.get("hooks", {}).items():
        for handler in (handler for group in there for handler in group["hooks"]):
            if claude.is_ours(handler):
                found.setdefault(event, []).append(handler)
    return found


# ---------------------------------------------------------------- in and out
@settings(deadline=None, max_examples=80)
@given(files)
def test_installing_and_uninstalling_gives_back_every_byte(content: bytes | None) -> None:
    with folder(content) as at:
        at.installs()
        assert at.content != content
        at.uninstalls()
        assert at.content == content


@settings(deadline=None, max_examples=60)
@given(files, st.booleans())
def test_installing_twice_is_installing_once(content: bytes | None, strict: bool) -> None:
    with folder(content) as at:
        at.installs(strict=strict)
        once = at.content
        assert at.installs(strict=strict).changes == ()
        assert at.content == once
        at.uninstalls()
        assert at.content == content


@settings(deadline=None, max_examples=60)
@given(files)
def test_changing_the_strictness_still_gives_back_every_byte(content: bytes | None) -> None:
    with folder(content) as at:
        at.installs()
        mild = ours(at.settings)
        at.installs(strict=True)
        assert ours(at.settings)["PreToolUse"] != mild["PreToolUse"]
        at.installs()
        assert ours(at.settings) == mild
        at.uninstalls()
        assert at.content == content


@settings(deadline=None, max_examples=80)
@given(files)
def test_hooks_of_others_survive_in_their_order_and_ours_are_there_once(content: bytes | None) -> None:
    with folder(content) as at:
        at.installs()
        assert exact(foreign(at.settings)) == exact(foreign(parsed(content)))
        assert {event: len(there) for event, there in ours(at.settings).items()} == dict.fromkeys(claude.EVENTS, 1)
        for event, there in at.settings["hooks"].items():  # whoever was first stays first
            assert exact(there[: len(before := parsed(content).get("hooks", {}).get(event, []))]) == exact(before)


@settings(deadline=None, max_examples=60)
@given(tables, manners())
def test_the_file_keeps_its_manner(table: dict[str, Any], write: Callable[[Any], bytes]) -> None:
    content = write(table)
    with folder(content) as at:
        at.installs()
        now = at.content
        assert now is not None
        assert (b"\r\n" in now) == (b"\r\n" in content)
        assert now.endswith(b"\n") == content.endswith(b"\n")
        assert b"\r\r" not in now
        assert now.count(b"\n") == now.count(b"\r\n") or b"\r\n" not in content


@pytest.mark.parametrize("indent", ["  ", "    ", "\t", " "])
def test_what_is_added_is_indented_like_the_rest(indent: str) -> None:
    with folder(f'{{\n{indent}"a": 1\n}}\n'.encode()) as at:
        at.installs()
        assert at.content is not None
        lines = at.content.decode().splitlines()
        assert lines[1] == f'{indent}"a": 1,'
        assert lines[2] == f'{indent}"hooks": {{'
        assert lines[3] == f'{indent * 2}"SessionStart": ['


# ---------------------------------------------------------------- others edit in between
def _adds_a_key(table: dict[str, Any]) -> None:
    table["someone's new key"] = {"deep": ["ünïcode ☃", None]}


def _removes_what_is_first(table: dict[str, Any]) -> None:
    first = next((key for key in table if key != "hooks"), None)
    table.pop(first, None)


def _adds_a_hook_before_ours(table: dict[str, Any]) -> None:
    table.setdefault("hooks", {}).setdefault("PreToolUse", []).insert(
        0, {"hooks": [{"type": "command", "command": "a"}]}
    )


def _adds_a_hook_after_ours(table: dict[str, Any]) -> None:
    table.setdefault("hooks", {}).setdefault("Stop", []).append({"hooks": [{"type": "command", "command": "b"}]})


def _adds_an_event(table: dict[str, Any]) -> None:
    table.setdefault("hooks", {})["Notification"] = [{"matcher": "*", "hooks": [{"type": "command", "command": "c"}]}]


def _turns_numbers_into_truths(table: dict[str, Any]) -> None:
    for key, value in table.items():
        if type(value) is int and value in (0, 1):
            table[key] = bool(value)


EDITS = [
    _adds_a_key,
    _removes_what_is_first,
    _adds_a_hook_before_ours,
    _adds_a_hook_after_ours,
    _adds_an_event,
    _turns_numbers_into_truths,
]


@settings(deadline=None, max_examples=120)
@given(files, manners(), st.lists(st.sampled_from(EDITS), min_size=1, max_size=3))
def test_what_others_edited_meanwhile_survives_and_ours_are_gone(
    content: bytes | None, write: Callable[[Any], bytes], edits: list[Callable[[dict[str, Any]], None]]
) -> None:
    with folder(content) as at:
        at.installs()
        now, alone = at.settings, parsed(content)
        for edit in edits:
            edit(now)
            edit(alone)
        at.path.write_bytes(write(now))
        at.uninstalls()
        left = parsed(at.content)
        assert ours(left) == {}
        assert foreign(left) == foreign(alone)


@settings(deadline=None, max_examples=40)
@given(files, manners())
def test_reformatting_alone_changes_nothing_that_counts(content: bytes | None, write: Callable[[Any], bytes]) -> None:
    with folder(content) as at:
        at.installs()
        at.path.write_bytes(write(at.settings))
        at.uninstalls()
        assert exact(foreign(parsed(at.content))) == exact(foreign(parsed(content)))


@pytest.mark.parametrize("other", ["1.0", "true", "1"])
@pytest.mark.parametrize("first", ["1.0", "true", "1"])
def test_python_thinks_them_equal_but_the_file_does_not(first: str, other: str) -> None:
    with folder(f'{{"verbose": {first}}}\n'.encode()) as at:
        at.installs()
        assert at.content is not None
        at.path.write_bytes(at.content.replace(f'"verbose": {first}'.encode(), f'"verbose": {other}'.encode()))
        at.uninstalls()
        assert json.dumps(at.settings["verbose"]) == other


def test_a_handler_that_others_put_into_our_group_stays_in_it() -> None:
    with folder(None) as at:
        at.installs()
        table = at.settings
        table["hooks"]["PreToolUse"][0]["hooks"].append({"type": "command", "command": "lint"})
        at.path.write_text(json.dumps(table))
        at.uninstalls()
        (group,) = at.settings["hooks"]["PreToolUse"]
        assert [handler["command"] for handler in group["hooks"]] == ["lint"]
        assert group["matcher"] == claude.EVENTS["PreToolUse"][1]


def test_hooks_of_an_earlier_version_are_replaced_not_added_to() -> None:
    old = {"hooks": {"PreToolUse": [{"hooks": [{"type": "command", "command": f"/old/{GATE}"}]}]}}
    with folder(json.dumps(old).encode()) as at:
        at.installs()
        assert [len(there) for there in ours(at.settings).values()] == [1] * len(claude.EVENTS)


# ---------------------------------------------------------------- numbers
@pytest.mark.parametrize(
    "number", ["1e400", "-1e400", "123456789012345678901234567890", "-0.0", "1E5", "0.1", "5e-324"]
)
def test_numbers_stay_valid_and_the_same(number: str) -> None:
    """As JavaScript reads them: JSON has no Infinity, so writing one would break the file for the client."""

    def no_constant(word: str) -> None:
        raise AssertionError(f"{word} is no JSON")

    with folder(f'{{"n": {number}}}\n'.encode()) as at:
        try:
            at.installs()
        except AgentSyncError:
            assert at.content == f'{{"n": {number}}}\n'.encode()
        else:
            assert at.content is not None
            written = json.loads(at.content, parse_constant=no_constant)
            assert float(written["n"]) == float(number)


# ---------------------------------------------------------------- what is not understood
REFUSED: dict[str, bytes] = {
    "broken off": b'{"hooks": {',
    "no JSON at all": b"hooks: yes\n",
    "a line comment": b'{\n  // mine\n  "a": 1\n}\n',
    "a block comment": b'{"a": 1 /* mine */}\n',
    "a comma too many": b'{"a": 1,}\n',
    "two documents": b"{}{}\n",
    "single quotes": b"{'a': 1}\n",
    "NaN, which is no JSON": b'{"a": NaN}\n',
    "Infinity, which is no JSON": b'{"a": -Infinity}\n',
    "a byte order mark": BOM + b'{"a": 1}\n',
    "UTF-16": '{"a": 1}'.encode("utf-16"),
    "Latin-1": '{"a": "ü"}'.encode("latin-1"),
    "NULs": b"\0\0\0\0",
    "a list on top": b"[]\n",
    "a text on top": b'"hooks"\n',
    "a number on top": b"1\n",
    "null on top": b"null\n",
    "hooks as a list": b'{"hooks": []}\n',
    "hooks as null": b'{"hooks": null}\n',
    "hooks as a text": b'{"hooks": "PreToolUse"}\n',
    "an event as an object": b'{"hooks": {"PreToolUse": {"matcher": "*"}}}\n',
    "an event as a text": b'{"hooks": {"Stop": "sh x"}}\n',
    "an event as null": b'{"hooks": {"Stop": null}}\n',
    "a group as a text": b'{"hooks": {"Stop": ["sh x"]}}\n',
    "a group without hooks": b'{"hooks": {"Stop": [{"command": "x"}]}}\n',
    "a group whose hooks are an object": b'{"hooks": {"Stop": [{"hooks": {"command": "x"}}]}}\n',
    "a handler as a text": b'{"hooks": {"Stop": [{"hooks": ["x"]}]}}\n',
    "a key twice": b'{"a": 1, "a": 2}\n',
    "hooks twice": b'{"hooks": {}, "hooks": {"Stop": []}}\n',
    "a key twice, deep inside": b'{"a": [{"b": 1, "b": 1}]}\n',
    "an event twice": b'{"hooks": {"Stop": [], "Stop": []}}\n',
    "nesting without end": b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_understood_is_an_error_and_stays_untouched(name: str, tmp_path: Path) -> None:
    at = Folder(tmp_path, REFUSED[name])
    with pytest.raises(AgentSyncError, match="left untouched") as refused:
        at.installs()
    assert str(at.path) in refused.value.message
    assert refused.value.hint
    assert at.content == REFUSED[name]
    assert sorted(path.name for path in at.path.parent.iterdir()) == ["settings.json"], "nothing else was begun"


@pytest.mark.parametrize("name", REFUSED)
def test_what_was_broken_after_the_installation_stays_untouched_too(name: str, tmp_path: Path) -> None:
    at = Folder(tmp_path)
    at.installs()
    at.path.write_bytes(REFUSED[name])
    with pytest.raises(AgentSyncError, match="left untouched"):
        at.uninstalls()
    assert at.content == REFUSED[name]
    gate = at.path.parent / "hooks/agent-sync"
    assert gate.exists(), "whatever the settings say now, the command they name must go on working"


@pytest.mark.parametrize(
    "text", [None, "", " \n", "{}", '{"hooks": {}}', '{"hooks": {"Stop": []}}', '{"hooks": {"Stop": [{"hooks": []}]}}']
)
def test_empty_shapes_are_understood(text: str | None) -> None:
    assert isinstance(settings_text.parse(text, "settings.json"), dict)


def test_an_escaped_half_of_a_character_stays_escaped(tmp_path: Path) -> None:
    at = Folder(tmp_path, b'{"a": "\\ud83d"}\n')
    at.installs()
    assert at.content is not None
    assert b"\\ud83d" in at.content
    at.uninstalls()
    assert at.content == b'{"a": "\\ud83d"}\n'
