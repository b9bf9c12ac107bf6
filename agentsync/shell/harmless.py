"""Commands that certainly write nothing, told without a parser.

`is_harmless` is a filter: True means that `read.writes` would find nothing (property-tested), False means "read it". It
is simple on purpose, so that a POSIX shell can do the same with `case` and a loop over words:

1. At most `MAX_LENGTH` characters. Quotes (`"` and `'`) are dropped, wherever they stand. The rest has only the
   characters of `PLAIN`; a word of `SEPARATORS` or `IGNORED` may have others.
2. Split at spaces. A word of `SEPARATORS` ends a command, words of `IGNORED` mean nothing, all others must be plain.
3. The first word of every command is in `PROGRAMS`, and none of its words begins with one of the prefixes that
   `PROGRAMS` names for it. `WORDS` limits, for some programs, the options to those listed, or the first operand.

Dropping quotes is safe: it can only make more separators and more options of a text, never hide one. No imports.
"""

from __future__ import annotations

MAX_LENGTH = 4096

PLAIN = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789 ._/:=,@%+-^~*?[]")

SEPARATORS = frozenset({"|", "&&", "||", ";"})
IGNORED = frozenset({"2>&1", "2>/dev/null", ">/dev/null"})

_ANYTHING: tuple[str, ...] = ()

PROGRAMS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(
        ("ls", "cat", "head", "tail", "wc", "grep", "egrep", "fgrep", "rg", "pwd", "cd", "echo", "true", "false"),
        _ANYTHING,
    ),
    **dict.fromkeys(("which", "stat", "du", "df", "basename", "dirname", "realpath", "readlink"), _ANYTHING),
    **dict.fromkeys(("diff", "cmp", "cut", "tr", "nl", "od", "date", "printenv", "sleep", "jq"), _ANYTHING),
    **dict.fromkeys(("test", "md5sum", "sha1sum", "sha256sum", "cksum", "uname", "whoami", "id", "ps"), _ANYTHING),
    "find": ("-delete", "-exec", "-ok", "-fprint", "-fls"),
    "git": ("--output", "-o", "--exec", "--ext"),
    "sort": ("-", "--o"),
    "tree": ("-o", "--output"),
    "sed": ("--", "-i", "-s", "-z", "-u", "-l"),
}
"""Programs that read, with the beginnings of words that make them do more (or make it hard to say)."""

SED_OPTIONS = frozenset({"-n", "-E", "-r", "-e", "-ne"})
"""The only words with a dash that `sed` may have here."""

GIT_VERBS = frozenset(
    {"status", "diff", "log", "show", "blame", "rev-parse", "ls-files", "ls-tree", "describe", "grep", "shortlog"}
    | {"cat-file", "merge-base", "rev-list", "name-rev", "for-each-ref", "show-ref", "ls-remote", "remote", "branch"}
)
"""What may stand first after `git`, or after `git --no-pager`."""


def is_harmless(command: str) -> bool:
    """Whether the command certainly writes nothing that `read.writes` would find."""
    if len(command) > MAX_LENGTH:
        return False
    words: list[str] = []
    for word in command.replace('"', "").replace("'", "").split(" "):
        if word in SEPARATORS:
            if words and not _reads(words):
                return False
            words = []
        elif word and word not in IGNORED:
            if not PLAIN.issuperset(word):
                return False
            words.append(word)
    return not words or _reads(words)


def _reads(words: list[str]) -> bool:
    """Whether one command, its words without quotes, only reads."""
    program, *rest = words
    bad = PROGRAMS.get(program)
    if bad is None:
        return False
    if program == "git":
        if rest[:1] == ["--no-pager"]:
            del rest[0]
        if not rest or rest[0] not in GIT_VERBS:
            return False
    if program == "sed" and any(word[0] == "-" and word not in SED_OPTIONS for word in rest):
        return False
    return not (bad and any(word.startswith(bad) for word in rest))
