"""Commands of well-known projects: what the reader says they write is exactly what they write, or less.

Each file of `corpus/` has, under the name of a project and its file, lines `$ command`, each followed by a line `> path`
for everything it writes (with a slash at the end when all below is meant).
"""

from __future__ import annotations

from fnmatch import fnmatch
from pathlib import Path
from typing import NamedTuple

import pytest

from agentsync.shell import read
from agentsync.shell.state import resolve

from .conftest import FILES

CORPUS = Path(__file__).parent / "corpus"
HOME = "/home/somebody"


class Case(NamedTuple):
    source: str
    command: str
    writes: tuple[str, ...]


def cases() -> list[Case]:
    found: list[Case] = []
    for file in sorted(CORPUS.glob("*.txt")):
        source = ""
        for line in file.read_text().splitlines():
            mark, _, text = line.partition(" ")
            if mark == "#":
                source = text
            elif mark == "$":
                found.append(Case(source, text, ()))
            else:
                assert mark == ">", line
                found[-1] = found[-1]._replace(writes=(*found[-1].writes, text))
    return found


CASES = cases()


def absolute(path: str, root: str) -> tuple[str, bool]:
    return resolve(root, path.replace("~", HOME, 1) if path.startswith("~") else path), path.endswith("/")


def test_the_corpus_is_large_and_knows_its_sources() -> None:
    assert len(CASES) >= 300
    assert len({case.command for case in CASES}) >= 300
    assert all("/" in case.source for case in CASES)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.source.split(' ')[0]}: {case.command[:60]}")
def test_a_real_command_writes_what_is_written_beside_it(case: Case, repo: Path) -> None:
    root = str(repo)
    known = {absolute(path, root) for path in case.writes}
    found = read.writes(case.command, root, HOME)
    told = {(write.path, write.tree) for write in found}
    for path, tree in [entry for entry in known if entry[0].endswith("/lists/*")]:  # what is there, on this machine
        matching = {entry for entry in told if fnmatch(entry[0], path) and entry[1] == tree}
        assert matching
        told, known = told - matching, known - {(path, tree)}
    assert told == known
    held = [f"{root}/{name}" for name in FILES]
    refused = {path for path in held if any(write.covers(path) for write in found)}
    written = {path for path in held for at, tree in known if path == at or (tree and path.startswith(at + "/"))}
    assert refused <= written
