"""The console line by line, for dumb terminals and scripts: commands come in, answers and the feed go out.

The end of the input, `quit`, or a signal ends it, and with it the operator's locks. Before the end of the input is
acted on, what was done so far has been told.
"""

from __future__ import annotations

import shlex
import signal
import sys
import threading
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, Protocol

from agentsync.console.steering import Done, Operator
from agentsync.errors import AgentSyncError, UsageError, explained
from agentsync.ops import survey
from agentsync.ops.operator import open_operator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from agentsync.core.records import Event
    from agentsync.runtime import Runtime

LATEST = 10
"""Events that are told at the start."""

PATIENCE_S = 2.0
"""Seconds that the end waits at most for the feed to tell what was done."""

PROMPT = "operator> "


class Voice(Protocol):
    """What the command line says things with."""

    json: bool
    runtime: Runtime

    @property
    def is_terminal(self) -> bool:
        """Whether a person reads."""
        ...

    def say(self, text: str) -> None:
        """Our own words."""
        ...

    def board(self, lines: Iterable[str]) -> None:
        """Words of others among them."""
        ...

    def event(self, event: Event) -> None:
        """One event."""
        ...

    def problem(self, error: AgentSyncError) -> None:
        """What went wrong."""
        ...


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
        "directive WHOM TEXT",
        "the same, as if each were the only one: it holds the end of a turn",
        2,
        (),
        lambda me, words, _: me.directive(words[0], _text(words[1:])),
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
        "refuse every edit; whoever holds a file loses it",
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


class Plain:
    """One run of it."""

    def __init__(self, voice: Voice) -> None:
        self._voice = voice
        self._operator = Operator(open_operator(voice.runtime))
        self._out = threading.Lock()
        self._told = 0
        self._news = threading.Condition()

    def run(self) -> int:
        """Read commands until there are no more. The exit code is 0, or that of the signal that ended it."""
        for name in ("SIGTERM", "SIGHUP"):
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, _stop)
        session = self._operator.session
        exists = session.store.exists()
        latest = survey.recent(session, LATEST)
        self._told = latest[-1].rev if latest else session.store.revision() if exists else 0
        follower = survey.follower(session, self._told)
        feed = threading.Thread(target=self._feed, args=(follower.events(),), daemon=True)
        try:
            self._greet(latest)
            feed.start()
            for line in sys.stdin:
                if not self._obey(line):
                    break
                self._prompt()
            self._wait()
            return 0
        finally:
            follower.close()
            for failed in self._operator.close():
                print(f"agent-sync: {failed}", file=sys.stderr)

    # ------------------------------------------------------------ saying
    def _greet(self, latest: Sequence[Event]) -> None:
        with self._out:
            for event in latest:
                self._tell(event)
        if not self._voice.json:
            self._say(f"You are the operator of {self._operator.session.place.base}. help shows what you can type.")
        self._prompt()

    def _prompt(self) -> None:
        if self._voice.is_terminal and not self._voice.json:
            print(PROMPT, end="", flush=True)

    def _say(self, text: str) -> None:
        with self._out:
            self._voice.say(text)
            sys.stdout.flush()

    def _feed(self, events: Iterable[Event]) -> None:
        for event in events:
            with self._out:
                if self._voice.is_terminal and not self._voice.json:
                    print("\r", end="")  # over the prompt
                self._tell(event)
                self._prompt()
            with self._news:
                self._told = event.rev
                self._news.notify_all()

    def _tell(self, event: Event) -> None:
        if self._voice.json:
            _print(event)
        else:
            self._voice.event(event)

    def _wait(self) -> None:
        """Until the feed has told all that has happened by now."""
        store = self._operator.session.store
        newest = store.revision() if store.exists() else 0
        with self._news:
            self._news.wait_for(lambda: self._told >= newest, PATIENCE_S)

    # ------------------------------------------------------------ doing
    def _obey(self, line: str) -> bool:
        """Do what a line says; False when it says to end."""
        try:
            words = _words(line)
            if not words:
                return True
            if words[0] in ("quit", "exit"):
                return False
            self._answer(words)
        except ValueError as error:
            self._complain(UsageError(f"this cannot be read: {error}", "close the quotes"))
        except AgentSyncError as error:
            self._complain(error)
        except BrokenPipeError:
            raise
        except OSError as error:
            self._complain(explained(error))
        return True

    def _complain(self, error: AgentSyncError) -> None:
        with self._out:
            if self._voice.json:
                from agentsync.render.payload import error as payload

                _print(payload(error))
            else:
                self._voice.problem(error)
                sys.stderr.flush()

    def _answer(self, words: list[str]) -> None:
        match words[0]:
            case "help":
                self._say(_help())
            case "status":
                self._status()
            case "msgs":
                self._msgs()
            case _:
                done = _call(self._operator, words)
                if self._voice.json:
                    with self._out:
                        _print(done.record)
                elif self._voice.is_terminal:
                    self._say(done.sentence)
                else:
                    with self._out:
                        self._voice.board([done.sentence])
                        sys.stdout.flush()

    def _status(self) -> None:
        from agentsync.ops.status import overview

        board = overview(self._operator.session)
        with self._out:
            if self._voice.json:
                from agentsync.render.payload import overview as payload

                _print(payload(board))
            else:
                from agentsync.render.status import table

                self._voice.board(table(board, self._voice.runtime.now(), colour=False))
            sys.stdout.flush()

    def _msgs(self) -> None:
        from agentsync.ops import mail

        session = self._operator.session
        found = mail.inbox(session)
        with self._out:
            if self._voice.json:
                from agentsync.render.payload import mine

                _print([mine(message, session.me.id) for message in found])
            elif found:
                from agentsync.render.messages import listing

                self._voice.board(listing(found, session.me.id, self._voice.runtime.now(), "agent-sync log"))
            else:
                self._voice.say("no new messages")
            sys.stdout.flush()
        for message in found:
            self._operator.read(message.id)


def _words(line: str) -> list[str]:
    """Words as a shell has them; without a quotation mark, an apostrophe is one."""
    try:
        return shlex.split(line)
    except ValueError:
        if '"' in line or line.count("'") % 2 == 0:
            raise
        return line.split()


def _call(me: Operator, words: list[str]) -> Done:
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


def _help() -> str:
    known = [(command.usage, command.about) for command in COMMANDS.values()] + list(LOOKING.items())
    width = max(len(usage) for usage, _ in known)
    return "\n".join(f"  {usage.ljust(width)}  {about}" for usage, about in known)


def _print(value: Any) -> None:
    """One line of JSON."""
    import msgspec

    from agentsync.core.visible import plain_json

    # Records inside of events are as they are on disk, with line ends.
    print(plain_json(msgspec.json.format(msgspec.json.encode(value), indent=-1)).decode(), flush=True)


def _stop(number: int, _frame: object) -> NoReturn:
    raise SystemExit(128 + number)
