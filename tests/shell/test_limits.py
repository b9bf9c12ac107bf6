"""No text raises, takes long, or is read twice in two ways."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agentsync.errors import MissingExtraError
from agentsync.shell import harmless, read, tree

ROOT = Path(__file__).parents[2]

TOKENS = (
    "rm|cp|mv|sed -i|git checkout|git stash|tee|find|-delete|-exec|xargs|cat|ls|grep|sort|-o|-i|--|-n|a|b.py|src/|*|?|[a-z]|~|.|..|$F|${F}|"
    "${F%.x}|$(|)|`|'|\"|\\|{|}|,|;|;;|&&|||| |\n|\t|#|>|>>|<|<<E|\nE\n|<<<|>&|2>|&|!|if|then|fi|for f in|do|done|while|case x in|esac|f()|F=|"
    'F=(|python -c|\'open("a","w")\'|node -e|bash -c|eval|cd|--output=x|echo|*** Begin Patch|\ud800|\udcff|\0|é|\U0001f600|-|=|:|@'
)
WORDS = st.lists(st.sampled_from([*TOKENS.split("|"), "|", "||", "|&"]), max_size=30)
TEXTS = st.text() | WORDS.map("".join) | WORDS.map(" ".join)


@given(TEXTS)
@settings(max_examples=400, deadline=None)
@example("\ud800")
@example("rm \udcff")
@example("rm a\0b")
@example(">then${\U00086ca1<<-E'")
@example("L\U00039e12$({\U000daa1a\U000618ea\u00e9\u0351@\x0b\u00e9\r)fi<<Eesac\x07")
def test_any_text_is_read_without_an_error(text: str) -> None:
    for write in read.writes(text, "/nowhere", "/home/x"):
        assert write.path.startswith("/")


SIMPLE = st.lists(
    st.sampled_from(
        [
            *sorted(harmless.PROGRAMS),
            *sorted(harmless.GIT_VERBS),
            *sorted(harmless.SED_OPTIONS),
            *sorted(harmless.SEPARATORS | harmless.IGNORED),
            *[
                "-delete",
                "-o",
                "--output=x",
                "-i",
                "-exec",
                "rm",
                "a",
                "src",
                "*.py",
                "'",
                '"',
                "-n",
                "--no-pager",
                "x y",
                "{}",
                "+",
                ">",
                "tee",
            ],
        ]
    ),
    min_size=1,
    max_size=9,
)


@given(SIMPLE.map(" ".join) | SIMPLE.map("".join) | TEXTS)
@settings(max_examples=600, deadline=None)
@example('find . "-delete"')
@example("find . '-del'ete")
@example("sort -oa b")
@example("git diff --output=x")
@example("git log '--out'put=x")
@example("ls | tee a")
@example("sed -ni p a")
@example("cat a >b")
def test_what_is_harmless_writes_nothing(text: str) -> None:
    if harmless.is_harmless(text):
        assert read.writes(text, str(ROOT), "/home/x") == ()


@pytest.mark.parametrize(
    "command",
    [
        "ls -la",
        "git status",
        "git --no-pager diff HEAD~1 -- src/a.py",
        "cat a.py | head -20",
        "grep -rn 'def x' src",
        "cd src && ls",
        "sed -n 1,20p a.py",
        "find . -name '*.py' | wc -l",
        "rg -n foo 2>/dev/null || true",
        "git log --oneline | head -5 2>&1",
    ],
)
def test_what_agents_do_all_day_is_harmless(command: str) -> None:
    assert harmless.is_harmless(command)


@pytest.mark.parametrize(
    "command",
    [
        "rm a",
        "ls > a",
        "ls; rm a",
        "ls;rm a",
        "ls\nrm a",
        "$(rm a)",
        "find . -delete",
        "find . -exec rm {} +",
        "sed -i s/a/b/ x",
        "A=1 ls",
        "sort -o a a",
        "sort -uo a a",
        "git checkout .",
        "git diff --output=a",
        "unknown",
        "git",
        "ls &",
        "ls `rm a`",
        "uniq a b",
        "\\ls",
    ],
)
def test_what_might_write_is_not(command: str) -> None:
    assert not harmless.is_harmless(command)


LARGE = {
    "words": "a " * 32_000,
    "commands": "rm a; " * 10_000,
    "pipes": "a|" * 32_000,
    "less": "<" * 64_000,
    "arrays": "a=(" * 21_000,
    "open": "(" * 64_000,
    "closed": ")" * 64_000,
    "substitutions": "$(" * 32_000,
    "quoted substitutions": '"$(' * 21_000,
    "documents": "a <<E\n" * 10_000,
    "braces": "rm " + "{a,b}" * 10_000,
    "range": "rm {1..999999} {1..9}{1..9}{1..9}{1..9}{1..9}{1..9}",
    "stars": "rm " + "*/" * 20_000,
    "doubling": "A=aaaaaaaa; " + "A=$A$A; " * 5_000 + "rm $A",
    "doubling arrays": "A=(a b); " + 'A=("${A[@]}" "${A[@]}"); ' * 2_000 + 'rm "${A[@]}"',
    "functions": "".join(f"f{n}() {{ f{n + 1}; f{n + 1}; }}; " for n in range(1_000)) + "f0",
    "loops": "for a in {1..200}; do " * 200 + "rm $a; " + "done; " * 200,
    "lists": "a && " * 12_000 + "rm b",
    "negations": "! " * 30_000 + "rm a",
    "one word": "rm " + "a" * 60_000,
    "evals": "eval " * 10_000 + "rm a",
    "wrappers": "sudo " * 10_000 + "rm a",
    "words of quotes": "rm " + "''" * 30_000,
    "variables": "rm " + "$A" * 30_000,
    "python": "python -c '" + "(" * 60_000 + "open'",
    "python sum": "python -c 'open(" + "+".join(['"a"'] * 10_000) + ', "w")\'',
    "python branches": "python - <<'E'\nif a: pass\n" + "elif a: open('b','w')\n" * 2_000 + "E",
    "node": "node -e \"fs\nconst a = 'b'" + ", a = 'b'" * 5_000 + '"',
    "megabyte": "rm a; " * 200_000,
    "nul": "\0" * 64_000,
    "surrogates": "\ud800" * 64_000,
}


@pytest.mark.parametrize("text", LARGE.values(), ids=LARGE)
def test_a_large_or_deep_text_takes_a_bounded_time(text: str) -> None:
    start = time.process_time()
    read.writes(text, "/usr", "/home/x")
    assert time.process_time() - start < 5


def test_what_is_too_long_is_not_read() -> None:
    assert read.writes("rm a #" + "x" * tree.MAX_BYTES, "/") == ()
    assert read.writes("rm a #" + "x" * 60_000, "/") != ()


def test_the_filter_and_the_patches_load_nothing() -> None:
    code = "import sys, agentsync.shell.harmless, agentsync.shell.patch; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    loaded = set(done.stdout.split())
    assert not loaded & {"msgspec", "tree_sitter", "tree_sitter_bash", "dataclasses"}
    ours = {name for name in loaded if name.startswith("agentsync.")}
    assert ours == {"agentsync.shell", "agentsync.shell.harmless", "agentsync.shell.patch"}


def test_without_the_parser_the_error_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['tree_sitter'] = None\n"
        "from agentsync.errors import MissingExtraError\nfrom agentsync.shell import read\n"
        "try: read.writes('ls', '/')\nexcept MissingExtraError as error: print(error.code, error.hint)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout == "1 pip install 'agentsync[shell]'\n"
    assert MissingExtraError.code == 1
