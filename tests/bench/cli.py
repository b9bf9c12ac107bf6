"""What a command costs: `python tests/bench/cli.py [--python PYTHON]`.

Compared with a Python that loads the two modules every command needs and does nothing with them.
"""

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from measure import Command, Repository, compare, options, playground, show

if TYPE_CHECKING:
    from collections.abc import Callable

FLOOR = "python -I -c 'import msgspec, argparse'"

READING = ("whoami", "status", "locks", "check src/app.py", "explain src/app.py", "--version", "--help")


def verbs(root: Path, python: str, rounds: int) -> None:
    """Every verb on a small board."""
    repo = Repository(root / "small", python)
    repo.command("bob", "lock", "src/app.py")
    env = {**repo.env, "AGENT_SYNC_ID": "alice"}

    def command(*words: str) -> Command:
        return Command(python, "-P", "-m", "agentsync", *words, env=env, cwd=repo.root)

    serial = count()
    cases: dict[str, tuple[Callable[[], float], float | None]] = {
        name: (command(*name.split()), 1.8) for name in READING
    }
    cases["lock NEW"] = (lambda: command("lock", f"new-{next(serial)}.py")(), 1.8)
    cases["lock, held by another"] = (command("lock", "src/app.py"), 1.8)
    cases["unlock nothing"] = (command("unlock", "free.py"), 1.8)
    cases["register"] = (command("register", "--name", "alice"), 1.8)
    floor = Command(python, "-I", "-c", "import msgspec, argparse", env=env, cwd=repo.root)
    cases["python -P -m agentsync.hook (nothing to do)"] = (
        Command(python, "-P", "-m", "agentsync.hook", "stop", env=env, cwd=repo.root),
        None,
    )
    show("Commands", FLOOR, compare(floor, cases, rounds))


def crowded(root: Path, python: str, rounds: int) -> None:
    """Looking at ten thousand locks."""
    repo = Repository(root / "crowded", python)
    repo.fill(10_000)
    env = {**repo.env, "AGENT_SYNC_ID": "alice"}
    floor = Command(python, "-I", "-c", "import msgspec, argparse", env=env, cwd=repo.root)
    cases = {
        " ".join(words): (Command(python, "-P", "-m", "agentsync", *words, env=env, cwd=repo.root), None)
        for words in (
            ("status",),
            ("status", "--json"),
            ("locks",),
            ("check", "f1.py"),
            ("lock", "free.py"),
            ("check", "src/"),
        )
    }
    rows = compare(floor, cases, rounds)
    show("Commands among 10,000 locks (status: under 1,000 ms)", FLOOR, rows)


def main() -> None:
    """Print the tables."""
    told = options(20, __doc__)
    with playground(told.directory) as root:
        verbs(root, told.python, told.rounds)
        crowded(root, told.python, max(told.rounds // 4, 3))


if __name__ == "__main__":
    main()
