"""The same models in the hands of hypothesis: one thing at a time, time by hand, and kills at any file primitive.

Each rule is an operation of somebody. It may be killed before its n-th call to the file system, as in `crash/killing`;
then a model keeps both what would be true if it took effect and what would be true if not, until an answer tells. After
every step the directory must be in order, the log must explain it, and the live locks must be those of a state that the
model holds possible.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from crash.killing import kill_before
from histories.checker import MAYBE, Op
from histories.models import GRANTED, NOTHING, REFUSED, Board, Grant, Locks, Mail
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from invariants import check_replay, check_store, history
from rounds import ROUNDS
from world import World

from agentsync.core import locks as core
from agentsync.core.changes import Put
from agentsync.core.locks import Conflict, Granted
from agentsync.core.tasks import Changed
from agentsync.errors import NotFoundError
from agentsync.ops import agents, care, decisions, edits, locks, mail, requests, tasks
from agentsync.ops.session import resolve_targets

if TYPE_CHECKING:
    from collections.abc import Callable

    from world import Player

    from agentsync.core.lease import Held
    from agentsync.core.paths import Target
    from agentsync.ops.session import Session

FAMILY = {"src/a.py": {"a"}, "src/": {"a", "b"}, "src/*.py": {"a"}}
WITH_PROCESS = ("al", "bo")
WITHOUT = ("cy", "di")
EVERYBODY = (*WITH_PROCESS, *WITHOUT)
NEEDS: tuple[tuple[int, ...], ...] = ((), (0,), (), ())
TITLES = [f"task {number}" for number in range(len(NEEDS))]
WHO = st.sampled_from(EVERYBODY)
FATAL = st.one_of(st.none(), st.none(), st.none(), st.integers(1, 70))
"""Before which call it is killed."""

STALE, TTL = timedelta(minutes=15), timedelta(minutes=60)


def token(lock: Any) -> int:
    return int(lock.token.rpartition(":")[2])


class Possible:
    """The states that a model holds possible."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.states = {model.start}

    def takes(self, verb: str, *words: Any, answer: Any = None) -> None:
        op = Op("", verb, words, answer, 0, 0)
        after = {after for state in self.states for after in self.model.step(state, op)}
        after |= self.states if answer == MAYBE else set()
        assert after, f"{verb} {words} cannot answer {answer} in {self.states}"
        self.states = after


class Team(RuleBasedStateMachine):
    """Four agents, two of them with a process that can die, and what the models hold possible of them."""

    def __init__(self) -> None:
        super().__init__()
        self.top = Path(tempfile.mkdtemp())
        (self.top / "repo/.git").mkdir(parents=True)
        (self.top / "repo/.git/HEAD").write_text("ref: refs/heads/main\n")
        self.world = World(self.top, git_repo=False)
        self.players: dict[str, Player] = {}
        self.pids = 100
        self.locks = Possible(Locks(FAMILY))
        self.board = Possible(Board(NEEDS, absent=EVERYBODY))
        self.mail = {agent: Possible(Mail()) for agent in EVERYBODY}
        self.seen = dict.fromkeys(EVERYBODY, self.world.clock.now)
        self.ended: set[str] = set()
        self.killed: set[str] = set()
        self.decided: list[str] = []
        self.superseded: set[str] = set()
        self.count = 0

    @initialize()
    def begin(self) -> None:
        for agent in EVERYBODY:
            if agent in WITH_PROCESS:
                self._start(agent)
            else:
                self.players[agent] = self.world.agent(agent)
            self.players[agent].beats()
            self.board.takes("wake", agent)
        for number, needed in enumerate(NEEDS):
            depends_on = tuple(TITLES[other] for other in needed)
            self.players["di"].makes(TITLES[number], depends_on=depends_on, priority=-number)

    def teardown(self) -> None:
        shutil.rmtree(self.top)

    def _start(self, agent: str) -> None:
        self.pids += 1
        self.players[agent] = self.world.client(agent, self.pids, AGENT_SYNC_ID=agent)

    # ------------------------------------------------------------ doing things
    def does(self, agent: str, act: Callable[[Session], Any], fatal: int | None = None) -> Any:
        """Somebody's operation; `MAYBE` if it was killed, or might have been."""
        self._wakes(agent)
        if fatal is None:
            return act(self.players[agent].session)
        session = self.players[agent].session
        kill_before(fatal, lambda: act(session))
        other = EVERYBODY[(EVERYBODY.index(agent) + 1) % len(EVERYBODY)]
        self._wakes(other)  # whoever comes next finishes it
        return MAYBE

    def _wakes(self, agent: str) -> None:
        if agent in self.killed:
            self.killed.discard(agent)
            self._start(agent)
        known = (self.world.state / f"agents/{agent}.json").exists()
        self.players[agent].beats()
        self.seen[agent] = self.world.clock.now
        self.ended.discard(agent)
        self.locks.takes("wake", agent)
        self.board.takes("wake", agent)
        assert known or self.players[agent].session.is_registered()

    # ------------------------------------------------------------ life and death
    @rule(minutes=st.sampled_from([5, 20, 61, 130]))
    def time_passes(self, minutes: int) -> None:
        self.world.clock.advance(minutes=minutes)
        for agent in EVERYBODY:
            silent = self.world.clock.now - self.seen[agent]
            stale = agent in WITHOUT and agent not in self.ended and silent > STALE
            if silent >= TTL or stale:
                self.locks.takes("die", agent)
            if stale or (agent in WITHOUT and silent > STALE):
                self.board.takes("die", agent)

    @rule(agent=st.sampled_from(WITH_PROCESS))
    def process_dies(self, agent: str) -> None:
        if agent not in self.killed:
            self.world.machine.kill(int(self.players[agent].runtime.env["CLAUDE_PID"]))
            self.killed.add(agent)
            self.board.takes("die", agent)
            if agent not in self.ended:  # who said goodbye keeps what it locked by hand until that expires
                self.locks.takes("die", agent)

    @rule(agent=WHO, release_all=st.booleans(), fatal=FATAL)
    def session_ends(self, agent: str, release_all: bool, fatal: int | None) -> None:
        self.does(agent, lambda session: agents.end(session, release_all), fatal)
        if fatal is not None:
            self.locks.takes("end", agent, answer=MAYBE)
            self._wakes(agent)
            return
        if release_all:
            self.locks.takes("end", agent, answer=MAYBE)
            self.locks.states = {s for s in self.locks.states if all(g.holder != agent for g in s.grants)}
        self.ended.add(agent)
        self.board.takes("die", agent)

    @rule(fatal=FATAL)
    def collect(self, fatal: int | None) -> None:
        self.does("cy", lambda session: care.gc(session), fatal)

    # ------------------------------------------------------------ what is always true
    def _events(self) -> list[Any]:
        return history(self.world.state)

    @invariant()
    @precondition(lambda self: bool(self.players))
    def in_order(self) -> None:
        check_store(self.world.state)
        if not (self.world.state / "intent.json").exists():
            check_replay(self.world.state)
            state = self.world.agent("reader").session.store.state()
            live = [held.lock for held in state.locks() if held.live and held.lock.path in FAMILY]
            there = {(lock.holder, lock.path, lock.mode) for lock in live}
            assert there in [self._live(state) for state in self.locks.states], (there, self.locks.states)
            standing = [decision.id for decision in decisions.listing(self.world.agent("reader").session)]
            assert standing == [one for one in self.decided if one not in self.superseded]

    @staticmethod
    def _live(state: Any) -> set[tuple[str, str, str]]:
        return {grant[:3] for grant in state.grants if grant.holder not in state.dead}


class Locking(Team):
    """They lock what overlaps."""

    @staticmethod
    def take(session: Session, paths: list[str], shared: bool) -> Granted | Conflict:
        return locks.lock(session, paths, shared=shared)

    @rule(agent=WHO, wanted=st.lists(st.sampled_from(list(FAMILY)), min_size=1, max_size=2, unique=True), shared=st.booleans(), fatal=FATAL)  # fmt: skip
    def lock(self, agent: str, wanted: list[str], shared: bool, fatal: int | None) -> None:
        answer = self.does(agent, lambda session: self.take(session, wanted, shared), fatal)
        if isinstance(answer, Granted):
            answer = GRANTED, tuple((lock.path, token(lock)) for lock in answer.locks)
        elif isinstance(answer, Conflict):
            answer = REFUSED, tuple(token(blocked.held.lock) for blocked in answer.blocked)
        self.locks.takes("lock", agent, tuple(wanted), "shared" if shared else "exclusive", answer=answer)


class Holding(Locking):
    """And let go, by themselves or by force, and ask each other."""

    @rule(agent=WHO, path=st.sampled_from(list(FAMILY)), force=st.booleans(), fatal=FATAL)
    def unlock(self, agent: str, path: str, force: bool, fatal: int | None) -> None:
        answer = self.does(agent, lambda session: locks.unlock(session, [path], force=force), fatal)
        if isinstance(answer, Conflict):
            answer = REFUSED, tuple(token(blocked.held.lock) for blocked in answer.blocked)
        elif answer != MAYBE:
            answer = GRANTED, tuple(token(lock) for lock in answer.locks)
        self.locks.takes("unlock", agent, (path,), force, answer=answer)

    @rule(agent=WHO, path=st.sampled_from(list(FAMILY)), fatal=FATAL)
    def request(self, agent: str, path: str, fatal: int | None) -> None:
        """Whoever holds it is asked, and nobody else."""

        def ask(session: Session) -> Any:
            try:
                return requests.request(session, path)
            except NotFoundError:
                return NOTHING

        answer = self.does(agent, ask, fatal)
        if answer != MAYBE:
            asked = {token(lock) for lock in answer.holders} if isinstance(answer, requests.Asked) else set()
            fits = {state for state in self.locks.states if self._binding(state, agent, path) == asked}
            assert fits or any(None in self._binding(state, agent, path) for state in self.locks.states)
            self.locks.states = fits or self.locks.states

    @staticmethod
    def _binding(state: Any, agent: str, path: str) -> set[int | None]:
        return {
            grant.token
            for grant in state.grants
            if grant.holder not in {agent, *state.dead} and FAMILY[grant.target] & FAMILY[path]
        }


class Working(Locking):
    """They have tasks, and locks that go with them."""

    @rule(agent=WHO, fatal=FATAL)
    def claim_next(self, agent: str, fatal: int | None) -> None:
        answer = self.does(agent, lambda session: tasks.claim_next(session), fatal)
        if answer != MAYBE:
            answer = TITLES.index(answer.task.title) if answer is not None else NOTHING
        self.board.takes("claim-next", agent, answer=answer)

    @rule(agent=WHO, number=st.integers(0, len(NEEDS) - 1), fatal=FATAL, verb=st.sampled_from(["claim", "complete", "block", "release", "reopen", "cancel"]))  # fmt: skip
    def change_task(self, agent: str, number: int, verb: str, fatal: int | None) -> None:
        more = ("stuck",) if verb == "block" else ()
        answer = self.does(agent, lambda session: getattr(tasks, verb)(session, TITLES[number], *more), fatal)
        if answer != MAYBE:
            answer = GRANTED if isinstance(answer, Changed) else REFUSED
        self.board.takes(verb, agent, number, answer=answer)

    @rule(agent=WHO, number=st.integers(0, len(NEEDS) - 1), to=WHO, fatal=FATAL)
    def handoff(self, agent: str, number: int, to: str, fatal: int | None) -> None:
        """What it moves is in its event, killed or not: task and locks together."""
        before = len(self._events())

        def act(session: Session) -> Any:
            try:
                return tasks.handoff(session, TITLES[number], to)
            except NotFoundError:
                return NOTHING

        answer = self.does(agent, act, fatal)
        if answer != MAYBE:
            answer = GRANTED if isinstance(answer, Changed) else REFUSED
        self.board.takes("handoff", agent, number, to, answer=answer)
        for event in self._events()[before:]:
            if event.verb == "handoff":
                self._moved(event)

    def _moved(self, event: Any) -> None:
        for change in event.changes:
            if change.put and change.put.startswith("locks/"):
                lock = json.loads(bytes(change.record))
                self.locks.states = {self._with_heir(state, lock) for state in self.locks.states}

    @staticmethod
    def _with_heir(state: Any, lock: dict[str, Any]) -> Any:
        grant = Grant(lock["holder"], lock["path"], lock["mode"], int(lock["token"].rpartition(":")[2]))
        left = {
            one
            for one in state.grants
            if one.target != grant.target or (one.mode == grant.mode == "shared" and one.holder != grant.holder)
        }
        return state._replace(grants=frozenset(left | {grant}), newest=max(state.newest, grant.token or 0))


class Talking(Team):
    """They write to each other, and settle things."""

    @rule(agent=WHO, to=WHO, fatal=FATAL)
    def send(self, agent: str, to: str, fatal: int | None) -> None:
        self.count += 1
        body = f"word {self.count}"

        def act(session: Session) -> Any:
            try:
                return mail.send(session, to, body)
            except NotFoundError:
                return NOTHING

        answer = self.does(agent, act, fatal)
        if answer != NOTHING:
            number = answer if answer == MAYBE else int(answer.id[2:])
            self.mail[to].takes("send", agent, body, "directed", answer=number)

    @rule(agent=WHO, when=st.sampled_from(["turn", "prompt", "stop"]), fatal=FATAL)
    def hear(self, agent: str, when: Any, fatal: int | None) -> None:
        said = self.top / "said"
        said.unlink(missing_ok=True)

        def act(session: Session) -> None:
            with mail.delivery(session, when, lambda _: 1, 9999) as delivery:
                bodies = [message.body for message in delivery.messages if message.body.startswith("word ")]
                said.write_text(json.dumps(bodies))

        killed = self.does(agent, act, fatal) == MAYBE
        bodies = tuple(json.loads(said.read_text())) if said.exists() else ()
        self.mail[agent].takes("hear-killed" if killed else "hear", agent, "prompt", answer=(bodies, 0))

    @rule(agent=WHO, replaces=st.none() | st.integers(0, 3))
    def decide(self, agent: str, replaces: int | None) -> None:
        old = self.decided[replaces % len(self.decided)] if replaces is not None and self.decided else None
        try:
            made = self.does(agent, lambda session: decisions.decide(session, "so be it", old))
        except NotFoundError:
            assert old in self.superseded
            return
        assert old not in self.superseded
        self.superseded |= {old} if old else set()
        self.decided.append(made.id)


class Edits(RuleBasedStateMachine):
    """Edits, short leases, silence, and newcomers for whom edits are locked: no two records may conflict, ever.

    What has lapsed stays on disk and comes back to life with its holder, so conflicting records are two holders.
    """

    FEW = st.sampled_from(["al", "bo"])
    PATHS = st.sampled_from(["lib/a.py", "lib/", "lib/*.py"])

    def __init__(self) -> None:
        super().__init__()
        self.top = Path(tempfile.mkdtemp())
        (self.top / "repo/.git").mkdir(parents=True)
        (self.top / "repo/.git/HEAD").write_text("ref: refs/heads/main\n")
        self.world = World(self.top, git_repo=False)
        self.newcomers = 0
        for agent in ("al", "bo"):
            self.world.agent(agent).beats()

    def teardown(self) -> None:
        shutil.rmtree(self.top)

    def does(self, agent: str, act: Callable[[Session], Any], fatal: int | None) -> None:
        session = self.world.agent(agent).session
        if fatal is None:
            act(session)
        else:
            kill_before(fatal, lambda: act(session))

    @rule(agent=FEW, fatal=FATAL)
    def edit(self, agent: str, fatal: int | None) -> None:
        def act(session: Session) -> None:
            if isinstance(edits.before(session, "lib/a.py"), edits.Allowed):
                assert edits.after(session, "lib/a.py") is None, "nobody came in between"

        self.does(agent, act, fatal)

    @rule(agent=FEW, path=PATHS, shared=st.booleans(), ttl=st.just(1), fatal=FATAL)
    def lease(self, agent: str, path: str, shared: bool, ttl: int, fatal: int | None) -> None:
        self.does(agent, lambda session: self.take(session, path, shared, ttl), fatal)

    @staticmethod
    def take(session: Session, path: str, shared: bool, ttl: int) -> object:
        return locks.lock(session, [path], shared=shared, ttl_minutes=ttl)

    @rule(agent=FEW, fatal=FATAL)
    def let_go(self, agent: str, fatal: int | None) -> None:
        self.does(agent, lambda session: locks.unlock(session, [], everything=True), fatal)

    @rule(fatal=FATAL)
    def somebody_comes(self, fatal: int | None) -> None:
        self.newcomers += 1
        self.does(f"n-{self.newcomers}", agents.register, fatal)

    @rule(agent=FEW, release_all=st.booleans(), fatal=FATAL)
    def session_ends(self, agent: str, release_all: bool, fatal: int | None) -> None:
        self.does(agent, lambda session: agents.end(session, release_all), fatal)

    @rule(minutes=st.sampled_from([2, 2, 9, 20, 130]))
    def time_passes(self, minutes: int) -> None:
        self.world.clock.advance(minutes=minutes)

    @invariant()
    def in_order(self) -> None:
        state = self.world.state
        if state.exists() and not (state / "intent.json").exists():
            check_store(state)
            check_replay(state)


SETTINGS = settings(
    max_examples=ROUNDS * 3,
    stateful_step_count=25,
    deadline=None,
    derandomize="AGENTSYNC_ROUNDS" not in os.environ,
    suppress_health_check=list(HealthCheck),
)

TestHolding = Holding.TestCase
TestHolding.settings = SETTINGS
TestWorking = Working.TestCase
TestWorking.settings = SETTINGS
TestTalking = Talking.TestCase
TestTalking.settings = SETTINGS
TestEdits = Edits.TestCase
TestEdits.settings = SETTINGS


# ---------------------------------------------------------------- controls
class Steals(Holding):
    """What somebody else holds is made free first."""

    @staticmethod
    def take(session: Session, paths: list[str], shared: bool) -> Granted | Conflict:
        locks.unlock(session, paths, force=True)
        return locks.lock(session, paths, shared=shared)


class Naive:
    """What there is, as a decision sees it that does not look."""

    def touching(self, _target: Target) -> list[Held]:
        return []

    at = touching


class LeavesWhatHasLapsed(Edits):
    """Takes over, and leaves the old record where it is."""

    @classmethod
    def take(cls, session: Session, path: str, shared: bool, ttl: int) -> object:
        session, targets = resolve_targets(session, [path])
        request = core.Request(targets=targets, mode="shared" if shared else "exclusive", ttl_s=ttl * 60)
        with session.store.transaction(session.me.id) as tx:
            me = agents.ensure(session, tx)
            decision = core.decide(cls.seen(tx), me, request, tx.stamp)
            if isinstance(decision, Granted):
                tx.commit("lock", "naively", [write for write in decision.writes if isinstance(write, Put)])
        return decision

    @staticmethod
    def seen(tx: Any) -> core.Board:
        board: core.Board = tx.state
        return board


class RefusesNobody(LeavesWhatHasLapsed):
    """Does not even look."""

    @staticmethod
    def seen(_tx: Any) -> core.Board:
        return Naive()


@pytest.mark.parametrize("broken", [Steals, RefusesNobody, pytest.param(LeavesWhatHasLapsed, marks=pytest.mark.slow)])
def test_a_broken_variant_is_seen(broken: type[RuleBasedStateMachine]) -> None:
    once = settings(SETTINGS, phases=[Phase.generate], max_examples=500, report_multiple_bugs=False)
    with pytest.raises(AssertionError):
        run_state_machine_as_test(broken, settings=once)
