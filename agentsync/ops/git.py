"""Asking git: one call, its output as bytes, and what went wrong as an error of ours.

In a git hook the variables that git has set stay as they are, for they say which index is being committed
(`GIT_INDEX_FILE`). Everybody else asks about a directory, whatever repository the caller's variables point at.
"""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

from agentsync.errors import AgentSyncError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

LOCAL = (
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_CONFIG",
    "GIT_CONFIG_COUNT",
    "GIT_CONFIG_PARAMETERS",
    "GIT_DIR",
    "GIT_GRAFT_FILE",
    "GIT_IMPLICIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_INTERNAL_SUPER_PREFIX",
    "GIT_NAMESPACE",
    "GIT_NO_REPLACE_OBJECTS",
    "GIT_OBJECT_DIRECTORY",
    "GIT_PREFIX",
    "GIT_REPLACE_REF_BASE",
    "GIT_SHALLOW_FILE",
    "GIT_WORK_TREE",
)
"""Variables that tie git to one repository: `git rev-parse --local-env-vars`."""

PATIENCE_S = 60.0
"""Seconds that git may take for an answer about one repository, however large."""

_SHOWN = 400
"""Characters of git's complaint that are repeated."""


class GitError(AgentSyncError):
    """Git did not do what it was asked."""


def unbound(env: Mapping[str, str]) -> dict[str, str]:
    """An environment in which git looks at the directory it is started in."""
    return {name: value for name, value in env.items() if name not in LOCAL}


def ask(
    arguments: Sequence[str],
    cwd: str,
    env: Mapping[str, str],
    ok: Sequence[int] = (0,),
    stdin: bytes = b"",
    *,
    timeout: float = PATIENCE_S,
) -> tuple[int, bytes]:
    """Run git once.

    Args:
        arguments: What follows `git`.
        cwd: Where.
        env: The whole environment.
        ok: Exit codes that are answers.
        stdin: What it reads.
        timeout: Seconds after which it is ended.

    Returns:
        Its exit code and its standard output.

    Raises:
        GitError: It is not there, ended with another code, or did not end.
    """
    pairs = zip(("", *arguments), arguments, strict=False)
    verb = next((word for before, word in pairs if not word.startswith("-") and before != "-c"), "")
    quiet = {**env, "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0"}
    command = ["git", "-c", "core.fsmonitor=false", "-c", "core.quotePath=false", *arguments]
    try:
        done = subprocess.run(
            command, cwd=cwd, env=quiet, input=stdin, capture_output=True, check=False, timeout=timeout
        )
    except FileNotFoundError as error:
        raise GitError(f"git cannot be started: {error}", "install git, or mend the PATH") from None
    except subprocess.TimeoutExpired:
        hint = "a pipe in place of one of git's files makes it wait; see what `git status` does there"
        raise GitError(f"git {verb} did not answer in {timeout:g} s in {cwd}", hint) from None
    except ValueError:  # half a character, or a NUL
        raise GitError("git cannot be asked about a name that no program can be given", "type another name") from None
    if done.returncode not in ok:
        said = done.stderr.decode("utf-8", "replace").strip().removeprefix("fatal: ")[:_SHOWN]
        raise GitError(f"git {verb} failed in {cwd}: {said or f'exit code {done.returncode}'}", "see what git says")
    return done.returncode, done.stdout


def names(output: bytes) -> list[str]:
    """The paths in NUL-separated output, in order, each once. Bytes that are not UTF-8 stay what they are."""
    return list(dict.fromkeys(os.fsdecode(name) for name in output.split(b"\0") if name))
