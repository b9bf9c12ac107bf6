"""Whatever a client sends, a hook exits 0, prints nothing or one JSON document, and says what failed in one line."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from fuzz.mutations import CORPUS, JSON, damaged, fuzzed, torn
from hypothesis import example, given
from hypothesis import strategies as st
from security.stage import ALICE, MARK, Stage, check_text, context_of, stages
from security.test_words import HARMLESS, says_everything

from agentsync.core.visible import is_visible

if TYPE_CHECKING:
    from collections.abc import Iterator

PAYLOADS = [json.loads(path.read_bytes()) for path in sorted(CORPUS.glob("*.json"))]

EVENTS = st.sampled_from(
    [
        "session-start",
        "user-prompt-submit",
        "pre-tool-use",
        "post-tool-use",
        "post-tool-batch",
        "stop",
        "session-end",
        "ping",
    ]
)


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    """One repository for all: whatever was sent, the next call is answered."""
    with pytest.MonkeyPatch.context() as patch, stages(patch, _Output(), "repo") as (made,):  # type: ignore[arg-type]
        yield made


class _Output:
    """Stands in for `capfd`, which lives for one test only."""

    def __init__(self) -> None:
        self.capfd: Any = None

    def readouterr(self) -> Any:
        return self.capfd.readouterr()


@pytest.fixture
def board(stage: Stage, capfd: pytest.CaptureFixture[str]) -> Stage:
    stage._capfd.capfd = capfd  # type: ignore[attr-defined]
    if not stage.state.exists():
        stage.makes(ALICE, "register", "--name", "Alice")
        says_everything(stage, HARMLESS)
    return stage


def answers(board: Stage, event: str, payload: bytes) -> None:
    start = time.monotonic()
    # The root by order: a working directory that was mutated must not make a board where it leads.
    said = board.raw(ALICE, event, payload, AGENT_SYNC_ROOT=str(board.root))
    assert time.monotonic() - start < 10
    assert said.code == 0
    assert all(c == "\n" or is_visible(c) for c in said.err), said.err
    assert said.err.count("\n") <= 12
    if said.out and event != "ping":
        check_text(context_of(said), payload)
        assert len(context_of(said)) <= 8000


@fuzzed(60)
@given(event=EVENTS, payload=damaged(PAYLOADS))
@example(
    event="pre-tool-use", payload={"session_id": "\0", "cwd": "/\0", "tool_name": "Edit", "tool_input": {"path": "\0"}}
)
def test_payloads_of_all_clients_with_parts_of_another_shape(board: Stage, event: str, payload: Any) -> None:
    answers(board, event, json.dumps(payload).replace("@CWD@", str(board.root)).encode())


@fuzzed(40)
@given(event=EVENTS, payload=torn([json.dumps(payload).encode() for payload in PAYLOADS]))
@example(event="stop", payload=b'{"session_id":"\\ud800"}')
@example(event="pre-tool-use", payload=b"[" * 200_000)
def test_payloads_that_are_torn(board: Stage, event: str, payload: bytes) -> None:
    answers(board, event, payload.replace(b"@CWD@", str(board.root).encode()))


@fuzzed(15)
@given(event=st.text(max_size=20), payload=JSON)
def test_events_that_nobody_knows(board: Stage, event: str, payload: Any) -> None:
    answers(board, event, json.dumps(payload).encode())


def test_after_all_that_the_hook_still_judges(board: Stage) -> None:
    """No test above means anything if the hook has long stopped to answer."""
    said = board.hooks("carol", "pre-tool-use", "src/app.py")
    assert MARK in context_of(said)


@pytest.mark.parametrize(
    "wrong", [SystemExit(2), "x\x1b[2J", {"hookSpecificOutput": {"additionalContext": f"{MARK}!"}}]
)
def test_a_hook_that_goes_wrong_is_found(board: Stage, monkeypatch: pytest.MonkeyPatch, wrong: Any) -> None:
    """Broken on purpose: one exits 2, one lets a terminal be steered, one forgets the frame."""
    from agentsync.hook import entry

    def handle(*_: object) -> None:
        if isinstance(wrong, SystemExit):
            raise wrong
        if isinstance(wrong, str):
            entry._say(wrong)
        else:
            entry._print(wrong)

    monkeypatch.setitem(entry.HANDLERS, "stop", handle)
    with pytest.raises((AssertionError, SystemExit)):
        answers(board, "stop", b"{}")
