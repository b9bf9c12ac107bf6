"""What can be typed at the console line by line, and what it means."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, NamedTuple

from agentsync.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from agentsync.console.steering import Done, Operator


class Command(NamedTuple):
    """Something that can be typed."""

    usage: str
    about: str
    least: int
    """Words that it needs at least."""
    flags: tuple[str, ...]
    """Those with a value end in `=`."""
    run: Callable[[Operator, list[str], dict[str, str]], Done]


def _text(words: Sequence[str]) -> str:
    return " ".join(words)


COMMANDS: dict[str, Command] = {
    "send": Command(
        "send WHOM TEXT [--reply-to ID]",
        "write to an agent, a role or all",
        2,
        ("--reply-to=",),
        lambda me, words, flags: me.send(words[0], _text(words[1:]), flags.get("--reply-to")),
    ),
    "directive": Command(
        'directive [WHOM] "TEXT"',
        "the same, as if each were the only one: it holds the end of a turn; to all, if WHOM is left out",
        1,
        (),
        lambda me, words, _: me.directive(*((words[0], _text(words[1:])) if words[1:] else ("all", words[0]))),
    ),
    "lock": Command(
        "lock PATH [REASON] [--force]",
        "lock until this console ends; by force, others lose what is in the way",
        1,
        ("--force",),
        lambda me, words, flags: me.lock(words[0], _text(words[1:]) or None, force="--force" in flags),
    ),
    "unlock": Command(
        "unlock PATH [--force]",
        "unlock; by force also what others hold",
        1,
        ("--force",),
        lambda me, words, flags: me.unlock(words[0], force="--force" in flags),
    ),
    "freeze": Command(
        "freeze [REASON]",
        "refuse every edit on this machine; whoever holds a file here loses it",
        0,
        (),
        lambda me, words, _: me.freeze(_text(words) or None),
    ),
    "thaw": Command("thaw", "end that", 0, (), lambda me, _words, _flags: me.thaw()),
    "task new": Command(
        "task new TITLE [--file PATH] [--priority N]",
        "put a task on the board",
        1,
        ("--file=", "--priority="),
        lambda me, words, flags: me.new_task(
            _text(words), [flags["--file"]] if "--file" in flags else [], _number(flags.get("--priority"))
        ),
    ),
    "task done": Command("task done TASK", "it is done", 1, (), lambda me, words, _: me.complete(_text(words))),
    "task block": Command(
        "task block TASK REASON",
        "it cannot go on",
        2,
        (),
        lambda me, words, _: me.block(words[0], _text(words[1:])),
    ),
    "task cancel": Command(
        "task cancel TASK", "it will not be done", 1, (), lambda me, words, _: me.cancel(_text(words))
    ),
    "task assign": Command(
        "task assign TASK WHOM",
        "give it to an agent, with its locks",
        2,
        (),
        lambda me, words, _: me.assign(_text(words[:-1]), words[-1]),
    ),
    "decision": Command(
        "decision TEXT [--supersedes ID]",
        "settle something for everybody",
        1,
        ("--supersedes=",),
        lambda me, words, flags: me.decide(_text(words), flags.get("--supersedes")),
    ),
}
LOOKING = {
    "status": "who is here, what is held, what is to do",
    "msgs": "what was written to you",
    "help": "this",
    "quit": "end, and give back what you hold",
}


def words_of(line: str) -> list[str]:
    """Words as a shell has them; without a quotation mark, an apostrophe is one.

    Raises:
        UsageError: A quotation mark is not closed.
    """
    try:
        return shlex.split(line)
    except ValueError as error:
        if '"' not in line and line.count("'") % 2:
            return line.split()
        raise UsageError(f"this cannot be read: {error}", "close the quotes") from None


def obey(me: Operator, words: list[str]) -> Done:
    """Do what the words say.

    Raises:
        AgentSyncError: They say nothing that can be done.
    """
    name = " ".join(words[: 2 if words[0] == "task" else 1])
    command = COMMANDS.get(name)
    if command is None:
        from difflib import get_close_matches

        near = get_close_matches(name, [*COMMANDS, *LOOKING], n=1)
        raise UsageError(f"{name[:80]!r} is no command", f"did you mean {near[0]}?" if near else "help lists them")
    rest, flags = _flags(words[len(name.split()) :], command)
    if len(rest) < command.least:
        raise UsageError(f"{name} needs more than that", command.usage)
    return command.run(me, rest, flags)


def _flags(words: list[str], command: Command) -> tuple[list[str], dict[str, str]]:
    rest, flags = [], {}
    given = iter(words)
    for word in given:
        if not word.startswith("--") or word == "--":
            rest.append(word)
        elif word in command.flags:
            flags[word] = ""
        elif f"{word}=" in command.flags:
            value = next(given, None)
            if value is None:
                raise UsageError(f"{word} needs a value", command.usage)
            flags[word] = value
        else:
            raise UsageError(f"{word[:80]!r} means nothing here", command.usage)
    return rest, flags


def _number(text: str | None) -> int | None:
    try:
        return None if text is None else int(text)
    except ValueError:
        raise UsageError(f"{text!r} is no number", "for example --priority 3") from None


def help_text() -> str:
    """All that can be typed, a line each."""
    known = [(command.usage, command.about) for command in COMMANDS.values()] + list(LOOKING.items())
    width = max(len(usage) for usage, _ in known)
    return "\n".join(f"  {usage.ljust(width)}  {about}" for usage, about in known)
