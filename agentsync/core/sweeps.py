"""Which git commands sweep up what others are doing in the same working tree.

`sweep` reads one command, given as words, and says what it would do to everybody's uncommitted work and what to type
instead. A command that names its own paths sweeps nothing. It is a warning's worth of knowledge, not a parser: what it
does not know, it lets pass.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Sequence

EVERYTHING = frozenset({".", "./", ":/", ":/.", ":", "*", ":(top)", ":(top)."})
"""Pathspecs that mean all there is."""

_BEFORE = frozenset({"sudo", "command", "exec", "time", "nice", "env", "nohup"})
"""Words that start the command behind them."""

_TAKES_A_VALUE = frozenset({"-C", "-c", "--git-dir", "--work-tree", "--namespace", "--exec-path", "--config-env"})
"""Options before git's verb whose value is the next word."""

_VALUES = {
    "commit": "mFCct",
    "stash": "m",
    "checkout": "bB",
    "switch": "cC",
    "restore": "s",
    "clean": "e",
    "add": "",
    "reset": "",
}
"""Short options of each verb whose value follows, in the same word or the next."""

_LONG_VALUES = frozenset(
    {"--message", "--file", "--author", "--date", "--source", "--exclude", "--orphan", "--conflict"}
)


class Sweep(Struct, frozen=True, gc=False):
    """A command that touches everybody's work."""

    command: str
    """`git stash`, …"""
    does: str
    """What it would do, as the end of a sentence: it … """
    instead: str
    """What to type to touch only one's own."""
    directory: str | None = None
    """What `-C` says."""


class _Words(Struct, frozen=True, gc=False):
    verb: str
    short: frozenset[str]
    long: frozenset[str]
    paths: tuple[str, ...]
    directory: str | None

    def has(self, letter: str, *names: str) -> bool:
        return letter in self.short or not self.long.isdisjoint(names)

    @property
    def everything(self) -> bool:
        return not EVERYTHING.isdisjoint(self.paths)


def sweep(words: Sequence[str]) -> Sweep | None:
    """What a command does to the work of others, or None."""
    said = _read(words)
    if said is None:
        return None
    found = _judge(said)
    if found is None:
        return None
    command, does, instead = found
    return Sweep(command, does, instead, said.directory)


def _judge(said: _Words) -> tuple[str, str, str] | None:
    everything, bare = said.everything, not said.paths
    discards = "throws away everybody's uncommitted changes"
    if said.verb == "stash":
        verb, *rest = said.paths or ("push",)
        pushes = verb in ("push", "save") or verb.startswith("-")
        own = verb == "push" and rest and EVERYTHING.isdisjoint(rest)
        if pushes and not own and not said.has("S", "--staged") and not said.has("p", "--patch"):
            return "git stash", "takes away everybody's uncommitted changes", "git stash push -- YOUR PATHS"
    if said.verb == "reset" and "--hard" in said.long:
        return "git reset --hard", discards, "git restore -- YOUR PATHS"
    if said.verb in ("checkout", "switch"):
        if said.has("f", "--force", "--discard-changes"):
            return f"git {said.verb} --force", discards, "commit or restore your own paths, then switch without force"
        if said.verb == "checkout" and everything and not said.has("p", "--patch"):
            return "git checkout .", discards, "git restore -- YOUR PATHS"
    if said.verb == "restore" and everything and not said.has("p", "--patch"):
        index_only = said.has("S", "--staged") and not said.has("W", "--worktree")
        return None if index_only else ("git restore .", discards, "git restore -- YOUR PATHS")
    if said.verb == "add" and not said.has("n", "--dry-run") and not said.has("p", "--patch"):
        whole = said.has("A", "--all", "--no-ignore-removal") or said.has("u", "--update")
        if everything or (whole and bare):
            return "git add --all", "stages everybody's changes for your commit", "git add -- YOUR PATHS"
    if said.verb == "commit" and not said.has("p", "--patch") and "--dry-run" not in said.long:
        whole = said.has("a", "--all") or everything
        return (
            ("git commit --all", "commits everybody's changes as yours", "git commit -- YOUR PATHS") if whole else None
        )
    if said.verb == "clean" and said.has("f", "--force") and not said.has("n", "--dry-run"):
        instead = "git clean -n shows them; delete your own by name"
        return ("git clean", "deletes everybody's new files", instead) if bare or everything else None
    return None


def _read(words: Sequence[str]) -> _Words | None:
    """A git command taken apart; None when it is none."""
    rest = list(words)
    while rest and (rest[0] in _BEFORE or ("=" in rest[0] and rest[0].partition("=")[0].isidentifier())):
        rest.pop(0)
    if not rest or rest.pop(0).rpartition("/")[2] != "git":
        return None
    directory = None
    while rest and rest[0].startswith("-"):
        option = rest.pop(0)
        if option in _TAKES_A_VALUE and rest:
            value = rest.pop(0)
            directory = value if option == "-C" else directory
    if not rest:
        return None
    verb = rest.pop(0)
    if verb not in _VALUES:
        return None
    short, long, paths = _options(rest, _VALUES[verb])
    return _Words(verb, frozenset(short), frozenset(long), tuple(paths), directory)


def _options(words: Sequence[str], with_value: str) -> tuple[set[str], set[str], list[str]]:
    short: set[str] = set()
    long: set[str] = set()
    paths: list[str] = []
    rest = iter(words)
    for word in rest:
        if word == "--":
            paths += rest
        elif word.startswith("--"):
            long.add(word.partition("=")[0])
            if word in _LONG_VALUES:
                next(rest, None)
        elif word.startswith("-") and len(word) > 1:
            for i, letter in enumerate(word[1:], 2):
                short.add(letter)
                if letter in with_value:
                    if i == len(word):
                        next(rest, None)
                    break
        else:
            paths.append(word)
    return short, long, paths
