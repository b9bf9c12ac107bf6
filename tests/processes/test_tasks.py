"""Real processes that want the next task at the same time.

As in `test_races`, a round starts all of them from one barrier; the number of rounds is AGENTSYNC_ROUNDS.
"""

from __future__ import annotations

import json
import os
import random
import signal
import time
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from invariants import check_replay, check_store
from processes.test_races import Outcome, Race, main_as, race, real_processes, running, state_of
from rounds import ROUNDS
from world import make_repo

if TYPE_CHECKING:
    from collections.abc import Sequence

for _loaded_by_a_task_command in ("agentsync.ops.tasks", "agentsync.cli.tasks", "agentsync.render.payload"):
    import_module(_loaded_by_a_task_command)  # once for all the forks

MANY, TASKS = 16, 6


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return make_repo(tmp_path / "repo")


def make_tasks(repository: Path, *more: str) -> None:
    """Six tasks of different priority, nobody's."""
    for number in range(TASKS):
        assert main_as(repository, "maker", "create-task", f"t{number}", "--priority", str(number), *more) == 0


def on_disk(repository: Path) -> list[dict[str, object]]:
    return [json.loads(path.read_bytes()) for path in state_of(repository).glob("tasks/*.json")]


def unfinished(repository: Path) -> list[dict[str, object]]:
    return [task for task in on_disk(repository) if task["status"] in ("pending", "in_progress")]


def everybody(*words: str) -> list[tuple[str, Sequence[str]]]:
    return [(f"agent-{n:02}", ["claim-next", *words, "--json"]) for n in range(MANY)]


def judge(repository: Path, outcomes: Sequence[Outcome]) -> None:
    """Six got a task each, the others were told that there is none, and the disk says the same."""
    for outcome in outcomes:
        assert (outcome.code, outcome.err) == (0, ""), outcome
    answers = {outcome.agent: json.loads(outcome.out) for outcome in outcomes}
    won = {agent: answer["id"] for agent, answer in answers.items() if "id" in answer}
    assert len(won) == len(set(won.values())) == TASKS
    assert {answer["message"] for answer in answers.values() if "id" not in answer} == {"No available tasks"}
    assert {task["owner"]: task["id"] for task in unfinished(repository)} == won
    check_store(state_of(repository))
    check_replay(state_of(repository))


def finish(repository: Path) -> None:
    """Everybody completes what they have, so that the next round begins with nothing to do."""
    for task in unfinished(repository):
        assert main_as(repository, str(task["owner"]), "complete-task", str(task["id"])) == 0


def test_of_sixteen_who_want_the_next_of_six_tasks_six_get_one_each(repository: Path) -> None:
    for _ in range(ROUNDS):
        make_tasks(repository)
        judge(repository, race(repository, everybody()))
        finish(repository)


def test_in_a_fresh_repository_too(tmp_path: Path) -> None:
    """Nobody but the maker is on the board: fifteen registrations race as well."""
    for number in range(max(2, ROUNDS // 10)):
        repository = make_repo(tmp_path / f"repo{number}")
        make_tasks(repository)
        judge(repository, race(repository, everybody()))
        assert len(list(state_of(repository).glob("agents/*.json"))) == MANY + 1


def test_with_one_file_in_all_of_them_one_has_the_lock(repository: Path) -> None:
    for _ in range(max(2, ROUNDS // 10)):
        make_tasks(repository, "--file", "src/app.py")
        outcomes = race(repository, everybody("--lock"))
        judge(repository, outcomes)
        answers = [json.loads(outcome.out) for outcome in outcomes]
        assert sorted("locks" in answer for answer in answers if "id" in answer) == [False] * (TASKS - 1) + [True]
        (lock,) = state_of(repository).glob("locks/*.json")
        assert main_as(repository, json.loads(lock.read_bytes())["holder"], "unlock", "--all") == 0
        finish(repository)


def test_real_commands_claim_one_each_too(repository: Path) -> None:
    for _ in range(max(1, ROUNDS // 20)):
        make_tasks(repository)
        judge(repository, real_processes(repository, everybody()))
        finish(repository)


def test_a_task_that_is_handed_on_while_all_want_it_goes_to_its_heir(repository: Path) -> None:
    assert main_as(repository, "heir", "heartbeat") == 0
    for number in range(ROUNDS):
        title = f"handed {number}"
        assert main_as(repository, "owner", "create-task", title, "--file", "src/app.py") == 0
        assert main_as(repository, "owner", "claim-task", title, "--lock") == 0
        others = [(f"agent-{n:02}", ["claim-task", title, "--lock", "--json"]) for n in range(MANY - 6)]
        others += [(f"agent-1{n}", ["lock", "src/app.py", "--json"]) for n in range(5)]
        outcomes = race(repository, [("owner", ["handoff", title, "--to", "heir", "--json"]), *others])
        assert [outcome.code for outcome in outcomes] == [0, *[3] * len(others)], outcomes
        (task,) = unfinished(repository)
        (lock,) = [json.loads(path.read_bytes()) for path in state_of(repository).glob("locks/*.json")]
        assert (task["owner"], lock["holder"]) == ("heir", "heir")
        check_replay(state_of(repository))
        assert main_as(repository, "heir", "complete-task", title) == 0
        assert main_as(repository, "heir", "unlock", "--all") == 0


def test_who_is_killed_in_the_race_takes_no_task_along(repository: Path) -> None:
    """Whatever was claimed by somebody who was killed is claimed, and nothing twice; the rest can be had."""
    for number in range(max(2, ROUNDS // 4)):
        make_tasks(repository)
        chance = random.Random(number)
        workers = Race(repository, running(everybody()))
        workers.start()
        for victim in chance.sample(workers.pids, MANY // 2):
            time.sleep(chance.random() * 0.01)
            os.kill(victim, signal.SIGKILL)
        outcomes = workers.finish()
        assert {outcome.code for outcome in outcomes} <= {0, -signal.SIGKILL}, outcomes
        won = [json.loads(o.out)["id"] for o in outcomes if o.code == 0 and "id" in json.loads(o.out)]
        assert len(won) == len(set(won))
        while main_as(repository, "next", "claim-next") == 0 and any(
            task["status"] == "pending" for task in on_disk(repository)
        ):
            pass
        check_store(state_of(repository))
        check_replay(state_of(repository))
        owned = unfinished(repository)
        assert len(owned) == TASKS
        assert all(task["owner"] for task in owned)
        finish(repository)
