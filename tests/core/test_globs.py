"""Overlap is exact: two targets conflict iff some real path is covered by both.

`Reference` says what a pattern means a second time, by regular expressions and nothing of ours; `PATHS` are all real
paths over a small alphabet, short enough to try one by one and long enough that patterns of a few elements which meet
at all meet among them.
"""

from __future__ import annotations

import re
import time
from contextlib import suppress
from functools import cache
from itertools import product
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from rounds import TIMES
from world import make_repo

from agentsync.core import globs
from agentsync.core.paths import ROOT, Target, overlap
from agentsync.errors import UsageError
from agentsync.store.locate import Place, locate, resolve


# ---------------------------------------------------------------- a second opinion
def alternatives(pattern: str) -> list[str]:
    """Braces written out, leftmost first; braces without a partner or a comma are characters."""
    for start, char in enumerate(pattern):
        if char != "{":
            continue
        depth, cuts = 0, [start]
        for i in range(start, len(pattern)):
            depth += {"{": 1, "}": -1}.get(pattern[i], 0)
            if pattern[i] == "," and depth == 1:
                cuts.append(i)
            if depth == 0:
                if len(cuts) > 1:
                    options = [pattern[a + 1 : b] for a, b in zip(cuts, [*cuts[1:], i], strict=True)]
                    return [text for o in options for text in alternatives(pattern[:start] + o + pattern[i + 1 :])]
                break
    return [pattern]


def part_regex(part: str) -> str:
    out, i = "", 0
    while i < len(part):
        end = part.find("]", i + 2)
        if part[i] == "*":
            out += "[^/]*"
        elif part[i] == "?":
            out += "[^/]"
        elif part[i] == "[" and end > 0:
            body = part[i + 1 : end].replace("\\", r"\\")
            body = f"^/{body[1:]}" if body[0] in "!^" else body
            out += f"[{body}]"
            i = end
        else:
            out += re.escape(part[i])
        i += 1
    return out


def pattern_regex(pattern: str) -> str:
    parts = pattern.split("/")
    below = "[^/]+(?:/[^/]+)*"
    out = [("(?:[^/]+/)*" if part == "**" else part_regex(part) + "/") for part in parts[:-1]]
    inside = "" if pattern.startswith("/") else "(?!/)"
    return inside + "".join(out) + (below if parts[-1] == "**" else part_regex(parts[-1]))


@cache
def reference(target: Target) -> re.Pattern[str]:
    """A regular expression for the paths that a target covers."""
    if target.scope == "glob":
        return re.compile("|".join(pattern_regex(text) for text in alternatives(target.path)))
    if target.path == ROOT:
        return re.compile("[^/].*")
    if target.scope == "dir":
        return re.compile(re.escape(target.path[:-1]) + "(?:/.+)?")
    return re.compile(re.escape(target.path))


def is_real(path: str) -> bool:
    return all(part not in ("", ".", "..") for part in path.removeprefix("/").split("/"))


def enumerated(alphabet: str, longest: int) -> list[str]:
    texts = ("".join(chars) for n in range(1, longest + 1) for chars in product(alphabet, repeat=n))
    return [text for text in texts if is_real(text)]


PATHS = enumerated("ab./", 7) + enumerated("abc/.", 5)  # `[!a]` and `[!b]` meet in a third letter
FEW_PATHS = enumerated("abc./", 4)


@cache
def longer_paths() -> list[str]:
    """What few pairs need: `aaa/**` and `**/aa/**` meet in a path of eight characters."""
    return [path for path in enumerated("ab./", 8) if len(path) > 7]


def witness(a: Target, b: Target) -> str | None:
    first, second = reference(a).fullmatch, reference(b).fullmatch
    return next((path for path in PATHS if first(path) and second(path)), None)


def long_witness(a: Target, b: Target) -> str | None:
    first, second = reference(a).fullmatch, reference(b).fullmatch
    return next((path for path in longer_paths() if first(path) and second(path)), None)


# ---------------------------------------------------------------- what is compared
ELEMENTS = ["a", "b", ".", "/", "*", "?", "**", "**/", "/**", "[ab]", "[!a]", "[^b]", "[a-c]", "[.a]"]
BRACES = ["{a,b}", "{a,}", "{a,/b}", "{*,b}", "{a,{b,.a}}", "{**,a}", "{,/}"]

patterns = (
    st.lists(st.sampled_from([*ELEMENTS, *BRACES]), min_size=1, max_size=4)
    .map("".join)
    .filter(lambda pattern: pattern.count("{") <= 4)  # or they stand for too many
)
real_paths = st.sampled_from(enumerated("ab./", 2))


def a_glob(pattern: str) -> Target:
    return Target(scope="glob", path=pattern)


targets = st.one_of(
    patterns.map(a_glob),
    real_paths.map(lambda path: Target(scope="file", path=path)),
    real_paths.map(lambda path: Target(scope="dir", path=path + "/")),
    st.just(Target(scope="dir", path=ROOT)),
)


@settings(max_examples=600 * TIMES, deadline=None)
@given(targets, targets)
@example(a_glob("[!a]"), a_glob("[!b]"))
@example(a_glob(".*"), a_glob("*."))
@example(a_glob(".?"), a_glob("?."))
@example(a_glob("**/a"), a_glob("**/b"))
@example(a_glob("a/**"), a_glob("a"))
@example(a_glob("a/*/b"), a_glob("a//b"))
@example(a_glob("**"), Target(scope="file", path="/a"))
@example(Target(scope="dir", path="a/"), Target(scope="dir", path="a/b/"))
@example(Target(scope="dir", path=ROOT), Target(scope="file", path="/a"))
@example(a_glob("aaa/**"), a_glob("**/aa/**"))
def test_two_targets_overlap_iff_some_path_is_covered_by_both(a: Target, b: Target) -> None:
    found, path = overlap(a, b), witness(a, b)
    if found and path is None:
        path = long_witness(a, b)
    assert found == (path is not None), path


@settings(max_examples=300 * TIMES, deadline=None)
@given(targets, targets)
def test_overlap_does_not_depend_on_who_asks(a: Target, b: Target) -> None:
    assert overlap(a, b) == overlap(b, a)


@settings(max_examples=200 * TIMES, deadline=None)
@given(targets)
def test_a_target_overlaps_itself_if_it_covers_anything(target: Target) -> None:
    assert overlap(target, target) == (witness(target, target) is not None)


@settings(max_examples=60 * TIMES, deadline=None)
@given(patterns)
def test_a_pattern_matches_the_paths_that_it_says(pattern: str) -> None:
    expected = reference(a_glob(pattern))
    wrong = [p for p in FEW_PATHS if globs.matches(pattern, p) != bool(expected.fullmatch(p))]
    assert not wrong


@settings(max_examples=200 * TIMES, deadline=None)
@given(patterns)
def test_every_match_begins_with_the_literal_prefix(pattern: str) -> None:
    prefix, expected = globs.literal_prefix(pattern), reference(a_glob(pattern))
    assert all(p.startswith(prefix) for p in FEW_PATHS if expected.fullmatch(p))


RESOURCE = Target(scope="resource", path="@a")


@given(targets)
def test_a_resource_meets_nothing_but_itself(target: Target) -> None:
    assert not overlap(RESOURCE, target)
    assert not overlap(target, RESOURCE)
    assert overlap(RESOURCE, RESOURCE)
    assert not overlap(RESOURCE, Target(scope="resource", path="@b"))


@pytest.mark.parametrize(
    ("pattern", "matching", "others"),
    [
        ("*.py", "a.py .py", "a.pyc src/a.py a"),
        ("**/*.py", "a.py src/a.py src/x/a.py", "a.pyc"),
        ("src/**", "src/a src/a/b", "src srcs/a"),
        ("src/**/test", "src/test src/a/test src/a/b/test", "src/atest src/a"),
        ("a**b", "ab axb a..b", "a/b ax/b"),
        ("***", "a ab", "a/b"),
        ("[!a]", "b é ]", "a ab"),
        ("[]-]x", "]x -x", "x ax"),
        ("[z-a]", "", "a z - [z-a]"),
        ("[a", "[a", "a"),
        ("[[]id].tsx", "[id].tsx", "i.tsx d.tsx"),
        ("x{a,b{c,d}}", "xa xbc xbd", "xb x"),
        ("x{a}y", "x{a}y", "xay"),
        ("{a,b", "{a,b", "a b"),
        ("{{a,b}", "{a {b", "a b"),
        ("?", "a é 日", "ab a/b"),
    ],
)
def test_what_patterns_mean(pattern: str, matching: str, others: str) -> None:
    assert [p for p in matching.split() if not globs.matches(pattern, p)] == []
    assert [p for p in others.split() if globs.matches(pattern, p)] == []


@pytest.mark.parametrize("path", ["", ".", "..", "a//b", "a/", "a/./b", "../a"])
def test_what_is_no_path_is_matched_by_nothing(path: str) -> None:
    assert not globs.matches("**", path)


# ---------------------------------------------------------------- as typed, in a real repository
@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Place:
    files = ["src/a.py", "src/x/deep.py", "docs/README.md", "README.md", "pages/[id].tsx", "pages/i.tsx"]
    files += ["app/[slug]/page.tsx", "odd/a{b,c}/x.py"]
    root = make_repo(tmp_path_factory.mktemp("globs") / "repo", dict.fromkeys(files, "x\n"))
    (root / "link.py").symlink_to("src/a.py")
    (root / "linked").symlink_to("src")
    return locate(str(root), {})


def typed(text: str, home: Place, cwd: str = "") -> Target:
    return resolve(text, str(Path(home.root) / cwd), home, {})[1]


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("src/*.py", "src/a.py"),
        ("src/**", "src/a.py"),
        ("**/*.py", "src/a.py"),
        ("src/*.py", "src/a.*"),
        ("**/models.py", "app/**"),
        ("src/[ab].py", "src/a.py"),
        ("src/{a,b}.py", "src/a.py"),
        ("*.md", "README.md"),
        ("src", "src/a.py"),
        ("src/", "src/*.py"),
        (".", "src/*.py"),
        ("linked/*.py", "src/a.py"),
        ("../repo/src/*.py", "src/a.py"),
    ],
)
def test_these_overlap(a: str, b: str, home: Place) -> None:
    assert overlap(typed(a, home), typed(b, home))
    assert overlap(typed(b, home), typed(a, home))


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("README.md", "docs/README.md"),
        ("a.py", "src/a.py"),
        ("src/auth", "src/authz.py"),
        ("src/auth/", "src/authz.py"),
        ("*.py", "src/a.py"),
        ("src/*.py", "src/x/deep.py"),
        ("src/?.py", "src/x/"),
        ("**/*.py", "README.md"),
        ("**", "/elsewhere/a.py"),
    ],
)
def test_these_do_not(a: str, b: str, home: Place) -> None:
    assert not overlap(typed(a, home), typed(b, home))
    assert not overlap(typed(b, home), typed(a, home))


@pytest.mark.parametrize(
    "text", ["src/a.py", "./src/a.py", "src//a.py", "src/x/../a.py", "{root}/src/a.py", "link.py", "linked/a.py"]
)
def test_all_spellings_mean_one_file(text: str, home: Place) -> None:
    assert typed(text.format(root=home.root), home) == Target(scope="file", path="src/a.py")


def test_a_file_that_exists_wins_over_a_pattern_that_looks_like_it(home: Place) -> None:
    assert typed("pages/[id].tsx", home) == Target(scope="file", path="pages/[id].tsx")
    assert not overlap(typed("pages/[id].tsx", home), typed("pages/i.tsx", home))
    assert typed("pages/[xi].tsx", home).scope == "glob"
    assert overlap(typed("pages/[xi].tsx", home), typed("pages/i.tsx", home))


def test_a_directory_that_exists_wins_over_a_pattern_too(home: Place) -> None:
    assert typed("app/[slug]", home) == Target(scope="dir", path="app/[slug]/")
    assert typed("app/[slug]/new.tsx", home) == Target(scope="file", path="app/[slug]/new.tsx")
    pattern = typed("app/[slug]/*.tsx", home)
    assert overlap(pattern, typed("app/[slug]/page.tsx", home))
    assert not overlap(pattern, typed("app/s/page.tsx", home))


@pytest.mark.parametrize(
    ("cwd", "text", "pattern"),
    [
        ("src", "*.py", "src/*.py"),
        ("src", "**/*.py", "src/**/*.py"),
        ("src/x", "../*.py", "src/*.py"),
        ("src", "./x//*.py", "src/x/*.py"),
        ("src", "{root}/docs/*.md", "docs/*.md"),
        ("src", "*/", "src/*/**"),
        ("linked", "*.py", "src/*.py"),
    ],
)
def test_patterns_are_anchored_where_they_are_typed(cwd: str, text: str, pattern: str, home: Place) -> None:
    assert typed(text.format(root=home.root), home, cwd) == a_glob(pattern)


@pytest.mark.parametrize("cwd", ["app/[slug]", "odd/a{b,c}"])
def test_the_place_where_a_pattern_is_typed_is_no_pattern(cwd: str, home: Place) -> None:
    found = typed("*.*", home, cwd)
    assert overlap(found, Target(scope="file", path=f"{cwd}/x.py"))
    assert not overlap(found, Target(scope="file", path="app/s/x.py"))
    assert not overlap(found, Target(scope="file", path="odd/ab/x.py"))


def test_a_pattern_is_spelled_like_the_files_however_it_was_typed(home: Place) -> None:
    composed, decomposed = "r\u00e9sum\u00e9", "re\u0301sume\u0301"
    assert overlap(typed(f"{decomposed}*.md", home), typed(f"{composed}-1.md", home))
    assert overlap(typed(f"{composed}*.md", home), typed(f"{decomposed}-1.md", home))


@pytest.mark.parametrize(
    "text",
    [
        "{a,b}" * 7 + ".py",
        "{" + ",".join(map(str, range(65))) + "}",
        "src/*/../a.py",
        "*" + "a" * 5000,
        "\ud800*.py",
        "a\0*.py",
    ],
    ids=["product", "sum", "dot-dot", "too-long", "unencodable", "nul"],
)
def test_a_pattern_that_cannot_be_used_is_a_usage_error(text: str, home: Place) -> None:
    with pytest.raises(UsageError):
        typed(text, home)


def test_as_many_alternatives_as_allowed_are_fine() -> None:
    assert len(globs.parse("{a,b}" * 6)) == globs.MAX_ALTERNATIVES


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("*a" * 40 + "b", "*a" * 40 + "b"),
        ("*a" * 40 + "b", "*a" * 40 + "c"),
        ("*a*a*a*a*b", "a" * 2000),
        ("**/" * 20 + "a", "**/" * 20 + "b"),
        ("{a,b}" * 6 + "*x", "{a,b}" * 6 + "*y"),
        ("[" * 4000, "[" * 4000),
        ("{" * 1000 + "{a,b}" * 5, "a"),
        ("*" * 4000 + "a", "*" * 4000 + "b"),
        ("*a" * 200 + "b", "*a" * 200 + "c"),
        ("**/" * 60 + "a", "**/" * 60 + "b"),
    ],
    ids=[
        *("stars", "stars-apart", "long-path", "folders", "alternatives", "brackets", "braces", "one-star"),
        *("hundreds-of-stars", "too-many-folders"),
    ],
)
def test_nasty_patterns_take_no_time(a: str, b: str) -> None:
    start = time.process_time()
    with suppress(UsageError):  # a limit is as good an answer
        overlap(a_glob(a), a_glob(b))
    assert time.process_time() - start < 0.5
