"""The table in README.md beside this file is true as far as that can be checked: every test in it exists."""

from __future__ import annotations

import re
from pathlib import Path

HERE = Path(__file__).parent

ATTACKS = {
    "prompt injection": "name, role, reason, branch, path, resource, title",
    "terminal escapes": "at a terminal",
    "traversal by ids and names": "Ids like",
    "traversal by archives": "Archives whose names",
    "links and swaps": "Links in place of each folder",
    "hostile tracked state": "tracked in a clone",
    "strange, huge and deep files": "Pipe, socket",
    "hostile settings": "Hostile settings",
    "hostile working directory": "in a hostile directory",
    "other users and umasks": "umask 000, 077",
}
"""What has been promised to be tried, and words of the row that says what came of it."""


def rows() -> list[list[str]]:
    lines = (HERE / "README.md").read_text(encoding="utf-8").splitlines()
    found = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    return found[2:]


def test_every_row_says_what_was_tried_what_came_of_it_and_names_tests_that_exist() -> None:
    assert len(rows()) > 10
    for row in rows():
        tried, result, tests = row
        assert tried
        assert result
        named = re.findall(r"`([\w./]+\.py)::(\w+)`", tests)
        assert named, f"no test shows it: {tried}"
        for path, name in named:
            source = (HERE / path).read_text(encoding="utf-8")
            assert re.search(rf"^def {name}\(", source, re.MULTILINE), f"there is no {name} in {path}"


def test_every_attack_has_a_row() -> None:
    tried = [row[0] for row in rows()]
    for attack, words in ATTACKS.items():
        assert any(words in one for one in tried), attack


def test_every_test_of_this_folder_that_attacks_is_in_a_row() -> None:
    table = " ".join(row[2] for row in rows())
    found = {
        name
        for path in HERE.glob("test_*.py")
        if path.name != "test_table.py"
        for name in re.findall(r"^def (test_\w+)\(", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    left = {name for name in found if f"::{name}`" not in table}
    about_the_tests = {
        "test_that_test_sees_an_intent_that_is_believed",
        "test_the_places_of_records_are_places",
        "test_the_tests_can_tell_a_pipe_that_is_waited_for",
        "test_what_these_tests_look_for_they_find",
        "test_they_find_a_rendering_that_forgets_to_escape",
    }
    assert left == about_the_tests
