"""What was said and done: mail, decisions, the feed."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from agentsync.console.table import Column, Made, Row, View, age, line, newest, parts
from agentsync.core.decisions import current
from agentsync.core.messages import revision_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agentsync.core.records import Decision, Event, Message
    from agentsync.ops.survey import Survey


def _to(message: Message) -> str:
    if len(message.readers) == 1 and message.to != "all":
        return line(message.readers[0].name)
    return line(message.to)


def _is_known(message: Message) -> bool:
    return all(reader.delivered_at or reader.read_at or reader.acked_at for reader in message.readers)


def _known(message: Message) -> str:
    readers = message.readers
    if not readers:
        return "-" if message.id.startswith("m") else "notice"
    if all(reader.acked_at for reader in readers):
        return "acked"
    told = sum(bool(reader.delivered_at or reader.read_at or reader.acked_at) for reader in readers)
    if len(readers) == 1:
        return "yes" if told else "no"
    return f"{told} of {len(readers)}"


def _body(message: Message) -> str:
    marks = [word for word, there in (("directive:", message.directive), ("urgent:", message.urgent)) if there]
    return line(" ".join([*marks, message.body]))


def _mail(seen: Survey, _events: Sequence[Event]) -> list[Row]:
    known = {message.id for message in seen.messages}
    notices = [message for message in seen.inbox if message.id not in known]
    found = sorted(
        (*seen.messages, *notices), key=lambda message: (message.created_at, revision_of(message)), reverse=True
    )
    return [Row(message.id, message) for message in found]


MAIL = View(
    "mail",
    "Mail",
    (
        Column("AGE", 6, lambda m, now: age(m.created_at, now), lambda m: newest(m.created_at)),
        Column("FROM", 12, lambda m, _: line(m.sender_name), lambda m: m.sender_name.casefold(), grows=1),
        Column("TO", 12, lambda m, _: _to(m), _to, grows=1),
        Column("KNOWN", 7, lambda m, _: _known(m), _known, tone=lambda m: "dim" if _is_known(m) else "warn"),
        Column("MESSAGE", 24, lambda m, _: _body(m), lambda m: m.body.casefold(), grows=8),
    ),
    _mail,
    "No mail. Press m to write to an agent, D to tell all of them something.",
    lambda seen, _: parts((sum(not _is_known(message) for message in seen.messages), "not yet known to all")),
    lambda m: m.sender,
)


def _decisions(seen: Survey, _events: Sequence[Event]) -> list[Row]:
    valid = {one.id for one in current(seen.decisions)}
    return [Row(one.id, Settled(one, one.id in valid)) for one in reversed(seen.decisions)]


class Settled(NamedTuple):
    """A decision, and whether it still holds."""

    decision: Decision
    holds: bool


DECISIONS = View(
    "decisions",
    "Decisions",
    (
        Column(
            "ID", 7, lambda one, _: one.decision.id, lambda one: newest(one.decision.created_at), tone=lambda _: "dim"
        ),
        Column(
            "AGE", 6, lambda one, now: age(one.decision.created_at, now), lambda one: newest(one.decision.created_at)
        ),
        Column(
            "BY", 12, lambda one, _: line(one.decision.by_name), lambda one: one.decision.by_name.casefold(), grows=1
        ),
        Column(
            "HOLDS",
            5,
            lambda one, _: "yes" if one.holds else "no",
            lambda one: not one.holds,
            tone=lambda one: "good" if one.holds else "dim",
        ),
        Column(
            "DECISION", 30, lambda one, _: line(one.decision.text), lambda one: one.decision.text.casefold(), grows=8
        ),
    ),
    _decisions,
    "Nothing is decided. Press o to settle something for everybody.",
    lambda seen, _: parts((len(current(seen.decisions)), "hold")),
    lambda one: one.decision.by,
)

_VERB_TONE = {
    "takeover": "bad",
    "force-unlock": "bad",
    "breach": "bad",
    "block-task": "warn",
    "wait": "warn",
    "request": "warn",
    "decision": "accent",
    "send": "accent",
    "register": "good",
    "complete-task": "good",
}


def tone_of(event: Event) -> str:
    """How an event looks."""
    return _VERB_TONE.get(event.verb, "")


def _said(event: Event) -> tuple[str, str]:
    """Who did it, by name if the summary begins with it, and what."""
    name, found, rest = event.summary.partition(f" ({event.actor}) ")
    return (name, rest) if found else (event.actor, event.summary)


FEED = View(
    "feed",
    "Feed",
    (
        Column("REV", 6, lambda e, _: str(e.rev), lambda e: -e.rev, tone=lambda _: "dim"),
        Column("AGE", 6, lambda e, now: age(e.at, now), lambda e: newest(e.at)),
        Column("WHO", 13, lambda e, _: line(_said(e)[0]), lambda e: _said(e)[0], grows=1),
        Column("VERB", 11, lambda e, _: line(e.verb), lambda e: e.verb, tone=tone_of),
        Column("WHAT", 30, lambda e, _: line(_said(e)[1]), lambda e: e.summary, grows=8),
    ),
    lambda _seen, events: Made(events, lambda event: Row(str(event.rev), event), backwards=True),
    "Nothing has happened yet.",
    lambda _, events: f"since {events[0].at:%Y-%m-%d %H:%M} UTC" if events else "",
    lambda e: e.actor,
    flows=True,
)
