"""File names stand for paths one to one, are safe everywhere, and can be read by a person."""

from __future__ import annotations

import hashlib
import os
import re

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from agentsync.core import keys
from agentsync.core.paths import (
    MAX_NAME,
    ROOT,
    decode,
    encode,
    encode_target,
    is_valid_id,
    looks_like_glob,
    parents,
)

SAFE = re.compile(r"[A-Za-z0-9_+=,%-][A-Za-z0-9._+@=,%-]*|~[0-9a-f]{16}")
HASHED = re.compile(r"~[0-9a-f]{16}")

paths = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=80),
    st.binary(min_size=1, max_size=80).map(lambda raw: raw.decode("utf-8", "surrogateescape")),  # as `os.fsdecode`
    st.lists(st.sampled_from(["src", "a.py", ".", "~", "%", "@", "/", "é", "日本", "%2F", "x" * 50]), min_size=1).map(
        "".join
    ),
)


@given(paths)
@example("~" + "0" * 16)
@example("%2F")
@example("caf\udce9")
def test_a_name_leads_back_to_its_path(path: str) -> None:
    name = encode(path)
    assert decode(name) == (None if HASHED.fullmatch(name) else path)


@given(paths, paths)
@example("@a", "%40a")
@example("a/b", "a%2Fb")
@example("~" + "0" * 16, "%7E" + "0" * 16)
@example("x" * 181, "x" * 182)
def test_two_paths_never_share_a_name(a: str, b: str) -> None:
    assume(a != b)
    assert encode(a) != encode(b)


@given(paths)
@example(".")
@example("..")
@example(".git/config")
@example("@" * 180)
@example("." + "x" * 179)
@example("a\nb\0c")
def test_names_are_short_visible_and_plain(path: str) -> None:
    name = encode(path)
    assert SAFE.fullmatch(name)
    assert 0 < len(name) <= MAX_NAME


@given(st.text(max_size=40))
@example("%2")
@example("%zz")
@example("%é")
@example("%-1")
def test_a_name_that_nobody_made_never_breaks_a_listing(name: str) -> None:
    assert decode(name) is None or isinstance(decode(name), str)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("README.md", "README.md"),
        ("src/api/auth.py", "src%2Fapi%2Fauth.py"),
        ("src/auth/", "src%2Fauth%2F"),
        (ROOT, "%2E%2F"),
        (".env", "%2Eenv"),
        ("a/.env", "a%2F.env"),
        ("@types/x.ts", "%40types%2Fx.ts"),
        ("a@b", "a@b"),
        ("~/x", "%7E%2Fx"),
        ("100%", "100%25"),
        ("with space", "with%20space"),
        ("é", "%C3%A9"),
        ("src/*.py", "src%2F%2A.py"),
        ("/etc/hosts", "%2Fetc%2Fhosts"),
        ("x" * MAX_NAME, "x" * MAX_NAME),
    ],
)
def test_names_can_be_read(path: str, name: str) -> None:
    assert encode(path) == name
    assert decode(name) == path


@pytest.mark.parametrize("path", ["x" * (MAX_NAME + 1), "é" * 31, "/" * 61, "." + "x" * (MAX_NAME - 2)])
def test_a_name_that_would_be_too_long_is_a_hash_of_the_path(path: str) -> None:
    expected = hashlib.sha256(os.fsencode(path)).hexdigest()[:16]
    assert encode(path) == f"~{expected}"
    assert decode(encode(path)) is None


@pytest.mark.parametrize(
    ("resource", "name"), [("@db", "@db"), ("@a/b", "@a%2Fb"), ("@@x", "@%40x"), ("@.x", "@%2Ex"), ("@~x", "@%7Ex")]
)
def test_a_resource_keeps_its_mark(resource: str, name: str) -> None:
    assert encode_target("resource", resource) == name


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=70), paths)
def test_no_path_is_mistaken_for_a_resource(resource: str, path: str) -> None:
    assert encode_target("resource", "@" + resource) != encode_target("file", path)


@pytest.mark.parametrize("text", ["a", "0", "alice", "claude-3fa9c1d2", "a.b_c-d", "console", "com10", "t-7k3f"])
def test_these_are_ids(text: str) -> None:
    assert is_valid_id(text)


def test_an_id_has_at_most_64_characters() -> None:
    assert is_valid_id("a" * 64)
    assert not is_valid_id("a" * 65)


@pytest.mark.parametrize(
    "text",
    [
        *("", "A", "Alice", "-a", "a-", ".a", "a.", "_a", "a..b", "a b", "a/b", "a\n", "é", "a~b", "a%b", "@a"),
        *("con", "nul", "aux", "prn", "com1", "lpt9", "con.txt", "nul.a.b"),
    ],
)
def test_these_are_none(text: str) -> None:
    assert not is_valid_id(text)


@given(st.from_regex(r"[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?", fullmatch=True))
def test_an_id_is_its_own_file_name(text: str) -> None:
    assume(is_valid_id(text))
    assert encode(text) == text
    assert keys.agent(text) == f"agents/{text}.json"


@pytest.mark.parametrize(
    ("path", "above"),
    [
        ("a.py", (ROOT,)),
        ("src/a.py", (ROOT, "src/")),
        ("src/x/a.py", (ROOT, "src/", "src/x/")),
        ("src/x/", (ROOT, "src/")),
        ("/etc/hosts", ("/", "/etc/")),
        ("/hosts", ("/",)),
    ],
)
def test_the_directories_above_a_path(path: str, above: tuple[str, ...]) -> None:
    assert parents(path) == above


@pytest.mark.parametrize("top", [ROOT, "/"])
def test_nothing_is_above_the_top(top: str) -> None:
    assert parents(top) == ()


@pytest.mark.parametrize("text", ["*", "a?", "[id]", "{a,b}", "a/**"])
def test_these_look_like_patterns(text: str) -> None:
    assert looks_like_glob(text)


@pytest.mark.parametrize("text", ["a", "a]", "a}", "a,b", "!a", "~", "^a"])
def test_these_do_not(text: str) -> None:
    assert not looks_like_glob(text)
