"""What agentsync promises, as if one thing happened after the other: small, and written without its code.

Each model says which answers are right in which state; what the operations and their words are is said there. The dead
do nothing: what a killed process had begun took effect before it died, or never.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from histories.checker import MAYBE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from histories.checker import Op

REFUSED = "refused"
GRANTED = "granted"
NOTHING = "nothing"


# ---------------------------------------------------------------- locks
class Grant(NamedTuple):
    """A lock that somebody holds."""

    holder: str
    target: str
    mode: str
    token: int | None
    """The revision in its token; None when the one who took it did not live to tell."""


class Held(NamedTuple):
    """What is held, by the living and by the dead."""

    grants: frozenset[Grant]
    dead: frozenset[str]
    newest: int
    """The greatest token granted so far."""


class Locks:
    """Locks on files, directories and patterns that may overlap.

    - `lock AGENT TARGETS MODE`: `(granted, ((target, token), …))`, or `(refused, tokens in the way)`.
    - `unlock AGENT TARGETS FORCE`: `(granted, tokens released)`, or `(refused, tokens in the way)`. What a dead agent had
      may be among them, or have been swept away before.
    - `unlock-all AGENT`: the same for whatever it holds.
    - `check AGENT FILE`: the tokens that an edit would meet.
    - `end AGENT`: it says goodbye and lets go of everything.
    - `die AGENT`: its process is killed. From then on what it held binds nobody.
    - `wake AGENT`: it is there, perhaps again. Then it has what nobody took meanwhile, unless all was swept away.
    """

    def __init__(self, covers: dict[str, set[str]]) -> None:
        """Begin with nothing held.

        Args:
            covers: For each target the files that it covers: two targets meet iff they have one in common.
        """
        self._covers = covers
        self.start = Held(frozenset(), frozenset(), 0)

    def step(self, state: Held, op: Op) -> Iterator[Held]:
        agent = op.words[0]
        if op.verb == "die":
            yield state._replace(dead=state.dead | {agent})
            return
        if op.verb == "wake":
            woken = state._replace(dead=state.dead - {agent})
            yield woken
            yield woken._replace(grants=frozenset(grant for grant in state.grants if grant.holder != agent))
            return
        if agent in state.dead:
            return
        own = [grant for grant in state.grants if grant.holder == agent]
        match op.verb:
            case "lock":
                yield from self._lock(state, op)
            case "unlock":
                yield from self._unlock(state, op, op.words[1], op.words[2])
            case "unlock-all":
                yield from self._unlock(state, op, tuple(grant.target for grant in own), False)
            case "end":
                if op.answer == MAYBE or _same(own, op.answer):
                    yield state._replace(grants=state.grants - set(own))
            case "check":
                met = self._in_the_way(state, agent, op.words[1], "exclusive")
                covered = any(self._meet(grant.target, op.words[1]) for grant in own)
                met = [grant for grant in met if not (covered and grant.mode == "shared")]
                if op.answer != MAYBE and _same(met, op.answer):
                    yield state

    def _meet(self, target: str, other: str) -> bool:
        return bool(self._covers[target] & self._covers[other])

    def _others(self, state: Held, agent: str, target: str, mode: str) -> list[Grant]:
        return [
            grant
            for grant in state.grants
            if grant.holder != agent and self._meet(grant.target, target) and not (grant.mode == mode == "shared")
        ]

    def _in_the_way(self, state: Held, agent: str, target: str, mode: str) -> list[Grant]:
        return [grant for grant in self._others(state, agent, target, mode) if grant.holder not in state.dead]

    def _lock(self, state: Held, op: Op) -> Iterator[Held]:
        agent, targets, mode = op.words
        blocked = [grant for target in targets for grant in self._in_the_way(state, agent, target, mode)]
        if blocked:
            if op.answer != MAYBE and op.answer[0] == REFUSED and _same(blocked, op.answer[1]):
                yield state
            return
        if op.answer != MAYBE and op.answer[0] == REFUSED:
            return
        told = dict(op.answer[1]) if op.answer != MAYBE else dict.fromkeys(targets)
        if set(told) != set(targets):
            return
        left = set(state.grants)
        for target in targets:
            left.difference_update(self._others(state, agent, target, mode))
        newest = state.newest
        for target in targets:
            own = next((grant for grant in left if grant[:2] == (agent, target)), None)
            token = told[target]
            if own is not None and own.mode == mode and own.token is not None:
                if token not in (own.token, None):
                    return  # a lock that is renewed is the same lock
                token = own.token
            elif (own is None or own.mode != mode) and token is not None and token <= state.newest:
                return  # what is granted later has a greater token
            left.discard(own)  # type: ignore[arg-type]
            left.add(Grant(agent, target, mode, token))
            newest = max(newest, token or 0)
        yield state._replace(grants=frozenset(left), newest=newest)

    def _unlock(self, state: Held, op: Op, targets: tuple[str, ...], force: bool) -> Iterator[Held]:
        agent = op.words[0]
        gone: set[Grant] = set()
        blocked: list[Grant] = []
        for target in targets:
            there = [grant for grant in state.grants if grant.target == target]
            mine = [grant for grant in there if grant.holder == agent]
            for grant in mine or there:
                if mine or force or grant.holder in state.dead:
                    gone.add(grant)
                else:
                    blocked.append(grant)
        if blocked:
            if op.answer != MAYBE and op.answer[0] == REFUSED and _same(blocked, op.answer[1]):
                yield state
        elif op.answer == MAYBE or (op.answer[0] == GRANTED and self._released(state, gone, op.answer[1])):
            yield state._replace(grants=state.grants - gone)

    @staticmethod
    def _released(state: Held, gone: set[Grant], tokens: tuple[int, ...]) -> bool:
        bound = {grant.token for grant in gone if grant.holder not in state.dead}
        free = {grant.token for grant in gone if grant.holder in state.dead}
        return bound - {None} <= set(tokens) and (set(tokens) <= bound | free or None in bound | free)


def _same(grants: Any, tokens: Any) -> bool:
    """Whether these are the tokens of these grants; an unknown one may be any."""
    wanted = {grant.token for grant in grants}
    told = set(tokens)
    return told == wanted if None not in wanted else told >= wanted - {None} and len(told) <= len(set(grants))


# ---------------------------------------------------------------- the line
class Queue(NamedTuple):
    """Who holds the one path, and who is in line for it, first come first."""

    holder: str | None
    line: tuple[tuple[int, str], ...]
    """Priority, negated, and name: the smaller stands before; among equals who came first."""
    dead: frozenset[str]


class Line:
    """One path, and the agents who stand in line for it.

    - `stand AGENT PRIORITY`: `granted` at once, or `waits`.
    - `get AGENT`: it waits until it is `granted`, or gives up (`nothing`).
    - `lock AGENT`: without waiting: `granted`, or `refused` because somebody holds it or is in line for it.
    - `unlock AGENT`; `die AGENT`: what it held is free, and it is in line no more.
    """

    start = Queue(None, (), frozenset())

    def step(self, state: Queue, op: Op) -> Iterator[Queue]:
        agent, answer = op.words[0], op.answer
        if op.verb in ("die", "wake"):
            yield state._replace(dead=state.dead | {agent} if op.verb == "die" else state.dead - {agent})
            return
        if agent in state.dead:
            return
        line = tuple(place for place in state.line if place[1] not in state.dead)
        holder = None if state.holder in state.dead else state.holder
        state = Queue(holder, line, state.dead)
        mine = next((place for place in line if place[1] == agent), None)
        match op.verb:
            case "stand":
                place = (-op.words[1], agent)
                number = sum(other[0] <= place[0] for other in line)
                at_once = holder is None and number == 0
                if at_once and answer in (GRANTED, MAYBE):
                    yield state._replace(holder=agent)
                if not at_once and answer in ("waits", MAYBE):
                    yield state._replace(line=(*line[:number], place, *line[number:]))
            case "get":
                if mine is None:
                    return
                without = state._replace(line=tuple(place for place in line if place != mine))
                if answer in (GRANTED, MAYBE) and holder is None and line[0] == mine:
                    yield without._replace(holder=agent)
                if answer in (NOTHING, MAYBE):
                    yield without
            case "lock":
                free = holder == agent or (holder is None and not line)
                if free and answer in (GRANTED, MAYBE):
                    yield state._replace(holder=agent)
                if not free and answer == REFUSED:
                    yield state
            case "unlock":
                if holder == agent:
                    yield state._replace(holder=None)


# ---------------------------------------------------------------- the board
class Job(NamedTuple):
    """A task."""

    status: str
    owner: str | None


class Work(NamedTuple):
    """All tasks in the order in which they are given out, and who is dead."""

    jobs: tuple[Job, ...]
    dead: frozenset[str]


_FROM = {
    "claim": ("pending", "in_progress"),  # a blocked one only by its owner
    "complete": ("in_progress", "blocked"),
    "block": ("pending", "in_progress"),
    "release": ("in_progress", "blocked"),
    "reopen": ("blocked", "done", "cancelled"),
    "cancel": ("pending", "in_progress", "blocked"),
    "handoff": ("in_progress", "blocked"),
}
_TO = {"complete": "done", "block": "blocked", "release": "pending", "reopen": "pending", "cancel": "cancelled"}


class Board:
    """A board of tasks, the first of them the most urgent.

    - `claim-next AGENT`: the number of a task, or `nothing`.
    - `claim|complete|block|release|reopen|cancel AGENT TASK`, `handoff AGENT TASK TO`: `granted` or `refused`.
    - `die AGENT`: what it had is up for grabs. `wake AGENT`: it is there, perhaps again, and has what nobody took.
    """

    def __init__(self, needs: tuple[tuple[int, ...], ...], absent: Iterable[str] = ()) -> None:
        """Begin with all of them open.

        Args:
            needs: For each task the numbers of those that must be finished first.
            absent: Agents who are not there yet.
        """
        self._needs = needs
        self.start = Work((Job("pending", None),) * len(needs), frozenset(absent))

    def step(self, state: Work, op: Op) -> Iterator[Work]:
        agent = op.words[0]
        if op.verb == "die":
            yield state._replace(dead=state.dead | {agent})
            return
        if op.verb == "wake":
            yield state._replace(dead=state.dead - {agent})
            return
        if agent in state.dead:
            return
        if op.verb == "claim-next":
            best = next((number for number in range(len(state.jobs)) if self._is_open(state, number, agent)), NOTHING)
            if op.answer in (best, MAYBE):
                yield state if best == NOTHING else _with(state, best, Job("in_progress", agent))  # type: ignore[arg-type]
            return
        after = self._after(state, op)
        if after is not None and op.answer in (GRANTED, MAYBE):
            yield after
        if after is None and op.answer == REFUSED:
            yield state

    def _is_open(self, state: Work, number: int, agent: str) -> bool:
        job = state.jobs[number]
        free = job.status == "pending" or (
            job.status == "in_progress" and job.owner != agent and job.owner in state.dead
        )
        return free and self._is_ready(state, number)

    def _is_ready(self, state: Work, number: int) -> bool:
        return all(state.jobs[needed].status in ("done", "cancelled") for needed in self._needs[number])

    def _after(self, state: Work, op: Op) -> Work | None:
        """The state when it is granted; None when it must be refused."""
        agent, number = op.words[:2]
        status, owner = job = state.jobs[number]
        mine = owner == agent
        unfinished = status not in ("done", "cancelled")
        if unfinished and owner is not None and not mine and owner not in state.dead:
            return None
        if op.verb == "claim" and status == "blocked" and mine:
            return _with(state, number, Job("in_progress", agent))
        if status not in _FROM[op.verb]:
            return None
        if op.verb == "claim":
            if not mine and not self._is_ready(state, number):
                return None
            return _with(state, number, Job("in_progress", agent))
        if op.verb == "handoff":
            to = op.words[2]
            if to == owner:
                return state
            return None if to in state.dead else _with(state, number, job._replace(owner=to))
        after = _TO[op.verb]
        return _with(state, number, Job(after, None if after == "pending" else owner))


def _with(state: Work, number: int, job: Job) -> Work:
    return state._replace(jobs=(*state.jobs[:number], job, *state.jobs[number + 1 :]))


# ---------------------------------------------------------------- mail
class Letter(NamedTuple):
    """What somebody was not told yet."""

    body: str
    kind: str
    """`directed`, `urgent` (to all, but at once), or `cast`."""


class Post(NamedTuple):
    """One reader's mail, oldest first."""

    waiting: tuple[Letter, ...]
    newest: int


_KINDS = {"within": ("directed", "urgent"), "stop": ("directed",), "prompt": ("directed", "urgent", "cast")}
"""What is told on which occasion."""


class Mail:
    """The mail of one reader.

    - `send SENDER BODY KIND`: the number of the message, greater than all before.
    - `hear READER WHEN`: the bodies that a hook tells `within` a turn, with a `prompt`, or at the `stop`; with the
      number of those it had no room for.
    - `hear-killed READER WHEN`: what a hook had written when it was killed. If that was nothing, nothing was told;
      otherwise it counts as told or not.
    - `read READER BODY`: it reads one by itself.
    """

    start = Post((), 0)

    def step(self, state: Post, op: Op) -> Iterator[Post]:
        answer = op.answer
        match op.verb:
            case "send":
                if answer == MAYBE or answer > state.newest:
                    waiting = (*state.waiting, Letter(*op.words[1:3]))
                    yield Post(waiting, state.newest if answer == MAYBE else answer)
            case "read":
                yield state._replace(waiting=tuple(one for one in state.waiting if one.body != op.words[1]))
            case "hear" | "hear-killed":
                heard, left = answer
                if op.verb == "hear-killed":
                    yield state
                    if not heard:
                        return
                due = [one for one in state.waiting if one.kind in _KINDS[op.words[1]]]
                if tuple(heard) == tuple(one.body for one in _told(due, len(due) - left)) and len(heard) + left == len(
                    due
                ):
                    yield state._replace(waiting=tuple(one for one in state.waiting if one.body not in heard))


def _told(due: list[Letter], count: int) -> list[Letter]:
    """The first that are told when there is room for some: the directed before the others, in their order."""
    first = sorted(due, key=lambda one: one.kind != "directed")[: max(count, 0)]
    return [one for one in due if one in first]
