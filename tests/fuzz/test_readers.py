"""Any bytes to every reader: made by hypothesis, and those that once found something or reached somewhere new."""

from __future__ import annotations

from pathlib import Path

import pytest
from fuzz.mutations import CORPUS, FIXTURES, fuzzed, torn
from fuzz.readers import READERS
from hypothesis import given
from hypothesis import strategies as st

SEEDS = {
    "record": sorted(FIXTURES.glob("*valid/*.json")),
    "payload": sorted(CORPUS.glob("*.json")),
    "lines": sorted(FIXTURES.glob("valid/*.ndjson")),
}

TEXTS = {
    "configuration": [b'auto_lock = true\nworktrees = "deny"\n[paths]\nshared = ["a/**"]\nignore = ["{a,b}/[!c]*"]\n'],
    "merge": [b'{"hooks": {"Stop": [{"hooks": [{"type": "command", "command": "x"}]}]}, "n": 1.50}', b"{}\n"],
    "typed_path": [b"up/../src/**/*.py", b"src/app.py", b"./a//b/", b"@db", b"/etc/passwd"],
    "exported": [
        b'{"kind":"export","v":1,"store":"s","revision":2,"at":"2030-01-01T00:00:00Z","records":1,"events":1}\n'
        b'{"put":"decisions/000000000002.json","record":{"kind":"decision","v":1,"id":"d-2","by":"a","by_name":"a",'
        b'"text":"x","supersedes":null,"created_at":"2030-01-01T00:00:00Z"}}\n'
        b'{"kind":"event","v":1,"rev":2,"at":"2030-01-01T00:00:00Z","actor":"a","verb":"decision","summary":"s","paths":[],'
        b'"changes":[]}\n'
    ],
    "patterns": [b"src/**/*.py\nsrc/{a,b}/[!c]?.py\nsrc/a/xy.py", b"**/a\na/**\na/a"],
}


def seeds(reader: str) -> list[bytes]:
    """Documents to begin with."""
    return [path.read_bytes() for path in SEEDS.get(reader, [])] or TEXTS[reader]


@pytest.mark.parametrize("reader", READERS)
def test_any_bytes_are_read_or_refused(reader: str) -> None:
    @fuzzed(20)
    @given(data=torn(seeds(reader)) | st.binary(max_size=300))
    def law(data: bytes) -> None:
        READERS[reader](data)

    law()


KEPT = sorted(path for path in (CORPUS / "found").glob("*/*") if path.is_file())


@pytest.mark.parametrize("path", KEPT, ids=lambda path: f"{path.parent.name}/{path.name[:12]}")
def test_what_coverage_found_is_still_read_or_refused(path: Path) -> None:
    READERS[path.parent.name](path.read_bytes())


def test_there_is_a_corpus_for_every_reader() -> None:
    assert {path.parent.name for path in KEPT} == set(READERS)
