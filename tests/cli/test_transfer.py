"""`export`, `import` and `metrics` as they are typed: streams, files, codes, JSON."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cli.test_commands import examples, help_of, is_error
from cli.test_streams import Place
from cli.test_watch import shell
from world import make_repo

from agentsync.cli.parser import build
from agentsync.render.frame import OPEN

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cli.test_commands import Shell

__all__ = ["shell"]

MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


@pytest.fixture
def places() -> Iterator[tuple[Place, Place]]:
    with tempfile.TemporaryDirectory(dir=MEMORY) as top:
        here, there = (Place(make_repo(Path(top) / name)) for name in ("here", "there"))
        here.runs("create-task", "Login")
        here.runs("lock", "a.py")
        yield here, there


def test_out_of_one_pipe_into_another(places: tuple[Place, Place]) -> None:
    here, there = places
    made = here.runs("export")
    assert (made.returncode, made.stderr) == (0, "")
    header = json.loads(made.stdout.splitlines()[0])
    assert (header["kind"], header["records"], header["events"]) == ("export", 3, 3)
    done = there.runs("import", "-", stdin=None, input=made.stdout)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("imported 2 records as revision 4, 3 events\n")
    assert "left out: 1 locks" in done.stdout
    assert "Login" in there.runs("tasks").stdout


def test_into_a_file_that_only_its_owner_reads_and_back(places: tuple[Place, Place]) -> None:
    here, there = places
    assert (
        here.runs("export", "--output", "../board.ndjson").stdout
        == "exported 3 records and 3 events to ../board.ndjson\n"
    )
    file = here.root.parent / "board.ndjson"
    assert file.stat().st_mode & 0o777 == 0o600
    said = json.loads(there.runs("import", "--json", "../board.ndjson").stdout)
    assert (said["kind"], said["records"], said["history"], said["again"]) == ("imported", 2, 3, False)
    assert "nothing is done twice" in there.runs("import", "../board.ndjson").stdout


def test_what_is_in_the_way_is_named_and_nothing_is_changed(places: tuple[Place, Place]) -> None:
    here, there = places
    here.runs("send", "--to", "all", "--message", "hello")
    there.runs("lock", "b.py")
    before = there.runs("log", "--json").stdout
    made = here.runs("export").stdout
    refused = there.runs("import", "-", stdin=None, input=made)
    assert (refused.returncode, refused.stdout) == (3, "")
    assert OPEN in refused.stderr
    assert "yet to use the number of messages/000000000004.json" in refused.stderr
    error = json.loads(there.runs("import", "-", "--json", stdin=None, input=made).stdout)
    assert (error["kind"], error["code"]) == ("error", 3)
    assert "messages/000000000004.json" in error["ahead"]
    assert there.runs("log", "--json").stdout == before


@pytest.mark.parametrize("command", ["export", "import", "metrics"])
def test_the_examples_of_its_help_parse(command: str, shell: Shell) -> None:
    for words in examples(help_of(shell, command)):
        assert command in words
        assert callable(build().parse_args(words).run)


USAGE = [
    ["import"],
    ["import", "a", "--from-sqlite", "b"],
    ["import", "nothing-here"],
    ["import", "."],
    ["import", "--from-sqlite", "src"],
]


@pytest.mark.parametrize("words", USAGE, ids=[" ".join(words) for words in USAGE])
def test_typing_errors(words: list[str], shell: Shell) -> None:
    is_error(shell.types(*words, "--json"), 2)


def test_without_a_board_there_is_nothing_to_export(shell: Shell) -> None:
    is_error(shell.types("export", "--json"), 4)


def test_a_device_is_not_replaced(shell: Shell) -> None:
    shell.types("lock", "a.py")
    for command in ("export", "metrics"):
        is_error(shell.types(command, "--output", "/dev/null", "--json"), 2)
    assert not os.path.isfile("/dev/null")


def test_metrics_are_printed_or_written_without_a_word(shell: Shell) -> None:
    shell.types("lock", "a.py")
    said = shell.types("metrics")
    assert said.out.endswith("# EOF\n")
    assert said.out.count("# EOF") == 1
    families = shell.types("metrics", "--json").json["families"]
    assert {family["name"] for family in families} == {
        line.split()[2] for line in said.out.splitlines() if "# TYPE" in line
    }
    written = shell.types("metrics", "--output", "x.prom")
    assert (written.code, written.out, written.err) == (0, "", "")
    assert (Path(shell.root) / "x.prom").read_text().startswith("# HELP agentsync_info")


def test_an_export_that_nobody_reads_to_its_end_is_no_error(places: tuple[Place, Place]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = places[0].runs("export", stdout=writing, stderr=subprocess.PIPE)
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, "")
