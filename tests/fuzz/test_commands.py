"""Whatever is typed, a command ends with one of its exit codes and says in visible words what it did not understand."""

from __future__ import annotations

import argparse
import json
import os
import time
from typing import TYPE_CHECKING, Any

import pytest
from fuzz.mutations import ODD_TEXTS, fuzzed
from fuzz.test_hook_payloads import _Output
from hypothesis import example, given
from hypothesis import strategies as st
from security.stage import ALICE, Stage, stages
from security.test_words import HARMLESS, says_everything

from agentsync.cli.parser import build
from agentsync.core.visible import is_visible

if TYPE_CHECKING:
    from collections.abc import Iterator

NOT_HERE = {"console", "demo", "hook", "doctor", "watch"}
"""They build a repository of their own, read stdin, start processes, do not end."""


def _grammar() -> dict[str, list[tuple[list[str], bool]]]:
    """Commands, with their options and whether these take a value; an argument by position has no name."""
    (commands,) = [a for a in build()._actions if isinstance(a, argparse._SubParsersAction)]
    found = {}
    for name, parser in commands.choices.items():
        actions = [a for a in parser._actions if a.dest != "help" and "--follow" not in a.option_strings]
        found[name] = [(list(a.option_strings), a.nargs != 0) for a in actions]
    return found


GRAMMAR = {name: actions for name, actions in _grammar().items() if name not in NOT_HERE}

VALUES = (
    ODD_TEXTS
    | st.sampled_from(
        ["src/app.py", "src/", "*.py", "Alice", "mallory", "bob", "t-", "m-1", "0", "1", "-1", "60", "30m"]
    )
    | st.sampled_from(["\udcff", "\ud800", "a\udcffb/c", "x" * 1_000_000, "界" * 30_000, "9" * 5000])
    | st.text(max_size=20)
).map(lambda text: text.replace("\0", ""))  # no system passes one on


@st.composite
def lines(draw: st.DrawFn) -> list[str]:
    name = draw(st.sampled_from(sorted(GRAMMAR)))
    words = []
    for names, takes_value in GRAMMAR[name]:
        if names and draw(st.integers(0, 2)):
            continue
        value = draw(VALUES) if takes_value else None
        if "--wait" in names:
            words.append(f"--wait={draw(st.sampled_from(['0', '0.01', '-1', 'nan', 'inf', '1e400', 'x', '٣']))}")
        elif "-C" in names:
            continue  # elsewhere there may be anything
        elif names and value is not None:
            words += [f"{names[-1]}={value}"] if draw(st.booleans()) else [names[-1], value]
        elif names:
            words.append(names[-1])
        elif value is not None:
            words.append(value)
    return [name, *words]


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with pytest.MonkeyPatch.context() as patch, stages(patch, _Output(), "repo") as (made,):  # type: ignore[arg-type]
        yield made


@pytest.fixture
def board(stage: Stage, capfd: pytest.CaptureFixture[str]) -> Stage:
    stage._capfd.capfd = capfd  # type: ignore[attr-defined]
    if not stage.state.exists():
        stage.makes(ALICE, "register", "--name", "Alice")
        says_everything(stage, HARMLESS)
    return stage


def _stays(board: Stage, word: str) -> bool:
    """Whether a word, if it is a path, leads to nowhere outside of the repository."""
    if any("\ud800" <= char <= "\udbff" for char in word):
        return True  # it is no path at all
    return os.path.realpath(os.path.join(board.root, word)).startswith(f"{os.path.realpath(board.root)}/")


def goes(board: Stage, words: list[str]) -> None:
    named = [word for given in words[1:] for word in (given, given.partition("=")[2]) if word]
    if words[:1] in (["append"], ["export"], ["metrics"]) and not all(_stays(board, word) for word in named):
        return  # it would be done
    start = time.monotonic()
    said = board.types(ALICE, *words, AGENT_SYNC_ROOT=str(board.root))
    assert time.monotonic() - start < 20, words[:1]
    of_a_program = (126, 127) if words[:1] == ["run"] else ()  # one that cannot be started
    assert said.code in (0, 1, 2, 3, 4, 5, 6, *of_a_program), words
    assert "internal error" not in said.out + said.err, (words, said.out[:500], said.err[:500])
    assert "Traceback" not in said.err
    assert all(c == "\n" or is_visible(c) for c in said.out + said.err), words
    assert len(said.err) < 20_000
    if "--json" in words and said.code != 2 and words[0] != "export":  # which has one a line
        for document in [said.out] if said.out.startswith(("{", "[")) else []:
            json.loads(document)


@fuzzed(60)
@given(words=lines())
@example(words=["log", "--since", "99999999999999d"])
@example(words=["append", "a\udcff", "--content", "\udcff"])
@example(words=["log", "x", "--file", "\udcff"])
@example(words=["append", "x", "--content", "\ud800"])
@example(words=["uninstall", "--dry-run", "--agents-md", "\ud800"])
@example(words=["conflicts", "--json", "\ud800"])
@example(words=["lock", "x", "--ttl", "9" * 5000])
def test_any_words_in_any_place(board: Stage, words: list[str]) -> None:
    goes(board, words)


@fuzzed(25)
@given(words=st.lists(VALUES | st.sampled_from(sorted(GRAMMAR)), max_size=4))
def test_any_words_at_all(board: Stage, words: list[str]) -> None:
    if words[:1] and words[0] in NOT_HERE:
        return
    if "-C" in words:
        return
    goes(board, words)


def test_after_all_that_the_board_is_still_there(board: Stage) -> None:
    said: Any = json.loads(board.types("carol", "status", "--json").out)
    assert {"alice", "mallory"} <= {agent["id"] for agent in said["agents"]}
    assert board.types("carol", "lock", "--resource", "fresh").code == 0, "whatever paths are held"


def test_a_command_that_breaks_is_found(board: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Broken on purpose: bytes that are no text get past the codec."""
    from agentsync.store import codec

    monkeypatch.setattr(codec, "compact", lambda record: codec._encoder.encode(record))
    with pytest.raises(AssertionError, match="internal error"):
        goes(board, ["log", "a\udcff"])
