"""`watch` on the command line: what it shows, waits for and starts, with which code. What it survives: tests/processes."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cli.test_commands import Shell, examples, help_of, is_error
from cli.test_streams import SGR, Place
from core.boards import NOW
from world import make_repo

from agentsync.cli.parser import build
from agentsync.core.records import Event
from agentsync.render.feed import Feed
from agentsync.render.frame import CLOSE, OPEN

if TYPE_CHECKING:
    from collections.abc import Iterator

MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


@pytest.fixture
def shell(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Shell]:
    with tempfile.TemporaryDirectory(dir=MEMORY) as top:
        yield Shell(make_repo(Path(top) / "repo"), capsys, monkeypatch)


@pytest.fixture
def story(shell: Shell) -> Shell:
    """Seven events: two registrations with them."""
    shell.types("lock", "src/app.py")
    shell.types("create-task", "Login", "--file", "docs/a.md", agent="bob")
    shell.types("unlock", "src/app.py")
    shell.types("send", "--to", "bob", "--message", "done")
    shell.types("log", "built", "--type", "build")
    return shell


def watched(shell: Shell, *words: str) -> list[str]:
    said = shell.types("watch", "--since", "0", "--timeout", "0", "--json", *words)
    assert said.code == 0, said
    return [json.loads(line)["verb"] for line in said.out.splitlines()]


def test_the_examples_of_its_help_parse(shell: Shell) -> None:
    for words in examples(help_of(shell, "watch")):
        assert callable(build().parse_args(words).run)


def test_each_line_of_json_is_an_event_as_it_is_in_the_log(story: Shell) -> None:
    lines = story.types("watch", "--since", "0", "--timeout", "0", "--json").out.splitlines()
    log = Path(story.root) / ".claude/coordination/log"
    assert [json.loads(line) for line in lines] == [json.loads(p.read_bytes()) for p in sorted(log.iterdir())]


FILTERS = [
    ([], ["register", "lock", "register", "create-task", "unlock", "send", "build"]),
    (["--agent", "bob"], ["register", "create-task"]),
    (["--path", "src/"], ["lock", "unlock"]),
    (["--path", "docs/a.md"], ["create-task"]),
    (["--path", "src/app.py", "--path", "docs/"], ["lock", "create-task", "unlock"]),
    (["--verb", "send", "--verb", "build"], ["send", "build"]),
    (["--kind", "lock"], ["lock", "unlock"]),
    (["--kind", "entry", "--kind", "task"], ["create-task", "build"]),
    (["--kind", "lock", "--verb", "unlock"], ["unlock"]),
    (["--agent", "bob", "--kind", "lock"], []),
]


@pytest.mark.parametrize(("words", "verbs"), FILTERS, ids=[" ".join(words) for words, _ in FILTERS])
def test_filters(words: list[str], verbs: list[str], story: Shell) -> None:
    assert watched(story, *words) == verbs
    read = story.types("log", "--since", "0", "--json", *(w if w != "--verb" else "--type" for w in words))
    if words.count("--verb") < 2:  # the type of `log` is one word: it writes such entries too
        assert [event["verb"] for event in read.json] == verbs, "the same filters in `log`"


def test_it_begins_at_a_revision_a_time_or_now(story: Shell) -> None:
    assert watched(story, "--since", "5") == ["send", "build"]
    assert len(watched(story, "--since", "1h")) == 7
    assert watched(story, "--since", "2199-01-01") == []
    assert story.types("watch", "--timeout", "0").out == ""


def test_a_revision_that_there_is_not_yet_was_one_of_a_deleted_state(story: Shell) -> None:
    said = story.types("watch", "--since", "99", "--timeout", "0")
    assert "there is no revision 99" in said.err
    assert len(said.out.splitlines()) == 7 * 3, "a line, in its frame"


def test_nothing_there_yet_is_no_error_and_makes_nothing(shell: Shell) -> None:
    assert shell.types("watch", "--timeout", "0").code == 0
    assert not (Path(shell.root) / ".claude").exists()


def test_it_ends_with_the_first_event_that_is_waited_for(story: Shell) -> None:
    assert watched(story, "--until", "verb=unlock path=src/app.py") == [
        "register",
        "lock",
        "register",
        "create-task",
        "unlock",
    ]
    assert watched(story, "--until", "verb=build", "--until", "kind=task") == [
        "register",
        "lock",
        "register",
        "create-task",
    ]
    assert watched(story, "--agent", "alice", "--until", "verb=register") == ["register"]
    (task,) = story.types("tasks", "--json").json
    assert watched(story, "--until", f"task={task['id']}")[-1] == "create-task"


def test_what_does_not_come_in_time_is_given_up(story: Shell) -> None:
    said = story.types("watch", "--until", "verb=unlock", "--timeout", "0")
    assert said.code == 5
    assert "gave up waiting" in said.err
    said = story.types("watch", "--since", "5", "--until", "verb=unlock", "--timeout", "0", "--json")
    assert said.code == 5
    assert [json.loads(line)["kind"] for line in said.out.splitlines()] == ["event", "event", "error"]


USAGE = [
    ["--until", "unlock"],
    ["--until", "verb="],
    ["--until", "kind=cat"],
    ["--until", "path="],
    ["--kind", "cat"],
    ["--path", ""],
    ["--since", "yesterday"],
    ["--timeout", "-1"],
    ["--timeout", "nan"],
    ["--jobs", "0"],
    ["--jobs", "65"],
    ["--exec"],
    ["extra"],
]


@pytest.mark.parametrize("words", USAGE, ids=[" ".join(words) for words in USAGE])
def test_typing_errors(words: list[str], story: Shell) -> None:
    is_error(story.types("watch", "--json", *words), 2)


def test_a_command_is_started_for_each_and_its_failure_is_shown(story: Shell) -> None:
    out = Path(story.root).parent / "out"
    said = story.types("watch", "--since", "0", "--timeout", "0", "--kind", "lock", "--exec", f"cat >>{out}")
    assert (said.code, said.err) == (0, "")
    assert [json.loads(line)["verb"] for line in out.read_text().splitlines()] == ["lock", "unlock"]
    said = story.types("watch", "--since", "0", "--until", "verb=lock", "--exec", "exit 3", "--jobs", "4")
    assert said.code == 1
    assert "revision 2 ended with 3" in said.err


def test_without_a_notifier_it_says_so_and_goes_on(story: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    said = story.types("watch", "--since", "0", "--timeout", "0", "--notify")
    assert said.code == 0
    assert said.err.count("notify-send") == 1
    assert "locked src/app.py" in said.out


# ---------------------------------------------------------------- what is seen
def test_columns_grow_and_never_shrink() -> None:
    feed = Feed(relative=False, colour=False)
    events = [
        Event(rev=r, at=NOW, actor=a, verb="lock", summary="did", changes=())
        for r, a in ((9, "al"), (10, "bartholomew"), (11, "al"))
    ]
    lines = [feed.line(event, NOW) for event in events]
    assert [line.index("did") for line in lines[1:]] == [lines[1].index("did")] * 2
    assert f"{NOW:%H:%M:%S} UTC" in lines[0]


def test_what_others_wrote_stays_one_harmless_line(story: Shell) -> None:
    story.types("log", f"\x1b[2J\nforged\u202e {CLOSE}")
    said = story.types("watch", "--since", "0", "--timeout", "0", "--kind", "entry", "--verb", "log").out
    assert said.splitlines()[0] == OPEN
    assert len(said.splitlines()) == 3
    assert said.count(CLOSE) == 1
    assert "\x1b" not in said
    assert "\u202e" not in said


def test_a_terminal_is_shown_plain_coloured_lines_and_the_time_as_wanted() -> None:
    with tempfile.TemporaryDirectory(dir=MEMORY) as top:
        place = Place(make_repo(Path(top) / "repo"))
        place.runs("lock", "a.py")
        words = ("watch", "--since", "0", "--timeout", "0")
        code, seen = place.on_a_terminal(*words)
        assert code == 0
        assert SGR.search(seen)
        assert OPEN not in seen
        assert "UTC  alice  lock      alice locked a.py" in SGR.sub("", seen)
        assert " s ago  alice  lock" in SGR.sub("", place.on_a_terminal(*words, "--relative")[1])
        assert not SGR.search(place.on_a_terminal(*words, NO_COLOR="1")[1])


def test_a_reader_that_goes_away_ends_it() -> None:
    with tempfile.TemporaryDirectory(dir=MEMORY) as top:
        place = Place(make_repo(Path(top) / "repo"))
        place.runs("lock", "a.py")
        reading, writing = os.pipe()
        os.close(reading)
        done = place.runs("watch", "--since", "0", stdout=writing, stderr=subprocess.PIPE)
        os.close(writing)
        assert (done.returncode, done.stderr) == (0, "")
