"""A report as one file of HTML that needs nothing else: no network, no other file.

What agents wrote stays text: it is escaped as for a terminal, goes into the page as JSON in which no tag can end or
begin, and its script only ever makes text of it. A policy in the page forbids anything but this very script and style.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agentsync.render.frame import escape

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from agentsync.core.account import Flow, Hold
    from agentsync.core.hotspots import Hotspot
    from agentsync.ops.report import Report

TEMPLATE = "report.html"
"""Beside this module: the whole page but for its data."""


class _Numbers(dict[str, int]):
    """Texts by number, each once: what is named ten thousand times is written once."""

    def of(self, text: str) -> int:
        """The number of a text."""
        return self.setdefault(text, len(self))


class _Page:
    """The data of a page: lists in the order that its script knows, times in seconds after the beginning."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._account = report.account
        self._paths = _Numbers()
        self._strings = _Numbers()
        self._strings.of("")
        self._agents = _Numbers()
        for stay in report.account.agents:
            self._agents.of(stay.agent)

    def data(self) -> dict[str, Any]:
        account = self._account
        found = {
            "stays": [[self._agent(s.agent), self._time(s.since), self._end(s.until)] for s in account.agents],
            "holds": [self._hold(hold) for hold in account.holds],
            "waits": [
                [
                    self._agent(w.agent),
                    w.wants,
                    self._path_list(w.paths),
                    self._time(w.since),
                    self._end(w.until),
                    w.outcome,
                ]
                for w in account.waits
            ],
            "refusals": [
                [self._time(r.at), self._agent(r.agent), self._path(r.path), self._somebody(r.holder), r.by]
                for r in account.refusals
            ],
            "breaches": [
                [
                    self._time(b.at),
                    self._agent(b.agent),
                    self._path_list(b.paths),
                    [self._agent(holder) for holder in b.holders],
                    _text(b.summary),
                ]
                for b in account.breaches
            ],
            "spots": [self._spot(spot) for spot in self._report.hotspots],
            "tasks": [self._task(flow) for flow in account.tasks],
            "messages": [
                [
                    self._time(m.created_at),
                    self._agent(m.sender),
                    _text(m.to),
                    _text(m.body),
                    sum((r.delivered_at or r.read_at or r.acked_at) is not None for r in m.readers),
                    len(m.readers),
                    "directive" if m.directive else "request" if m.request else "urgent" if m.urgent else "",
                ]
                for m in account.messages
            ],
            "decisions": [
                [self._time(d.created_at), self._agent(d.by), _text(d.text), _text(d.id), _text(d.supersedes or "")]
                for d in account.decisions
            ],
        }
        names = {stay.agent: (stay.name, stay.role, stay.client) for stay in account.agents}
        agents = []
        for agent_id in self._agents:
            name, role, client = names.get(agent_id, (agent_id, None, ""))
            agents.append([*map(_text, (agent_id, name, role or "", client)), agent_id in names])
        return {
            **found,
            "agents": agents,
            "paths": [_text(path) for path in self._paths],
            "strings": [_text(text) for text in self._strings],
            "project": _text(self._report.project),
            "since": _milliseconds(account.since),
            "until": _milliseconds(account.until),
            "made": _milliseconds(self._report.made_at),
            "events": account.events,
        }

    def _hold(self, hold: Hold) -> list[Any]:
        texts = (hold.ended, hold.reason, hold.task, hold.worktree)
        return [
            self._path(hold.path),
            self._agent(hold.holder),
            self._time(hold.since),
            self._end(hold.until),
            hold.auto + 2 * (hold.mode == "shared"),
            *(self._strings.of(text or "") for text in texts),
        ]

    def _spot(self, spot: Hotspot) -> list[Any]:
        advice = spot.suggestion
        return [
            self._path(spot.path),
            spot.heat,
            spot.refusals,
            spot.waits,
            spot.waited_s,
            spot.breaches,
            spot.edits,
            [[self._agent(agent), count] for agent, count in spot.editors.items()],
            spot.holds,
            spot.held_s,
            [[self._agent(agent), seconds] for agent, seconds in spot.holders.items()],
            [self._agent(agent) for agent in spot.agents],
            *((advice.kind, advice.setting, _text(advice.why)) if advice else (None, None, None)),
        ]

    def _task(self, flow: Flow) -> list[Any]:
        task = flow.task
        return [
            task.id,
            _text(task.title),
            task.status,
            self._somebody(task.owner),
            self._time(task.created_at),
            self._end(task.claimed_at),
            self._end(task.completed_at),
            [[self._time(step.at), step.status, self._somebody(step.owner)] for step in flow.steps],
        ]

    def _agent(self, agent_id: str) -> int:
        return self._agents.of(agent_id)

    def _somebody(self, agent_id: str | None) -> int | None:
        return None if agent_id is None else self._agent(agent_id)

    def _path(self, path: str) -> int:
        return self._paths.of(path)

    def _path_list(self, paths: Iterable[str]) -> list[int]:
        return [self._path(path) for path in paths]

    def _time(self, moment: datetime) -> float:
        seconds = round((moment - self._account.since).total_seconds(), 1)
        return int(seconds) if seconds.is_integer() else seconds

    def _end(self, moment: datetime | None) -> float | None:
        return None if moment is None else self._time(moment)


def html(report: Report, template: str, version: str) -> str:
    """The page.

    Args:
        report: What is in it.
        template: The content of `TEMPLATE`.
        version: Ours, for its foot.
    """
    import json
    from html import escape as as_html

    data = {**_Page(report).data(), "version": version}
    # As ASCII, so that no separator of lines and nothing that turns text around is in the file as it is.
    text = json.dumps(data, separators=(",", ":"))
    for special in "<>&":
        text = text.replace(special, f"\\u{ord(special):04x}")
    sources = " ".join(
        f"{kind}-src '{_hash(template, tag)}';" for kind, tag in (("script", "script"), ("style", "style"))
    )
    policy = f"default-src 'none'; {sources} base-uri 'none'; form-action 'none'"
    title = as_html(f"{_text(report.project)}: agent-sync report")
    return template.replace("{{CSP}}", policy).replace("{{TITLE}}", title).replace("{{DATA}}", text)


def _hash(template: str, tag: str) -> str:
    """The hash of an inline script or style, for the policy: nothing else of its kind may run."""
    from base64 import b64encode
    from hashlib import sha256

    inside = template.rpartition(f"<{tag}>")[2].partition(f"</{tag}>")[0]
    return f"sha256-{b64encode(sha256(inside.encode()).digest()).decode()}"


def _text(text: str) -> str:
    """Somebody's words, with what cannot be seen written as escapes; lines stay lines."""
    if text.isascii() and text.isprintable():
        return text
    return "\n".join(escape(line) for line in text.split("\n"))


def _milliseconds(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)
