"""The completion scripts in the shells that they are for. A shell that is not installed is skipped and says so."""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from agentsync.cli.completion import read
from agentsync.cli.parser import build
from agentsync.render.completion import SHELLS, script

if TYPE_CHECKING:
    from collections.abc import Iterator

GRAMMAR = read(build())
HELP = {command.name: command for command in GRAMMAR.commands}


def needs(shell: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(shell) is None, reason=f"{shell} is not installed")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where things are typed; the scripts are in it."""
    made = tmp_path / "typed here"
    (made / "some folder").mkdir(parents=True)
    (made / "some file.py").touch()
    (made / "single.py").touch()
    for shell in SHELLS:
        (tmp_path / f"script.{shell}").write_text(script(shell, GRAMMAR))
    return made


# ---------------------------------------------------------------- the grammar
def test_the_grammar_has_every_command_and_every_option() -> None:
    listed = subprocess.run([sys.executable, "-m", "agentsync", "--help"], capture_output=True, text=True).stdout
    names = [line.split()[0] for line in listed.split("commands:")[1].splitlines() if line.startswith("    ")]
    assert {name for name in names if name in HELP} == set(HELP)
    assert len(HELP) > 40
    for name, command in HELP.items():
        usage = build([name]).parse_args  # the grammar of one command alone is the same
        assert callable(usage)
        assert command.about
        assert ("-h", "--help") in {option.names for option in command.options}


def test_what_follows_is_known_by_its_name() -> None:
    lock = {option.names[-1]: option for option in HELP["lock"].options}
    assert HELP["lock"].operands == "path"
    assert (lock["--reason"].value, lock["--wait"].value, lock["--shared"].value) == ("free", "none", "none")
    assert lock["-C"].value == "directory"
    install = {option.names[-1]: option for option in HELP["install"].options}
    assert install["--agents-md"].value == "path"
    assert {"claude", "all"} <= set(install["--client"].choices)
    assert install["--client"].repeats
    assert HELP["completion"].choices == ("bash", "zsh", "fish")


@pytest.mark.parametrize("shell", SHELLS)
def test_the_command_prints_the_script_and_needs_no_repository(shell: str, tmp_path: Path) -> None:
    words = [sys.executable, "-m", "agentsync", "completion", shell]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == script(shell, GRAMMAR)
    assert not (tmp_path / ".claude").exists()


@pytest.mark.parametrize("shell", SHELLS)
def test_nothing_of_ours_runs_at_a_keystroke(shell: str) -> None:
    text = script(shell, GRAMMAR)
    code = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    assert not [line for line in code if "$(agent" in line or "(agent-sync" in line or "`" in line]


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_shells_that_show_explanations_get_all_of_them(shell: str) -> None:
    text = script(shell, GRAMMAR).replace("\\", "").replace("'''", "'")
    for command in GRAMMAR.commands:
        assert command.about.replace("'", "") in text.replace("'", ""), command.name
        for option in command.options:
            assert option.about.replace("'", "") in text.replace("'", ""), (command.name, option.names)


# ---------------------------------------------------------------- bash
def bash(folder: Path, line: str) -> list[str]:
    """What bash would offer at the end of a line; nothing at all = file names, by readline itself."""
    words = line.split(" ")
    program = 'source ../script.bash; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _agent_sync; printf "%s\\n" "${COMPREPLY[@]}"'
    done = subprocess.run(["bash", "-c", program, "bash", *words], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.split("\n")[:-1] if done.stdout.strip() else []


@needs("bash")
def test_bash_completes_commands_options_and_values(folder: Path) -> None:
    assert bash(folder, "agent-sync lo") == ["lock", "locks", "log"]
    assert set(bash(folder, "agent-sync ")) == set(HELP)
    assert bash(folder, "agent-sync --v") == ["--version"]
    assert bash(folder, "agent-sync --json -C /tmp whoa") == ["whoami"]
    assert bash(folder, "agent-sync lock --rea") == ["--reason"]
    for command in GRAMMAR.commands:
        offered = bash(folder, f"agent-sync {command.name} -")
        assert set(offered) == {name for option in command.options for name in option.names}
    assert bash(folder, "agent-sync install --client c")[0] == "claude"
    assert bash(folder, "agent-sync completion ") == ["bash", "zsh", "fish"]
    for line in ("agent-sync lock sin", "agent-sync -C so"):
        assert bash(folder, line) == [], "readline completes paths"
    assert bash(folder, "agent-sync nonsense ") == []


# ---------------------------------------------------------------- a shell at a terminal
class Terminal:
    """An interactive shell, and what it shows."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.shown = ""

    def types(self, keys: str) -> None:
        self.shown = ""
        os.write(self.fd, keys.encode())

    def shows(self, text: str, seconds: float = 20) -> bool:
        """Whether a text comes."""
        end = time.monotonic() + seconds
        while text not in re.sub(r"[\x00-\x08 ]+", " ", self.shown.replace("\x07", "")):  # bells, and a space redrawn
            ready, _, _ = select.select([self.fd], [], [], max(0, end - time.monotonic()))
            if not ready:
                return False
            self.shown += os.read(self.fd, 4096).decode("utf-8", "replace")
        return True


@contextmanager
def terminal(folder: Path, *words: str) -> Iterator[Terminal]:
    fd, inside = pty.openpty()
    env = {"PATH": "/usr/bin:/bin", "HOME": str(folder.parent), "TERM": "dumb", "LC_ALL": "C.UTF-8", "COLUMNS": "200"}
    shell = subprocess.Popen(
        words,
        cwd=folder,
        env=env,
        stdin=inside,
        stdout=inside,
        stderr=inside,
        start_new_session=True,
    )
    os.close(inside)
    try:
        yield Terminal(fd)
    finally:
        shell.kill()
        shell.wait()
        os.close(fd)


@needs("bash")
def test_bash_at_a_terminal_completes_commands_and_quotes_paths(folder: Path) -> None:
    with terminal(folder, "bash", "--norc", "-i") as shell:
        shell.types("source ../script.bash; PS1='READY''> '\r")
        assert shell.shows("READY> "), shell.shown
        shell.types("agent-sync whoa\t#")
        assert shell.shows("agent-sync whoami #"), shell.shown
        shell.types("\x15agentsync lock some\\ fi\t#")
        assert shell.shows("some\\ file.py #"), shell.shown
        shell.types("\x15agent-sync -C so\t#")
        assert shell.shows("some\\ folder/#"), shell.shown
        shell.types("\x15agent-sync lock --reason sin\t#")
        assert shell.shows("--reason sin#"), "a reason is no path"


@needs("zsh")
def test_zsh_at_a_terminal_completes_commands_options_and_paths(folder: Path) -> None:
    with terminal(folder, "zsh", "-f", "-i") as shell:
        shell.types("autoload -Uz compinit; compinit -u -D; source ../script.zsh; PS1='READY''> '\r")
        assert shell.shows("READY> "), shell.shown
        shell.types("agent-sync whoa\t#")
        assert shell.shows("whoami #"), shell.shown
        shell.types("\x15agentsync -C / whoa\t#")
        assert shell.shows("whoami #"), shell.shown
        shell.types("\x15agent-sync lock --shar\t#")
        assert shell.shows("--shared #"), shell.shown
        shell.types("\x15agent-sync lock some\\ fi\t#")
        assert shell.shows("some\\ file.py #"), shell.shown
        shell.types("\x15agent-sync install --client clau\t#")
        assert shell.shows("claude #"), shell.shown
        shell.types("\x15agent-sync lo\x04")
        assert shell.shows(HELP["locks"].about), shell.shown


@needs("zsh")
def test_zsh_takes_it_as_an_autoloaded_function_too(folder: Path) -> None:
    functions = folder.parent / "functions"
    functions.mkdir()
    shutil.copy(folder.parent / "script.zsh", functions / "_agent-sync")
    with terminal(folder, "zsh", "-f", "-i") as shell:
        shell.types("fpath=(../functions $fpath); autoload -Uz compinit; compinit -u -D; PS1='READY''> '\r")
        assert shell.shows("READY> "), shell.shown
        shell.types("agent-sync whoa\t#")
        assert shell.shows("whoami #"), shell.shown


# ---------------------------------------------------------------- fish
def fish(folder: Path, line: str) -> list[str]:
    """What fish would offer at the end of a line, with the explanations."""
    program = "source ../script.fish; complete -C $argv[1]"
    env = {"PATH": "/usr/bin:/bin", "HOME": str(folder.parent), "LC_ALL": "C.UTF-8"}
    done = subprocess.run(["fish", "-c", program, line], cwd=folder, env=env, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


@needs("fish")
def test_fish_completes_commands_options_values_and_paths(folder: Path) -> None:
    assert fish(folder, "agent-sync whoa") == [f"whoami\t{HELP['whoami'].about}"]
    assert fish(folder, "agentsync --json -C / whoa") == [f"whoami\t{HELP['whoami'].about}"]
    assert {line.split("\t")[0] for line in fish(folder, "agent-sync ")} == set(HELP)
    assert [line.split("\t")[0] for line in fish(folder, "agent-sync lock --reso")] == ["--resource"]
    assert "claude" in [line.split("\t")[0] for line in fish(folder, "agent-sync install --client ")]
    assert [line.split("\t")[0] for line in fish(folder, "agent-sync completion ")] == ["bash", "fish", "zsh"]
    assert fish(folder, "agent-sync lock sin") == ["single.py"]
    assert fish(folder, "agent-sync lock --reason sin") == []
    assert [line.split("\t")[0] for line in fish(folder, "agent-sync -C so")] == ["some folder/"]
