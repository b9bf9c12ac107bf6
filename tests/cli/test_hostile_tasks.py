"""Titles, checkpoints, notes, reasons, decisions and entries that want to be more than data.

As in `test_hostile_words`: Mallory chooses the words, and Alice sees as many lines as with a harmless Mallory, only text,
and all of it in the frame.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest
from cli.test_hostile_words import HARMLESS, LOUDEST, WORDS, Scene, only_text, outside, scenes

from agentsync.render.frame import CLOSE

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["scenes"]

IDS = re.compile(r"\b(t-[a-z0-9]{4}|\d+ s ago)\b")


def mallory(scene: Scene, word: str) -> None:
    """Say the word wherever one can say something about work. `Other` waits for Mallory's task."""
    scene.types("alice", "register", "--name", "Alice")
    for words in (
        ["register", "--name", word[:64]],
        ["create-task", f"T{word}", "--description", word, "--file", f"src/{word.replace('/', '_')}"],
        ["claim-task", "t-", "--lock"],
        ["checkpoint", "t-", word],
        ["note", "t-", word],
        ["create-task", "Other", "--depends-on", "t-"],
        ["create-task", f"Stuck{word}"],
        ["block-task", f"Stuck{word}", "--reason", word],
        ["decision", word],
        ["log", f"x{word}", "--file", "src/app.py"],
    ):
        assert scene.types("mallory", *words)[0] == 0, words


def task_of(scene: Scene) -> str:
    """The id of Mallory's task."""
    code, out, _ = scene.types("alice", "tasks", "--json")
    assert code == 0
    return str(next(task["id"] for task in json.loads(out) if task["owner"] == "mallory"))


VIEWS: list[Callable[[str], list[str]]] = [
    lambda _: ["tasks"],
    lambda _: ["status"],
    lambda _: ["status", "--compact"],
    lambda task: ["task", task],
    lambda task: ["claim-task", task],
    lambda task: ["complete-task", task],
    lambda _: ["claim-task", "Other"],
    lambda _: ["claim-next"],
    lambda _: ["decisions"],
    lambda _: ["log"],
    lambda _: ["log", "--agent", "mallory"],
    lambda _: ["history", "src/"],
    lambda _: ["history", "src/app.py"],
]


@pytest.mark.parametrize("name", WORDS)
def test_words_about_work_stay_on_their_line_and_in_the_frame(name: str, scenes: tuple[Scene, Scene]) -> None:
    plain, hostile = scenes
    for scene, word in ((plain, HARMLESS), (hostile, WORDS[name])):
        mallory(scene, word)
    for view in VIEWS:
        words = view(task_of(hostile))
        expected, said = plain.sees(*view(task_of(plain))), hostile.sees(*words)
        assert only_text(said), words
        assert len(said.split("\n")) == len(expected.split("\n")), words
        assert IDS.sub("", "\n".join(outside(said))) == IDS.sub("", "\n".join(outside(expected))), words
        assert CLOSE in said or words == ["claim-next"], words


@pytest.mark.parametrize("name", LOUDEST)
def test_taking_a_task_over_says_whose_it_was_without_letting_them_speak(
    name: str, scenes: tuple[Scene, Scene]
) -> None:
    told = []
    for scene, word in zip(scenes, (HARMLESS, WORDS[name]), strict=True):
        mallory(scene, word)
        said = scene.sees("claim-task", task_of(scene), "--force", "--lock")
        said += scene.sees("complete-task", task_of_alice(scene))
        told.append(said)
    expected, said = told
    assert only_text(said)
    assert len(said.split("\n")) == len(expected.split("\n"))
    assert "taken over from" in said


def task_of_alice(scene: Scene) -> str:
    _, out, _ = scene.types("alice", "tasks", "--mine", "--json")
    return str(json.loads(out)[0]["id"])


@pytest.mark.parametrize("name", LOUDEST)
def test_candidates_are_listed_without_letting_them_speak(name: str, scenes: tuple[Scene, Scene]) -> None:
    told = []
    for scene, word in zip(scenes, (HARMLESS, WORDS[name]), strict=True):
        mallory(scene, word)
        code, out, err = scene.types("alice", "claim-task", "t-")
        assert (code, out) == (4, "")
        told.append(err)
    expected, said = told
    assert only_text(said)
    assert len(said.split("\n")) == len(expected.split("\n"))
    assert "previous instructions" not in said


def test_json_has_the_words_as_they_are(scenes: tuple[Scene, Scene]) -> None:
    _, hostile = scenes
    word = WORDS["the end of the frame"]
    mallory(hostile, word)
    code, out, _ = hostile.types("alice", "task", task_of(hostile), "--json")
    said = json.loads(out)
    assert (code, said["checkpoint"], said["note"], said["description"]) == (0, word, word, word)
    assert json.loads(hostile.types("alice", "decisions", "--json")[1])[0]["text"] == word.strip()
    code, out, _ = hostile.types("alice", "claim-task", task_of(hostile), "--json")
    said = json.loads(out)
    assert code == 3
    assert said["message"].isprintable()
    assert said["hint"].isprintable()
