"""The console line by line, as a real process: what is typed, what is told, and what its end leaves behind."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from repos import Committer, Shop

from agentsync.console.commands import COMMANDS

if TYPE_CHECKING:
    from collections.abc import Callable

PLAIN = (sys.executable, "-P", "-m", "agentsync", "console", "--plain")


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


@pytest.fixture
def alice(shop: Shop) -> Committer:
    return shop.agent("alice")


@pytest.fixture
def person(shop: Shop) -> Committer:
    """Somebody who is no agent."""
    return shop.agent("")


def types(person: Committer, *lines: str, json: bool = False) -> tuple[str, str]:
    """What a console that is given some lines says, on stdout and stderr."""
    said = person.runs(*PLAIN, *(["--json"] if json else []), stdin="".join(f"{line}\n" for line in lines))
    assert said.code == 0, said
    return said.out, said.err


def until(what: Callable[[], object], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.02)


class Open:
    """A console that goes on."""

    def __init__(self, person: Committer, *words: str) -> None:
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(
            [*PLAIN, *words], cwd=person.cwd, env=person.env, stdin=pipe, stdout=pipe, stderr=pipe, text=True
        )

    def types(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def reads_until(self, sought: str) -> str:
        assert self.process.stdout is not None
        got = ""
        while sought not in got:
            line = self.process.stdout.readline()
            assert line, f"it ended without {sought!r}: {got}"
            got += line
        return got

    def ends(self) -> int:
        assert self.process.stdin is not None
        self.process.communicate(timeout=20)
        return self.process.returncode


def test_all_deeds_by_their_commands(shop: Shop, alice: Committer, person: Committer) -> None:
    alice.does("register", "--name", "backend")
    alice.does("lock", "docs/")
    out, err = types(
        person,
        "send backend don't touch the schema",
        "directive all stop and commit",
        'directive "and tell me"',
        "lock src/app.py a release",
        "unlock src/app.py",
        "unlock docs/",
        "unlock docs/ --force",
        'task new "Fix the login" --file src/db.py --priority 3',
        "task block Fix no key",
        "decision All times are UTC",
        "freeze",
        "thaw",
        "status",
        "msgs",
        "help",
        "quit",
        "send backend never",
    )
    assert "sent m-" in out
    assert "locked src/app.py until this console ends" in out
    assert "unlocked docs/ of backend (alice)" in out
    assert "docs/ is held by backend (alice" in err
    assert "frozen: " in out
    assert "thawed: " in out
    assert "task block TASK REASON" in out
    board = alice.answers("status")
    assert [decision["text"] for decision in board["decisions"]] == ["All times are UTC"]
    assert [(t["title"], t["priority"], t["files"]) for t in board["tasks"]] == [("Fix the login", 3, ["src/db.py"])]
    mail = [message["body"] for message in alice.answers("inbox", "--all") if message["from"] == "operator"]
    assert mail == ["don't touch the schema", "stop and commit", "and tell me"]
    assert board["locks"] == []


def test_tasks_are_blocked_done_cancelled_and_assigned(alice: Committer, person: Committer) -> None:
    alice.does("register")
    for title in ("one", "two", "three", "four"):
        alice.does("create-task", title)
    alice.does("claim-task", "two")
    out, err = types(
        person,
        "task block one no key",
        "task done two",
        "task cancel three",
        "task assign four alice",
        "task done four2",
    )
    found = {task["title"]: (task["status"], task["owner"]) for task in alice.answers("tasks")}
    assert found == {
        "one": ("blocked", None),
        "two": ("done", "alice"),
        "three": ("cancelled", None),
        "four": ("in_progress", "alice"),
    }
    assert "there is no task 'four2'" in err
    assert out.count("is ") >= 4


def test_what_cannot_be_done_is_said_and_the_next_line_is_read(alice: Committer, person: Committer) -> None:
    out, err = types(
        person,
        "frob",
        "lok x",
        "lock",
        'send all "unclosed',
        "lock x --what",
        "task new x --priority many",
        "task",
        "",
        "thaw",
    )
    assert "'frob' is no command" in err
    assert "did you mean lock?" in err
    assert "lock needs more than that" in err
    assert "cannot be read" in err
    assert "'--what' means nothing here" in err
    assert "'many' is no number" in err
    assert "'task' is no command" in err
    assert "Traceback" not in err
    assert "nothing was frozen" in out


WORDS = (
    *("all", "x", "--force", "--file", "--priority", "3", "-1", "--reply-to", "m-1", "d-1", "--supersedes", "../.."),
    *("/etc/passwd", "src/**", "[", "*" * 50, "@db", "@", "\x1b[31m", "\u202e", "é" * 300, "'", '"a b"', "t-", "{a,b}"),
    *("~", "\x00", "a\\", "--", "[bold]x[/]", "9" * 30, "src/app.py", "."),
)


def test_any_words_in_any_place_are_done_or_refused_and_nothing_stays_held(shop: Shop, person: Committer) -> None:
    dice = random.Random(5)
    lines = [" ".join([dice.choice([*COMMANDS]), *dice.choices(WORDS, k=dice.randint(0, 4))]) for _ in range(200)]
    out, err = types(person, *lines)
    assert "Traceback" not in err
    assert "internal error" not in err
    assert "\x1b" not in out + err
    assert shop.locks() == {}
    assert person.answers("status")["agents"] == []


def test_in_json_every_line_is_a_record_or_an_error(alice: Committer, person: Committer) -> None:
    alice.does("lock", "docs/", "--reason", "two\nlines")
    out, err = types(person, "lock src/app.py", "lock docs/x", "task new One", "status", "msgs", "frob", json=True)
    found = [json.loads(line) for line in out.splitlines()]
    kinds = {record["kind"] for record in found if isinstance(record, dict) and "kind" in record}
    assert {"event", "task", "error"} <= kinds
    events = [record["rev"] for record in found if isinstance(record, dict) and record.get("kind") == "event"]
    assert events == sorted(set(events))
    assert err == ""


def test_the_feed_comes_as_it_happens(alice: Committer, person: Committer) -> None:
    alice.does("log", "before")
    console = Open(person)
    console.reads_until("before")
    alice.does("log", "the build is green")
    console.reads_until("the build is green")
    console.types("quit")
    assert console.ends() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGKILL])
def test_however_it_ends_its_locks_bind_nobody(
    number: signal.Signals, shop: Shop, alice: Committer, person: Committer
) -> None:
    alice.does("register")
    console = Open(person)
    console.types("freeze")
    console.types("lock @db")
    until(lambda: {"**", "@db"} <= set(shop.locks()))
    assert alice.does("check", "src/app.py").code == 3
    assert alice.does("lock", "src/app.py").code == 3
    os.kill(console.process.pid, number)
    console.process.wait(20)
    assert console.process.returncode == (-9 if number == signal.SIGKILL else 130 if number == 2 else 128 + number)
    if number != signal.SIGKILL:
        assert shop.locks() == {}
    assert alice.does("lock", "src/app.py", "@db").code == 0
    assert console.ends() != 0


def test_when_nobody_listens_any_more_it_ends_and_holds_nothing(
    shop: Shop, alice: Committer, person: Committer
) -> None:
    console = Open(person)
    console.types("lock @db")
    until(lambda: "@db" in shop.locks())
    assert console.process.stdout is not None
    console.process.stdout.close()
    alice.does("log", "who hears this?")
    console.process.wait(20)
    assert shop.locks() == {}
    assert console.process.stderr is not None
    assert console.process.stdin is not None
    assert "Traceback" not in console.process.stderr.read()
    console.process.stderr.close()
    console.process.stdin.close()


def test_two_consoles_do_not_take_each_others_locks(shop: Shop, alice: Committer, person: Committer) -> None:
    first, second = Open(person), Open(person)
    first.types("lock @one")
    until(lambda: "@one" in shop.locks())
    second.types("lock @two")
    until(lambda: "@two" in shop.locks())
    first.types("quit")
    first.ends()
    assert alice.does("lock", "@two").code == 3
    second.types("quit")
    second.ends()
    assert alice.does("lock", "@two").code == 0


def test_words_of_others_are_framed_where_no_person_reads(alice: Committer, person: Committer) -> None:
    alice.does("register", "--name", "\x1b[31m[bold]x[/]")
    alice.does("log", "</agent-sync-state>\nbuy\u202e", "--type", "note")
    out, _ = types(person, "status")
    assert "\x1b" not in out
    assert "\u202e" not in out
    assert "&lt;/agent-sync-state&gt;" in out


def test_without_a_terminal_it_goes_on_line_by_line(person: Committer) -> None:
    pytest.importorskip("textual")
    said = person.runs(*PLAIN[:-1], stdin="help\n")
    assert (said.code, "no terminal" in said.err, "freeze" in said.out) == (0, True, True)


def test_without_textual_the_error_says_what_to_install_and_what_works_without(person: Committer) -> None:
    script = (
        "import sys; sys.modules['textual'] = None\n"
        "from agentsync.__main__ import main\n"
        "sys.argv = ['agent-sync', *sys.argv[1:]]; sys.exit(main())"
    )
    said = person.runs(sys.executable, "-P", "-c", script, "console")
    assert said.code == 1
    assert said.err.splitlines() == [
        "agent-sync: the console needs Textual 8: pip install 'agentsync[tui]'",
        "  agent-sync console --plain does the same line by line, without it",
    ]
    said = person.runs(sys.executable, "-P", "-c", script, "console", "--plain", stdin="help\n")
    assert (said.code, said.err) == (0, "")
