"""Running git for a shared board, and others who ask the network: nothing prompts, nothing takes longer than a limit.

Of `Git` no variable leads elsewhere either.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
from typing import TYPE_CHECKING

from agentsync.errors import AgentSyncError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

KEPT = re.compile(
    r"GIT_(SSH|SSH_COMMAND|SSL_.*|HTTP_.*|PROXY_.*|CONFIG_GLOBAL|CONFIG_SYSTEM|CONFIG_NOSYSTEM|EXEC_PATH)"
)
"""Variables of git's that say how to get somewhere, and not to which repository."""

LENT = re.compile(r"(credential|http|url|ssh|protocol)\..*|core\.(sshcommand|gitproxy)")
"""Settings of the user's repository that say the same."""

UNASKED = {
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_ASKPASS": "false",
    "SSH_ASKPASS": "false",
    "SSH_ASKPASS_REQUIRE": "never",
    "GCM_INTERACTIVE": "never",
    "LC_ALL": "C",
    "LANGUAGE": "",
}
"""What keeps git from asking a person, and its words those that we know."""

SETTINGS = (
    *("credential.interactive=false", "core.hooksPath=/dev/null", "core.fsmonitor=false", "gc.auto=0"),
    *("maintenance.auto=false", "push.followTags=false", "push.gpgSign=false", "push.recurseSubmodules=no"),
    *(
        "fetch.recurseSubmodules=no",
        "fetch.writeCommitGraph=false",
        "fetch.unpackLimit=1000",
        "transfer.unpackLimit=1000",
    ),
)

SHOWN = 400
"""Characters of the remote's words that are repeated."""

DENIED = re.compile(
    r"permission denied|access denied|denied to|authentication failed|could not read (username|password)|"
    r"invalid (username|credentials)|error: 40[13]|not authori[sz]ed|read.only|protected",
    re.IGNORECASE,
)
"""Words of a remote that will not let us."""


class EndedError(AgentSyncError):
    """A git that did not do what it was asked; `said` is its standard error."""

    def __init__(self, said: str) -> None:
        super().__init__(f"git says: {said[:SHOWN]}", "see what git says")
        self.said = said


class Git:
    """Git in a bare repository of ours, on behalf of a user's repository."""

    def __init__(self, repository: str, top: str, remote: str, *, env: Mapping[str, str], limit_s: float) -> None:
        self._top = top
        self._remote = remote
        self._limit_s = limit_s
        outer = {name: value for name, value in env.items() if not name.startswith("GIT_") or KEPT.fullmatch(name)}
        self._lent = {**outer, **UNASKED}
        self._env = {**self._lent, "GIT_DIR": repository}
        self._address: tuple[str, str] | None = None

    def ask(self, *words: str) -> bytes:
        """Ask the user's repository; returns what git printed.

        Raises:
            EndedError: It said no, or took too long.
            AgentSyncError: There is no git.
        """
        return self._run(words, self._lent, b"")

    def config(self) -> dict[str, list[str]]:
        """What the user's repository has configured, by lower-case name."""
        listed = self.ask("config", "--local", "--includes", "--list", "-z")
        found: dict[str, list[str]] = {}
        for entry in listed.decode("utf-8", "surrogateescape").split("\0"):
            name, _, value = entry.partition("\n")
            found.setdefault(name, []).append(value)
        return found

    def addresses(self) -> tuple[str, str]:
        """Where to fetch from and push to. The first call reads the user's configuration, and takes what it lends."""
        if self._address is None:
            config = self.config()
            fetch = config.get(f"remote.{self._remote}.url", [self._remote])[0]
            push = config.get(f"remote.{self._remote}.pushurl", [fetch])[0]
            lent = [(name, value) for name, values in config.items() if LENT.fullmatch(name) for value in values]
            self._env["GIT_CONFIG_COUNT"] = str(len(lent))
            for number, (name, value) in enumerate(lent):
                self._env |= {f"GIT_CONFIG_KEY_{number}": name, f"GIT_CONFIG_VALUE_{number}": value}
            if not {"GIT_SSH", "GIT_SSH_COMMAND"} & self._env.keys() and "core.sshcommand" not in config:
                self._env["GIT_SSH_COMMAND"] = "ssh -oBatchMode=yes -oConnectTimeout=10"
            self._address = (fetch, push)
        return self._address

    def __call__(self, *words: str, stdin: bytes = b"", cwd: str = "") -> bytes:
        """Run a command in our repository; returns what it printed.

        Raises:
            EndedError: It said no, or took too long.
            AgentSyncError: There is no git.
        """
        settings = (part for setting in SETTINGS for part in ("-c", setting))
        return self._run([*settings, *words], self._env, stdin, cwd)

    def _run(self, words: Iterable[str], env: Mapping[str, str], stdin: bytes, cwd: str = "") -> bytes:
        """Run git once; in the user's working tree, for a remote's address may be relative to it."""
        return run(["git", *words], cwd=cwd or self._top, env=env, limit_s=self._limit_s, stdin=stdin)


def run(words: Sequence[str], *, cwd: str, env: Mapping[str, str], limit_s: float, stdin: bytes = b"") -> bytes:
    """Run a program once, for so long at most, in a session of its own: it has no terminal to ask.

    Args:
        words: The program and its arguments.
        cwd: Where.
        env: The whole environment.
        limit_s: Seconds after which it is killed with whatever it has started.
        stdin: What it reads.

    Returns:
        What it printed.

    Raises:
        EndedError: It said no, or took too long.
        AgentSyncError: There is no such program.
    """
    try:
        process = subprocess.Popen(
            words,
            cwd=cwd,
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except FileNotFoundError as error:
        raise AgentSyncError(
            f"{words[0]} cannot be started: {error}", f"install {words[0]}, or mend the PATH"
        ) from None
    except ValueError:
        raise EndedError("a name that no program can be given") from None
    with process:
        try:
            out, complaint = process.communicate(stdin, timeout=limit_s)
        except subprocess.TimeoutExpired:
            raise EndedError(f"no answer in {limit_s:g} s") from None
        finally:
            if process.returncode is None:  # also when we are interrupted
                _kill(process)
    if process.returncode != 0:
        said = (complaint + b"\n" + out).decode("utf-8", "replace").strip().removeprefix("fatal: ")
        raise EndedError(said or f"exit code {process.returncode}")
    return out


def _kill(process: subprocess.Popen[bytes]) -> None:
    """The process and all its children, which have its session. Those of Windows go by themselves, with their pipes."""
    if hasattr(os, "killpg"):
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass  # it ended at this very moment
    else:
        process.kill()
