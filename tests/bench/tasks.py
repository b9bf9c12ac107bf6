"""What a long past costs a command: `python tests/bench/tasks.py [--python PYTHON] [--rounds N]`.

The same commands in an empty store and in one that ten thousand tasks went through: after compaction as many finished
tasks, superseded decisions and past agents lie there as ever will. The floor is `claim-next` in the empty one.
"""

from __future__ import annotations

import json
from pathlib import Path

from measure import Command, Repository, compare, options, playground, show


def age(repository: Repository) -> None:
    """Put as many records there as compaction leaves: copies of one that a command made."""
    from agentsync.core import agents, decisions, tasks

    made = json.loads(repository.command("alice", "create-task", "T", "--json"))
    repository.command("alice", "cancel-task", made["id"])
    repository.command("alice", "decision", "D")
    repository.command("bob", "heartbeat")
    (task,) = (repository.state / "tasks").iterdir()
    (decision,) = (repository.state / "decisions").iterdir()
    agent = repository.state / "agents/bob.json"
    for folder, model, name, count in (
        ("tasks", task, "t-{:04}", tasks.KEPT),
        ("decisions", decision, "{:012}", decisions.KEPT),
        ("agents/past", agent, "past-{:03}", agents.KEPT),
    ):
        text = model.read_text()
        for number in range(count):
            there = repository.state / folder / f"{name.format(number)}.json"
            if not there.exists():
                there.write_text(text.replace(f'"{model.stem}"', f'"{there.stem}"'))
    task.unlink()
    agent.unlink()


def main() -> None:
    """Print the table."""
    told = options(40, __doc__)
    with playground(told.directory) as root:
        empty, old = (Repository(root / name, told.python) for name in ("empty", "old"))
        for repository in (empty, old):
            repository.command("alice", "heartbeat")
        age(old)

        def run(repository: Repository, *words: str) -> Command:
            env = {**repository.env, "AGENT_SYNC_ID": "alice"}
            return Command(told.python, "-P", "-m", "agentsync", *words, env=env, cwd=Path(repository.root))

        cases = {
            "claim-next, after ten thousand tasks": (run(old, "claim-next"), 2.0),
            "tasks, after ten thousand": (run(old, "tasks"), 2.0),
            "status, after ten thousand": (run(old, "status"), None),
            "status, empty": (run(empty, "status"), None),
        }
        rows = compare(run(empty, "claim-next"), cases, told.rounds)
    show("A long past", "claim-next in an empty store", rows)


if __name__ == "__main__":
    main()
