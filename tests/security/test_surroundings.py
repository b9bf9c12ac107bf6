"""Around the state: the directory one stands in, the environment, settings and configuration files, `append`.

Real processes, because that is where a hostile working directory would take hold.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hook.test_gate import GATE, has_shell, payload
from security.stage import ALICE, Stage, stages
from world import git, make_repo

from agentsync.errors import UsageError
from agentsync.ops import append as append_module
from agentsync.ops.append import append
from agentsync.ops.session import open_session
from agentsync.runtime import Runtime

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BIN = Path(sys.executable).parent

SHADOWS = ["json", "msgspec", "argparse", "agentsync", "os", "errno", "sitecustomize", "usercustomize", "typing", "re"]

TOOLS = ["cat", "date", "touch", "sh", "env", "python3", "python", "git"]


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Iterator[Stage]:
    with stages(monkeypatch, capfd, "repo") as (made,):
        yield made


@pytest.fixture
def trap(stage: Stage) -> Path:
    """A repository whose top is full of modules and programs that leave a mark when they run."""
    mark = stage.root.parent / "executed"
    for name in SHADOWS:
        (stage.root / f"{name}.py").write_text(f"open({str(mark)!r}, 'a').write({name!r} + chr(10))\n")
        (stage.root / f"{name}.pth").write_text(f"import os; open({str(mark)!r}, 'a').write('pth')\n")
    for name in TOOLS:
        program = stage.root / name
        program.write_text(f"#!/bin/sh\necho {name} >>{mark}\n")
        program.chmod(0o755)
    (stage.root / "pyvenv.cfg").write_text("home = .\ninclude-system-site-packages = true\n")
    (stage.root / "setup.cfg").write_text("[install]\n")
    return mark


def _run(stage: Stage, *argv: str, stdin: bytes = b"", **env: str) -> subprocess.CompletedProcess[bytes]:
    variables = {"PATH": f"{BIN}:/usr/bin:/bin", "HOME": str(stage.root.parent), "AGENT_SYNC_ID": ALICE, **env}
    return subprocess.run(argv, input=stdin, cwd=stage.root, env=variables, capture_output=True, timeout=60)


# ---------------------------------------------------------------- the working directory and the environment
def test_no_command_and_no_hook_runs_what_lies_in_the_working_directory(stage: Stage, trap: Path) -> None:
    sync = str(BIN / "agent-sync")
    for words in (["lock", "a.py"], ["status", "--json"], ["install"], ["doctor"], ["gc"], ["log"], ["tasks"]):
        done = _run(stage, sync, *words)
        assert done.returncode == 0, (words, done.stdout, done.stderr)
        assert not trap.exists(), (words, trap.read_text())
    _run(stage, sync, "lock", "b.py", AGENT_SYNC_ID="bob")
    gate = str(stage.root / ".claude/hooks/agent-sync")
    for event, path in (("session-start", None), ("pre-tool-use", "b.py"), ("post-tool-use", "c.py"), ("stop", None)):
        given = payload(stage.root / path if path else None, cwd=str(stage.root))
        for argv in ([sync, "hook", event], [gate, event]):
            done = _run(stage, *argv, stdin=given)
            assert done.returncode == 0
            assert not trap.exists(), (argv, trap.read_text())
    assert b"deny" in _run(stage, gate, "pre-tool-use", stdin=payload(stage.root / "b.py", cwd=str(stage.root))).stdout


def test_the_gate_takes_the_systems_tools_before_those_on_the_path(stage: Stage, trap: Path) -> None:
    stage.makes(ALICE, "install")
    stage.makes("bob", "register", "--name", "Bob")
    gate = str(stage.root / ".claude/hooks/agent-sync")
    hostile = {
        "PATH": f"{stage.root}:.::",
        "ENV": "./sh",
        "BASH_ENV": "./sh",
        "PYTHONPATH": ".",
        "PYTHONSTARTUP": "os.py",
    }
    hostile |= {"PYTHONHOME": "/nowhere", "IFS": "/", "CDPATH": "."}
    for event in ("pre-tool-use", "post-tool-use", "stop", "session-start"):
        done = _run(stage, gate, event, stdin=payload(stage.root / "c.py", cwd=str(stage.root)), **hostile)
        assert done.returncode == 0, done.stderr
        assert not trap.exists(), (event, trap.read_text())


def test_the_gate_starts_nothing_by_a_relative_name(stage: Stage, trap: Path) -> None:
    stage.makes(ALICE, "install")
    (stage.state / "python").write_text("python\n")
    done = _run(
        stage,
        str(stage.root / ".claude/hooks/agent-sync"),
        "session-start",
        stdin=payload(cwd=str(stage.root)),
        PATH="/usr/bin:/bin",
    )
    assert (done.returncode, b"its Python is gone" in done.stderr) == (0, True)
    assert not trap.exists()


def test_git_variables_lead_nobody_astray(stage: Stage) -> None:
    other = make_repo(stage.root.parent / "other")
    git("add", "-A", cwd=other)
    hostile = {"GIT_DIR": str(other / ".git"), "GIT_WORK_TREE": str(other), "GIT_INDEX_FILE": "/dev/null"}
    hostile |= {"GIT_CEILING_DIRECTORIES": "/", "GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "core.fsmonitor"}
    hostile |= {"GIT_CONFIG_VALUE_0": "touch executed", "GIT_TRACE": str(stage.root / "trace"), "GIT_EXEC_PATH": "/"}
    sync = str(BIN / "agent-sync")
    assert _run(stage, sync, "lock", "a.py", **hostile).returncode == 0
    assert (stage.state / "locks/a.py.json").exists()
    assert not (other / ".claude").exists()
    git("add", "-f", ".claude/coordination/README", cwd=stage.root)
    done = _run(stage, sync, "init", **hostile)
    assert (done.returncode, b"tracked" in done.stderr) == (6, True)
    assert not (stage.root / "trace").exists()
    assert not (stage.root / "executed").exists()


def test_a_repositorys_own_configuration_starts_nothing(stage: Stage) -> None:
    """It may be unpacked with its `.git`."""
    with (stage.root / ".git/config").open("a") as config:
        config.write(f'[core]\n\tfsmonitor = "touch {stage.root}/executed;"\n\tpager = touch x\n')
    (stage.state).mkdir(parents=True)
    (stage.state / "README").write_text("x")
    git("-c", "core.fsmonitor=false", "add", "-f", ".claude/coordination/README", cwd=stage.root)
    (stage.root / "executed").unlink(missing_ok=True)
    assert stage.types(ALICE, "lock", "a").code == 6
    assert not (stage.root / "executed").exists()


# ---------------------------------------------------------------- the gate and files that are none
def _pipe(path: Path) -> None:
    os.mkfifo(path)


ODD: dict[str, Callable[[Path], object]] = {
    "a pipe": _pipe,
    "a directory": lambda path: path.mkdir(),
    "a link to zeros": lambda path: path.symlink_to("/dev/zero"),
    "a link to a pipe": lambda path: (_pipe(path.with_name("pipe")), path.symlink_to("pipe")),
    "a link to nothing": lambda path: path.symlink_to("nothing"),
}

PLACES = [
    *("locks/c.py.json", "locks/%2E%2F.json", "agents/alice.json", "activity/alice.ndjson", "python", "neighbours"),
    *("inbox/alice", "inbox/alice/000000000001.json", "locks/globs", "agents", "locks", "policy", "../agent-sync.toml"),
]


@pytest.mark.skipif(not has_shell("dash"), reason="dash is not installed")
@pytest.mark.parametrize("kind", ODD)
def test_the_gate_waits_for_nothing(kind: str, stage: Stage) -> None:
    stage.makes(ALICE, "register", "--name", "Alice")
    stage.makes("bob", "register", "--name", "Bob")
    hooks = stage.root / ".claude/hooks"
    hooks.mkdir()
    (hooks / "agent-sync").write_bytes(GATE.read_bytes())
    stub = stage.root / "python-stub"
    stub.write_text("#!/bin/sh\nexit 0\n")
    stub.chmod(0o755)
    for place in PLACES:
        if place == "policy":  # without a configuration the gate decides more by itself
            (stage.root / ".claude/agent-sync.toml").write_text("auto_lock = true\n")
        path = stage.state / place
        path.parent.mkdir(parents=True, exist_ok=True)
        kept = path.with_name(path.name + ".kept")
        if path.exists():
            path.rename(kept)
        ODD[kind](path)
        if place != "python":
            (stage.state / "python").write_text(f"{stub}\n")
        for event in ("pre-tool-use", "post-tool-use", "user-prompt-submit", "stop", "session-start"):
            given = payload(stage.root / "c.py", cwd=str(stage.root))
            done = _run(stage, "dash", str(hooks / "agent-sync"), event, stdin=given, PATH="/usr/bin:/bin")
            assert done.returncode == 0, (place, event, done.stderr)
            assert b'"deny"' not in done.stdout
        for made in (path, path.with_name("pipe")):
            if made.is_dir() and not made.is_symlink():
                made.rmdir()
            else:
                made.unlink(missing_ok=True)
        if kept.exists():
            kept.rename(path)


# ---------------------------------------------------------------- settings, configuration, git's own files
@pytest.mark.parametrize("kind", ODD)
@pytest.mark.parametrize(
    "place", [".claude/settings.json", ".claude/agent-sync.toml", ".git/config", ".git/index", ".git/HEAD"]
)
def test_no_command_waits_for_a_file_of_the_repository(place: str, kind: str, stage: Stage) -> None:
    path = stage.root / place
    path.parent.mkdir(exist_ok=True)
    path.unlink(missing_ok=True)
    ODD[kind](path)
    for words in (
        ["lock", "a.py"],
        ["status"],
        ["doctor"],
        ["install"],
        ["install", "--dry-run"],
        ["uninstall"],
        ["init"],
    ):
        said = stage.types(ALICE, *words)
        assert said.code in (0, 1, 6), (words, said)
        assert "Traceback" not in said.err
        assert "internal error" not in said.err, (words, said)
    assert stage.hooks(ALICE, "pre-tool-use", "a.py").code == 0


@pytest.mark.parametrize("link", [".claude/hooks", ".claude/hooks/agent-sync"])
def test_the_gate_is_not_written_through_a_link(link: str, stage: Stage) -> None:
    outside = stage.root.parent / "outside"
    outside.mkdir()
    path = stage.root / link
    path.parent.mkdir(parents=True)
    path.symlink_to(outside if link.endswith("hooks") else outside / ".bash_login")
    said = stage.types(ALICE, "install")
    assert (said.code, "link" in said.err) == (1, True)
    assert list(outside.iterdir()) == []
    assert not (stage.root / ".claude/settings.json").exists()


def test_an_installation_record_removes_no_directory_of_others(stage: Stage) -> None:
    (stage.root / "empty").mkdir()
    outside = stage.root.parent / "outside"
    outside.mkdir()
    stage.makes(ALICE, "install")
    record = stage.state / "installed/claude.json"
    made = json.loads(record.read_bytes())
    record.write_text(json.dumps({**made, "made": ["empty", "../outside", ".claude/hooks", "/"]}))
    stage.makes(ALICE, "uninstall")
    assert outside.is_dir()
    assert (stage.root / "empty").is_dir()


def test_a_configuration_of_nonsense_says_so_in_a_few_lines(stage: Stage) -> None:
    (stage.root / ".claude").mkdir()
    (stage.root / ".claude/agent-sync.toml").write_text("".join(f"{'x' * 20}{n} = '\\u001b[2J'\n" for n in range(400)))
    said = stage.types(ALICE, "lock", "a.py")
    assert said.code == 0
    assert said.err.count("\n") < 12
    assert len(said.err) < 4000
    assert "\x1b" not in said.err


# ---------------------------------------------------------------- append
REFUSED = [
    *(".git/config", ".git/hooks/pre-commit", ".GIT/config", "src/.git/config", ".claude/settings.json"),
    *(".claude/hooks/agent-sync", ".claude/coordination/guard", ".claude/coordination/locks/x.json", "to-git/config"),
    *(".claude/coordination/intent.json", "src/", "/dev/null", "/dev/zero", "pipe", "to-pipe", "src", "loop"),
]


@pytest.mark.parametrize("path", REFUSED)
def test_append_is_for_files_of_the_project(path: str, stage: Stage) -> None:
    stage.makes(ALICE, "register", "--name", "Alice")
    _pipe(stage.root / "pipe")
    (stage.root / "to-pipe").symlink_to("pipe")
    (stage.root / "to-git").symlink_to(".git")
    (stage.root / "loop").symlink_to("loop")
    before = {p: p.read_bytes() for p in stage.root.rglob("*") if p.is_file() and not p.is_fifo()}
    said = stage.types(ALICE, "append", path, "--content", "evil")
    assert said.code in (2, 6), said
    after = {p: p.read_bytes() for p in stage.root.rglob("*") if p.is_file() and not p.is_fifo()}
    assert after == before


@pytest.mark.parametrize("variable", ["AGENT_SYNC_DIR"])
def test_append_knows_the_state_wherever_it_is(variable: str, stage: Stage) -> None:
    state = stage.root / "state"
    assert stage.types(ALICE, "lock", "x", **{variable: str(state)}).code == 0
    assert stage.types(ALICE, "append", "state/guard", "--content", "x", **{variable: str(state)}).code == 2
    assert (state / "guard").read_bytes() == b""


@pytest.mark.parametrize("swapped", ["a link", "a pipe", "a linked directory"])
def test_append_writes_where_it_has_its_lock_or_nowhere(
    swapped: str, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the lock and the write somebody puts something else in the file's place."""
    session = open_session(Runtime(env={"AGENT_SYNC_ID": ALICE}, cwd=str(stage.root)))
    victim = stage.root.parent / "victim"
    victim.mkdir()
    (victim / "notes.md").write_text("mine\n")
    file = stage.root / "src/notes.md"
    real = append_module.take

    def take(*args: object, **kwargs: object) -> object:
        decision = real(*args, **kwargs)  # type: ignore[arg-type]
        if swapped == "a pipe":
            _pipe(file)
        elif swapped == "a link":
            file.symlink_to(victim / "notes.md")
        else:
            file.parent.rename(stage.root / "old")
            file.parent.symlink_to(victim)
        return decision

    monkeypatch.setattr(append_module, "take", take)
    with pytest.raises((UsageError, OSError)):
        append(session, "src/notes.md", b"x")
    assert (victim / "notes.md").read_text() == "mine\n"
    assert json.loads(stage.makes(ALICE, "locks", "--json")) == [], "the lock is given back"
