"""The console line by line, for dumb terminals and scripts: commands come in, answers and the feed go out.

The end of the input, `quit`, or a signal ends it, and with it the operator's locks. Before the end of the input is
acted on, what was done so far has been told.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn, Protocol

from agentsync.console.commands import help_text, obey, words_of
from agentsync.console.steering import Operator
from agentsync.errors import AgentSyncError, explained
from agentsync.ops import survey
from agentsync.ops.operator import open_operator
from agentsync.render import payload
from agentsync.render.feed import Feed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

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

    @property
    def colour(self) -> bool:
        """Whether it may be coloured."""
        ...

    def write(self, document: bytes) -> None:
        """JSON that is made already."""
        ...

    def warn(self, text: str) -> None:
        """Something on the side."""
        ...

    def problem(self, error: AgentSyncError) -> None:
        """What went wrong."""
        ...


class Plain:
    """One run of it."""

    def __init__(self, voice: Voice) -> None:
        self._voice = voice
        self._operator = Operator(open_operator(voice.runtime))
        self._feed_lines = Feed(relative=True, colour=voice.colour)
        self._out = threading.Lock()
        self._told = 0
        self._news = threading.Condition()

    def run(self) -> int:
        """Read commands until there are no more. The exit code is 0, or that of the signal that ended it."""
        session = self._operator.session
        exists = session.store.exists()
        latest = survey.recent(session, LATEST)
        self._told = latest[-1].rev if latest else session.store.revision() if exists else 0
        follower = survey.follower(session, self._told)
        feed = threading.Thread(target=self._feed, args=(follower.events(),), daemon=True)
        numbers = (getattr(signal, name, None) for name in ("SIGTERM", "SIGHUP"))
        before = {number: signal.signal(number, _stop) for number in numbers if number is not None}
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
            for number, handler in before.items():
                signal.signal(number, handler)
            follower.close()
            if feed.ident is not None:
                feed.join(PATIENCE_S)  # the interpreter must not end while it prints
            for failed in self._operator.close():
                print(f"agent-sync: {failed}", file=sys.stderr)

    # ------------------------------------------------------------ saying
    def _greet(self, latest: Sequence[Event]) -> None:
        with self._speaking():
            for event in latest:
                self._tell(event)
        if not self._voice.json:
            self._say(f"You are the operator of {self._operator.session.place.base}. help shows what you can type.")
        self._prompt()

    @contextmanager
    def _speaking(self) -> Iterator[None]:
        """One at a time, over the prompt if it stands there."""
        with self._out:
            if self._voice.is_terminal and not self._voice.json:
                print(f"\r{' ' * len(PROMPT)}\r", end="")
            yield
            sys.stdout.flush()

    def _prompt(self) -> None:
        if self._voice.is_terminal and not self._voice.json:
            print(PROMPT, end="", flush=True)

    def _say(self, text: str) -> None:
        with self._speaking():
            self._voice.say(text)

    def _feed(self, events: Iterable[Event]) -> None:
        try:
            for event in events:
                with self._speaking():
                    self._tell(event)
                    self._prompt()
                with self._news:
                    self._told = event.rev
                    self._news.notify_all()
        except BrokenPipeError:
            os.kill(os.getpid(), signal.SIGTERM)  # nobody listens: whoever reads the commands is to stop, too
        except (AgentSyncError, OSError) as error:
            self._complain(error if isinstance(error, AgentSyncError) else explained(error))

    def _tell(self, event: Event) -> None:
        if self._voice.json:
            self._voice.write(payload.line(event))
        else:
            self._voice.board([self._feed_lines.line(event, self._voice.runtime.now())])

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
            words = words_of(line)
            if words and words[0] in ("quit", "exit"):
                return False
            if words:
                self._answer(words)
        except AgentSyncError as error:
            self._complain(error)
        except BrokenPipeError:
            raise
        except OSError as error:
            self._complain(explained(error))
        return True

    def _complain(self, error: AgentSyncError) -> None:
        with self._speaking():
            if self._voice.json:
                self._voice.write(payload.line(payload.error(error)))
            else:
                self._voice.problem(error)
                sys.stderr.flush()

    def _answer(self, words: list[str]) -> None:
        match words[0]:
            case "help":
                self._say(help_text())
            case "status":
                self._status()
            case "msgs":
                self._msgs()
            case _:
                done = obey(self._operator, words)
                with self._speaking():
                    if self._voice.json:
                        self._voice.write(payload.line(done.record))
                    else:
                        self._voice.board([done.sentence])
                    if done.warning:
                        self._voice.warn(done.warning)

    def _status(self) -> None:
        from agentsync.ops.status import overview

        board = overview(self._operator.session)
        with self._speaking():
            if self._voice.json:
                self._voice.write(payload.line(payload.overview(board)))
            else:
                from agentsync.render.status import table

                self._voice.board(table(board, self._voice.runtime.now(), colour=self._voice.colour))

    def _msgs(self) -> None:
        from agentsync.ops import mail

        session = self._operator.session
        found = mail.inbox(session)
        with self._speaking():
            if self._voice.json:
                self._voice.write(payload.line([payload.mine(message, session.me.id) for message in found]))
            elif found:
                from agentsync.render.messages import listing

                self._voice.board(listing(found, session.me.id, self._voice.runtime.now(), "agent-sync log"))
            else:
                self._voice.say("no new messages")
        for message in found:
            self._operator.read(message.id)


def _stop(number: int, _frame: object) -> NoReturn:
    raise SystemExit(128 + number)
