"""Real processes that want the same at the same time.

A round starts all of them from one barrier. A worker is a fork that runs the command line's `main` in a process of its
own, so that the imports are paid once and not sixteen times; some rounds start `python -m agentsync` for real. The
number of rounds is the variable AGENTSYNC_ROUNDS (200 took 19 minutes on two cores that others used too).
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from functools import partial
from importlib import import_module
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest
from invariants import check_replay, check_store
from rounds import ROUNDS
from world import make_repo

from agentsync.__main__ import main
from agentsync.core.locks import conflicting
from agentsync.core.policy import Config
from agentsync.core.records import Lock
from agentsync.runtime import Runtime
from agentsync.store.locate import locate
from agentsync.store.store import Store

for _loaded_by_a_lock_command in ("agentsync.ops.locks", "agentsync.render.payload", "agentsync.render.locks"):
    import_module(_loaded_by_a_lock_command)  # once for all the forks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    Command = tuple[str, Sequence[str]]
    """An agent, and the words of its command."""

MANY = 16
PATIENCE_S = 60.0
PACKAGE = str(Path(__file__).parents[2])

GRANTED, REFUSED = 0, 3


class Outcome(NamedTuple):
    """What one process said."""

    agent: str
    code: int
    out: str
    err: str


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return make_repo(tmp_path / "repo", {"src/app.py": "x\n", "src/lib/a.py": "x\n", "docs/index.md": "x\n"})


def state_of(repository: Path) -> Path:
    return repository / ".claude/coordination"


# ---------------------------------------------------------------- starting them all at once
class Race:
    """Workers that wait at a barrier, run one command each, and are collected."""

    def __init__(self, repository: Path, acts: Sequence[tuple[str, Callable[[], int]]]) -> None:
        """Start the workers; none of them does anything yet.

        Args:
            repository: Where they work.
            acts: For each, the agent it is, and what it does; the result is its exit code.
        """
        self._barrier, release = os.pipe()
        self._outputs: list[tuple[str, int, Path]] = []
        folder = Path(tempfile.mkdtemp(dir=repository.parent))
        for agent, act in acts:
            output = folder / agent
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # 3.12: other threads may hold locks
                pid = os.fork()
            if pid == 0:
                os.close(release)
                _work(self._barrier, repository, agent, act, output)
            self._outputs.append((agent, pid, output))
        self._release = release

    @property
    def pids(self) -> list[int]:
        return [pid for _, pid, _ in self._outputs]

    def start(self) -> None:
        """Open the barrier: all of them read its end at once."""
        os.close(self._release)
        os.close(self._barrier)

    def finish(self) -> list[Outcome]:
        """Wait for all."""
        outcomes = []
        for agent, pid, output in self._outputs:
            code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            said = [Path(f"{output}.{stream}") for stream in ("out", "err")]
            out, err = (path.read_text() if path.exists() else "" for path in said)
            outcomes.append(Outcome(agent, code, out, err))
        return outcomes


def _work(barrier: int, repository: Path, agent: str, act: Callable[[], int], output: Path) -> None:
    """The whole life of a worker."""
    code = 99
    try:
        for number, stream in ((1, "out"), (2, "err")):
            os.dup2(os.open(f"{output}.{stream}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), number)
        sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
        os.chdir(repository)
        os.environ["AGENT_SYNC_ID"] = agent
        os.read(barrier, 1)
        code = act()
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(code)


def run_main(*words: str) -> int:
    """One command, in this process."""
    sys.argv = ["agent-sync", *words]
    return main()


def running(commands: Sequence[Command]) -> list[tuple[str, Callable[[], int]]]:
    """Commands as acts of workers."""
    return [(agent, partial(run_main, *words)) for agent, words in commands]


def race(repository: Path, commands: Sequence[Command]) -> list[Outcome]:
    """Run commands at once, while a reader looks on all the time."""
    workers = Race(repository, running(commands))
    workers.start()
    while any(_runs(pid) for pid in workers.pids):
        _look(repository)
    return workers.finish()


def _runs(pid: int) -> bool:
    """Whether a child of ours has not ended yet; it stays to be waited for."""
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None


def _look(repository: Path) -> None:
    """A reader without the guard: in a race where nobody lets go, it never sees two who exclude each other."""
    place = locate(str(repository), {})
    store = Store(place, Runtime(env={}, cwd=str(repository)), Config())
    if store.exists():
        state = store.state()
        held = [found.lock for found in state.locks()]
        assert state.damaged == {}
        assert not any(conflicting(a, b) for a, b in combinations(held, 2))


def real_processes(repository: Path, commands: Sequence[Command]) -> list[Outcome]:
    """The same with whole new interpreters; what they import differs in time, so they are less at once."""
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "agentsync", *words],
            cwd=repository,
            env={**os.environ, "AGENT_SYNC_ID": agent, "PYTHONPATH": PACKAGE},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for agent, words in commands
    ]
    outcomes = []
    for (agent, _), process in zip(commands, started, strict=True):
        out, err = process.communicate(timeout=PATIENCE_S)
        outcomes.append(Outcome(agent, process.returncode, out, err))
    return outcomes


# ---------------------------------------------------------------- judging what they said
def judge(repository: Path, outcomes: Sequence[Outcome]) -> list[Lock]:
    """Codes are 0 and 3 only, the winners hold what they were told and exclude nobody among them.

    Returns:
        The winners' locks.
    """
    for outcome in outcomes:
        assert outcome.code in (GRANTED, REFUSED), outcome
        assert "Traceback" not in outcome.err, outcome
        assert "internal error" not in outcome.out + outcome.err, outcome
        assert outcome.code == REFUSED or outcome.err == "", outcome
    won = [_lock(json.loads(outcome.out)) for outcome in outcomes if outcome.code == GRANTED]
    assert sorted(lock.holder for lock in won) == sorted(o.agent for o in outcomes if o.code == GRANTED)
    check_store(state_of(repository))
    check_replay(state_of(repository))
    on_disk = [json.loads(path.read_bytes()) for path in state_of(repository).glob("locks/**/*.json")]
    assert sorted((lock["holder"], lock["token"]) for lock in on_disk) == sorted((w.holder, w.token) for w in won)
    assert len({lock.token for lock in won}) == len(won)
    assert not any(conflicting(a, b) for a, b in combinations(won, 2))
    for outcome in outcomes:
        if outcome.code == REFUSED:
            in_the_way = {lock["holder"] for lock in json.loads(outcome.out)["locks"]}
            assert in_the_way, "refused, and nobody is in the way"
            assert in_the_way <= {lock.holder for lock in won}
    return won


def _lock(data: object) -> Lock:
    import msgspec

    return msgspec.convert(data, Lock)


def one_file(number: int) -> list[Command]:
    return [(f"agent-{n:02}", ["lock", f"src/file{number}.py", "--json"]) for n in range(MANY)]


OVERLAPPING = ("src/app.py", "src/", "src/*.py", "src/lib/", "src/lib/a.py", "**/*.md", "docs/index.md", "docs/")


def overlapping(seed: int) -> list[Command]:
    targets = random.Random(seed).sample(OVERLAPPING, len(OVERLAPPING))
    return [(f"agent-{n}", ["lock", target, "--json"]) for n, target in enumerate(targets)]


# ---------------------------------------------------------------- the races
def test_of_sixteen_processes_that_want_one_file_exactly_one_gets_it(repository: Path) -> None:
    for number in range(ROUNDS):
        won = judge_round(repository, race(repository, one_file(number)))
        assert [lock.path for lock in won] == [f"src/file{number}.py"]


def test_of_sixteen_first_commands_in_a_fresh_repository_exactly_one_gets_the_file(tmp_path: Path) -> None:
    for number in range(ROUNDS):
        repository = make_repo(tmp_path / f"repo{number}")
        assert len(judge(repository, race(repository, one_file(number)))) == 1
        agents = {path.stem for path in state_of(repository).glob("agents/*.json")}
        assert len(agents) == MANY, "who was refused is on the board all the same"


def test_of_eight_processes_with_overlapping_targets_a_compatible_set_wins(repository: Path) -> None:
    for number in range(ROUNDS):
        won = judge_round(repository, race(repository, overlapping(number)))
        assert 2 <= len(won) <= 6


def test_overlapping_first_commands_in_a_fresh_repository_leave_a_compatible_set(tmp_path: Path) -> None:
    for number in range(ROUNDS):
        repository = make_repo(tmp_path / f"repo{number}", {"src/app.py": "", "src/lib/a.py": "", "docs/index.md": ""})
        judge(repository, race(repository, overlapping(number)))


def test_several_paths_crosswise_go_to_one_as_a_whole(repository: Path) -> None:
    paths = [f"src/{name}.py" for name in "abcdef"]
    for number in range(ROUNDS):
        orders = [random.Random(number * MANY + n).sample(paths, 4) for n in range(MANY)]
        outcomes = race(repository, [(f"agent-{n:02}", ["lock", *order, "--json"]) for n, order in enumerate(orders)])
        winners = [outcome for outcome in outcomes if outcome.code == GRANTED]
        assert len(winners) == 1, "any two of them have a path in common"
        assert {outcome.code for outcome in outcomes} == {GRANTED, REFUSED}
        held = {json.loads(path.read_bytes())["path"] for path in state_of(repository).glob("locks/*.json")}
        assert held == set(orders[int(winners[0].agent[-2:])])
        assert main_as(repository, winners[0].agent, "unlock", "--all") == 0


def test_of_those_who_take_over_a_lapsed_lock_exactly_one_wins(repository: Path) -> None:
    race(repository, [(agent, ["heartbeat"]) for agent, _ in one_file(0)])  # whoever registers drops what is lapsed
    for number in range(ROUNDS):
        client = subprocess.Popen(["sleep", "60"])
        session = {"CLAUDE_CODE_SESSION_ID": f"11111111-1111-4111-8111-{number:012}", "CLAUDE_PID": str(client.pid)}
        assert main_as(repository, f"old-{number}", "lock", f"src/file{number}.py", **session) == 0
        client.kill()
        client.wait()
        (won,) = judge_round(repository, race(repository, one_file(number)))
        events = [json.loads(path.read_bytes()) for path in sorted(state_of(repository).glob("log/*.json"))]
        assert [event["actor"] for event in events if event["verb"] == "takeover"][-1] == won.holder


def test_what_goes_from_hand_to_hand_is_never_in_two(repository: Path) -> None:
    """Eight agents lock and unlock one file as fast as they can; who holds it makes a mark that must be new."""
    mark = repository.parent / "mark"
    turns = max(10, ROUNDS)

    def take_turns() -> int:
        for _ in range(turns):
            code = run_main("lock", "src/app.py")
            if code == GRANTED:
                os.close(os.open(mark, os.O_CREAT | os.O_EXCL))
                mark.unlink()
                code = run_main("unlock", "src/app.py")
            if code not in (GRANTED, REFUSED):
                return code
        return GRANTED

    workers = Race(repository, [(f"agent-{n}", take_turns) for n in range(8)])
    workers.start()
    outcomes = workers.finish()
    assert [outcome.code for outcome in outcomes] == [0] * 8, outcomes
    assert not any("Traceback" in outcome.err for outcome in outcomes)
    check_store(state_of(repository))
    events = check_replay(state_of(repository))
    assert [event.verb for event in events if event.verb in ("lock", "unlock")][:2] == ["lock", "unlock"]
    assert len(events) > 8 + turns
    assert not list(state_of(repository).glob("locks/*.json"))


def test_processes_that_are_killed_in_a_race_take_nobody_with_them(repository: Path) -> None:
    for number in range(ROUNDS):
        chance = random.Random(number)
        workers = Race(repository, running(one_file(number)))
        workers.start()
        victims = chance.sample(workers.pids, MANY // 2)
        for victim in victims:
            time.sleep(chance.random() * 0.01)
            os.kill(victim, signal.SIGKILL)
        outcomes = workers.finish()
        assert {outcome.code for outcome in outcomes} <= {GRANTED, REFUSED, -signal.SIGKILL}
        assert sum(outcome.code == GRANTED for outcome in outcomes) <= 1
        code = main_as(repository, "next", "lock", "docs/next.md")
        assert code == 0
        check_store(state_of(repository))
        check_replay(state_of(repository))
        held = list(state_of(repository).glob(f"locks/src%2Ffile{number}.py.json"))
        refused = any(outcome.code == REFUSED for outcome in outcomes)
        assert held or not refused, "somebody was refused by a lock that nobody has"
        assert main_as(repository, "next", "unlock", "--all") == 0


@pytest.mark.parametrize("fresh", [False, True], ids=["in use", "fresh"])
def test_real_commands_exclude_each_other_too(fresh: bool, repository: Path) -> None:
    if not fresh:
        assert main_as(repository, "somebody", "heartbeat") == 0
    for number in range(max(2, ROUNDS // 20)):
        assert len(judge_round(repository, real_processes(repository, one_file(number)))) == 1


def judge_round(repository: Path, outcomes: Sequence[Outcome]) -> list[Lock]:
    """As `judge`; then everybody lets go, so that the next round begins with nothing held."""
    won = judge(repository, outcomes)
    release_all(repository)
    return won


def release_all(repository: Path) -> None:
    for path in list(state_of(repository).glob("locks/**/*.json")):
        assert main_as(repository, json.loads(path.read_bytes())["holder"], "unlock", "--all") == 0
    assert not list(state_of(repository).glob("locks/**/*.json"))


def main_as(repository: Path, agent: str, *words: str, **env: str) -> int:
    """Run one command in a process of its own and wait for it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # 3.12: other threads may hold locks
        pid = os.fork()
    if pid == 0:
        os.environ.update(env)
        ended, end = os.pipe()
        os.close(end)
        _work(ended, repository, agent, partial(run_main, *words), repository.parent / "command")
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


# ---------------------------------------------------------------- a holder that dies
@pytest.fixture
def client() -> Iterator[subprocess.Popen[bytes]]:
    """The long-lived process of an agent's client."""
    process = subprocess.Popen(["sleep", "600"])
    yield process
    process.kill()
    process.wait()


def command(repository: Path, *words: str, **env: str) -> Outcome:
    done = subprocess.run(
        [sys.executable, "-m", "agentsync", *words],
        cwd=repository,
        env={**os.environ, "PYTHONPATH": PACKAGE, **env},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    return Outcome(env.get("AGENT_SYNC_ID", ""), done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize("reaped", [True, False], ids=["gone", "zombie"])
def test_a_holder_that_is_killed_frees_its_lock_at_once(
    reaped: bool, repository: Path, client: subprocess.Popen[bytes]
) -> None:
    alice = {"CLAUDE_CODE_SESSION_ID": "11111111-1111-4111-8111-00000000aaaa", "CLAUDE_PID": str(client.pid)}
    bob = {"AGENT_SYNC_ID": "bob"}
    assert command(repository, "lock", "src/app.py", **alice).code == GRANTED
    refused = command(repository, "lock", "src/app.py", **bob)
    assert refused.code == REFUSED
    assert "claude-0000aaaa" in refused.err
    os.kill(client.pid, signal.SIGKILL)
    if reaped:
        client.wait()
    else:
        os.waitid(os.P_PID, client.pid, os.WEXITED | os.WNOWAIT)
    granted = command(repository, "lock", "src/app.py", **bob)
    assert granted.code == GRANTED, granted
    assert "taken over from claude-0000aaaa" in granted.out
    check_store(state_of(repository))
    check_replay(state_of(repository))


def test_a_holder_whose_commands_come_and_go_keeps_its_lock_while_its_client_lives(
    repository: Path, client: subprocess.Popen[bytes]
) -> None:
    """What is recorded is the client's process, never that of the command."""
    alice = {"CLAUDE_CODE_SESSION_ID": "11111111-1111-4111-8111-00000000aaaa", "CLAUDE_PID": str(client.pid)}
    assert command(repository, "lock", "src/app.py", **alice).code == GRANTED
    record = json.loads((state_of(repository) / "agents/claude-0000aaaa.json").read_bytes())
    assert record["pid"] == client.pid
    assert command(repository, "lock", "src/app.py", AGENT_SYNC_ID="bob").code == REFUSED


def test_a_pid_that_was_given_to_another_process_is_no_proof_of_life(
    repository: Path, client: subprocess.Popen[bytes]
) -> None:
    alice = {"CLAUDE_CODE_SESSION_ID": "11111111-1111-4111-8111-00000000aaaa", "CLAUDE_PID": str(client.pid)}
    assert command(repository, "lock", "src/app.py", **alice).code == GRANTED
    record = state_of(repository) / "agents/claude-0000aaaa.json"
    data = json.loads(record.read_bytes())
    record.write_text(json.dumps({**data, "pid_start": data["pid_start"] - 1}))
    assert command(repository, "lock", "src/app.py", AGENT_SYNC_ID="bob").code == GRANTED
