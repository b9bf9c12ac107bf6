"""What a hook costs: `python tests/bench/hooks.py [--python PYTHON]`.

The gate is compared with a shell that does nothing, what needs Python with a Python that does nothing.
"""

from __future__ import annotations

import subprocess
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from measure import Command, Repository, compare, options, playground, show

if TYPE_CHECKING:
    from collections.abc import Callable

SHELL = "sh -c :"
PYTHON = "python -I -c pass"


def shell(repo: Repository) -> Command:
    """A shell that does nothing."""
    return Command("sh", "-c", ":", env=repo.hooked, cwd=repo.root)


def interpreter(repo: Repository) -> Command:
    """A Python that does nothing."""
    return Command(repo.python, "-I", "-c", "pass", env=repo.hooked, cwd=repo.root)


def new_files(repo: Repository) -> Callable[[], Path]:
    """Payloads of edits of files that nobody has edited yet."""
    serial = count()
    return lambda: repo.payload("PreToolUse", f"new-{next(serial)}.py")


def alone(root: Path, python: str, rounds: int) -> None:
    """Nobody else is here."""
    repo = Repository(root / "alone", python)
    repo.start()
    edit, edited = repo.payload("PreToolUse", "src/app.py"), repo.payload("PostToolUse", "src/app.py")
    unnamed = repo.ask("pre-tool-use", edit)
    unnamed.env = repo.env
    large = repo.payload("PreToolUse", "src/app.py", 100_000)
    cases = {
        "alone: before an edit": (repo.ask("pre-tool-use", edit), 1.6),
        "alone: before an edit, 100 kB": (repo.ask("pre-tool-use", large), None),
        "alone: before an edit, session only in the payload": (unnamed, None),
        "alone: after an edit": (repo.ask("post-tool-use", edited), 5.0),
        "alone: prompt, nothing new": (repo.ask("user-prompt-submit", repo.payload("UserPromptSubmit", None)), 3.0),
        "alone: after a batch of tools, nothing new": (
            repo.ask("post-tool-batch", repo.payload("PostToolBatch", None)),
            3.0,
        ),
    }
    show("The gate, alone", SHELL, compare(shell(repo), cases, rounds))


def among_others(root: Path, python: str, rounds: int) -> None:
    """Others are here, and hold nothing, or a lot."""
    cases: dict[str, tuple[Callable[[], float], float | None]] = {}
    for locks in (0, 1000, 10_000):
        repo = Repository(root / f"others-{locks}", python)
        repo.start()
        repo.command("bob", "register", "--name", "bob")
        for path in ("src/app.py", "a/b/c/d/e/f/g.py"):
            repo.hook("pre-tool-use", repo.payload("PreToolUse", path))()
        if locks:
            repo.fill(locks)
        among = f"among {locks:,} locks" if locks else "with others"
        before = repo.ask("pre-tool-use", repo.payload("PreToolUse", "src/app.py"))
        cases[f"own lock, {among}"] = (before, 6.0 if locks else 4.0)
        if not locks:
            deep = repo.ask("pre-tool-use", repo.payload("PreToolUse", "a/b/c/d/e/f/g.py"))
            cases["own lock, seven folders deep"] = (deep, None)
            cases["own lock, 100 kB"] = (
                repo.ask("pre-tool-use", repo.payload("PreToolUse", "src/app.py", 100_000)),
                None,
            )
        cases[f"after an edit, {among}"] = (repo.ask("post-tool-use", repo.payload("PostToolUse", "src/app.py")), 5.0)
        prompt = repo.ask("user-prompt-submit", repo.payload("UserPromptSubmit", None))
        cases[f"prompt, nothing new, {among}"] = (prompt, 3.0)
    show("The gate, among others", SHELL, compare(shell(repo), cases, rounds))


def judged(root: Path, python: str, rounds: int) -> None:
    """What the gate leaves to Python."""
    repo = Repository(root / "judged", python)
    repo.start()
    repo.command("bob", "lock", "held.py")
    held = repo.payload("PreToolUse", "held.py")
    known = repo.payload("PreToolUse", "src/app.py")
    repo.hook("pre-tool-use", known)()
    cases = {
        "import msgspec": (Command(python, "-I", "-c", "import msgspec", env=repo.hooked, cwd=repo.root), None),
        "a denial": (repo.ask("pre-tool-use", held), 4.0),
        "a denial, without the gate": (repo.hook("pre-tool-use", held), None),
        "first edit of a file: its lock": (repo.ask("pre-tool-use", new_files(repo)), 4.5),
        "own lock, without the gate": (repo.hook("pre-tool-use", known), None),
        "session start": (repo.ask("session-start", repo.payload("SessionStart", None)), None),
    }
    show("What needs Python", PYTHON, compare(interpreter(repo), cases, rounds))


def crowded(root: Path, python: str, rounds: int) -> None:
    """The same questions to a board with ten locks and with ten thousand: 1.00 = ten."""
    runs: dict[int, dict[str, Command]] = {}
    for locks in (10, 10_000):
        repo = Repository(root / f"crowded-{locks}", python)
        repo.start()
        repo.fill(locks)
        runs[locks] = {
            "a denial": repo.ask("pre-tool-use", repo.payload("PreToolUse", "f1.py")),
            "first edit of a file": repo.ask("pre-tool-use", new_files(repo)),
            "prompt": repo.ask("user-prompt-submit", repo.payload("UserPromptSubmit", None)),
            "session start": repo.ask("session-start", repo.payload("SessionStart", None)),
        }
    for name, few in runs[10].items():
        target = None if name == "session start" else 2.0
        show(
            f"{name}: 10,000 locks against 10",
            "10 locks",
            compare(few, {"10,000 locks": (runs[10_000][name], target)}, rounds),
        )


def shared(root: Path, python: str, rounds: int) -> None:
    """The same questions where other machines share the board: 1.00 = where none do."""
    hub = root / "hub.git"
    subprocess.run(["git", "init", "-q", "--bare", str(hub)], check=True)
    runs: list[dict[str, Command]] = []
    for is_shared in (False, True):
        repo = Repository(root / f"shared-{is_shared}", python)
        subprocess.run(["git", "init", "-q", str(repo.root)], check=True)
        repo.start()
        repo.command("bob", "register", "--name", "bob")
        repo.hook("pre-tool-use", repo.payload("PreToolUse", "src/app.py"))()
        if is_shared:
            repo.command("bob", "remote", "add", str(hub))
        runs.append(
            {
                "own lock": repo.ask("pre-tool-use", repo.payload("PreToolUse", "src/app.py")),
                "after an edit": repo.ask("post-tool-use", repo.payload("PostToolUse", "src/app.py")),
                "prompt, nothing new": repo.ask("user-prompt-submit", repo.payload("UserPromptSubmit", None)),
            }
        )
    for name, before in runs[0].items():
        show(f"{name}: with other machines", "without", compare(before, {"with": (runs[1][name], 1.1)}, rounds))


def main() -> None:
    """Print the tables."""
    told = options(60, __doc__)
    with playground(told.directory) as root:
        alone(root, told.python, told.rounds)
        among_others(root, told.python, told.rounds)
        judged(root, told.python, max(told.rounds // 2, 5))
        crowded(root, told.python, max(told.rounds // 4, 5))
        shared(root, told.python, told.rounds)


if __name__ == "__main__":
    main()
