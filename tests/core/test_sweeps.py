"""Which git commands sweep up others' work: a table."""

from __future__ import annotations

import shlex

import pytest

from agentsync.core.sweeps import sweep

SWEEPS = {
    "git stash": "git stash",
    "git stash push": "git stash",
    "git stash -u": "git stash",
    "git stash push -m 'my work'": "git stash",
    "git stash save wip": "git stash",
    "git stash push -- .": "git stash",
    "git reset --hard": "git reset --hard",
    "git reset --hard HEAD~1": "git reset --hard",
    "git -C sub reset -q --hard origin/main": "git reset --hard",
    "git checkout .": "git checkout .",
    "git checkout -- .": "git checkout .",
    "git checkout HEAD -- .": "git checkout .",
    "git checkout -f": "git checkout --force",
    "git switch --discard-changes main": "git switch --force",
    "git restore .": "git restore .",
    "git restore :/": "git restore .",
    "git restore --source HEAD~1 .": "git restore .",
    "git restore -SW .": "git restore .",
    "git add -A": "git add --all",
    "git add .": "git add --all",
    "git add --all": "git add --all",
    "git add -u": "git add --all",
    "git add -A :/": "git add --all",
    "git -c core.x=y add -v .": "git add --all",
    "git commit -a -m x": "git commit --all",
    "git commit -am x": "git commit --all",
    "git commit -qam x": "git commit --all",
    "git commit --all": "git commit --all",
    "git commit -m x .": "git commit --all",
    "git clean -fd": "git clean",
    "git clean -xdf .": "git clean",
    "git clean --force": "git clean",
    "/usr/bin/git stash": "git stash",
    "GIT_EDITOR=true git commit -a": "git commit --all",
    "sudo git clean -f": "git clean",
}

HARMLESS = [
    "",
    "git",
    "git status",
    "ls -a",
    "hub add .",
    "git stash list",
    "git stash show -p",
    "git stash pop",
    "git stash apply",
    "git stash drop",
    "git stash push -- src/app.py",
    "git stash push -m . src/app.py",
    "git stash push --staged",
    "git stash -p",
    "git reset",
    "git reset --soft HEAD~1",
    "git reset HEAD -- src/app.py",
    "git checkout main",
    "git checkout -b new",
    "git checkout -- src/app.py",
    "git checkout -p .",
    "git switch main",
    "git restore src/app.py",
    "git restore --staged .",
    "git restore -S .",
    "git add src/app.py",
    "git add -p",
    "git add -p .",
    "git add -n .",
    "git add -A src/",
    "git commit -m x",
    "git commit -m -a",
    "git commit -ma",
    "git commit -m all src/app.py",
    "git commit --amend",
    "git commit -F .",
    "git clean -n",
    "git clean -nfd",
    "git clean -f build/",
    "git clean -d",
    "git log --all",
    "git push --force",
    "git diff .",
    "git add -- -A",
    "git --version",
    "git -C",
]


@pytest.mark.parametrize("command", SWEEPS)
def test_these_sweep(command: str) -> None:
    found = sweep(shlex.split(command))
    assert found is not None
    assert found.command == SWEEPS[command]
    assert found.does
    assert found.instead


@pytest.mark.parametrize("command", HARMLESS)
def test_these_do_not(command: str) -> None:
    assert sweep(shlex.split(command)) is None


def test_the_directory_is_told() -> None:
    found = sweep(["git", "-C", "sub/dir", "stash"])
    assert found is not None
    assert found.directory == "sub/dir"
