"""The doctor: every finding has a damage that provokes it, and a healthy store has none.

Real stores with real clocks: what is looked at is the machine. Each examination is a call of the operation; exit codes
and output are those of the command.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from world import git, make_repo

from agentsync import clients
from agentsync.cli.main import main
from agentsync.clients import claude
from agentsync.clients.call import GATE
from agentsync.core import keys
from agentsync.core.changes import Put
from agentsync.core.records import Event, Message
from agentsync.ops import agents, care, edits, install, locks
from agentsync.ops.doctor import Finding, examine
from agentsync.ops.session import Session, open_session
from agentsync.runtime import Runtime
from agentsync.store import codec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NOBODY = 65534

MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
"""Where syncing costs nothing."""

PATH = "/usr/bin:/bin"
"""Without an `agent-sync` on it, or the gate would find that when its own Python is gone."""


class Clinic:
    """A repository with a board on it, and a doctor."""

    def __init__(self, top: Path) -> None:
        self.root = make_repo(top / "repo")
        self.state = self.root / ".claude/coordination"

    def session(self, agent_id: str = "alice", cwd: Path | None = None) -> Session:
        env = {"PATH": PATH, "AGENT_SYNC_ID": agent_id}
        return open_session(Runtime(env=env, cwd=str(cwd or self.root)))

    def examines(self) -> list[Finding]:
        return examine(self.session("doctor"))

    def finds(self, check: str) -> list[Finding]:
        return [finding for finding in self.examines() if finding.check == check]

    def problems(self) -> dict[str, str]:
        return {finding.check: finding.message for finding in self.examines() if finding.level == "problem"}


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=MEMORY) as top:
        yield Path(top)


@pytest.fixture
def clinic(folder: Path) -> Clinic:
    """Two agents, a lock by hand, an automatic one, a shared one, a pattern, a notice that waits."""
    made = Clinic(folder)
    alice, bob = made.session("alice"), made.session("bob")
    for one in (alice, bob):
        agents.register(one)
    locks.lock(alice, ["src/app.py"], reason="a test")
    locks.lock(alice, ["docs/"], shared=True)
    locks.lock(alice, ["*.sql"])
    edits.before(bob, "src/new.py")
    locks.unlock(bob, ["src/app.py"], force=True)
    locks.lock(alice, ["src/app.py"])
    return made


def run_doctor(clinic: Clinic, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    with contextlib.chdir(clinic.root):
        code = main(["doctor", *words])
    return code, capsys.readouterr().out


# ---------------------------------------------------------------- healthy
def test_a_healthy_board_has_no_findings_that_need_action(
    clinic: Clinic, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", PATH)
    install.install(clinic.session(), claude)
    code, said = run_doctor(clinic, capsys)
    assert code == 0, said
    assert said.splitlines()[-1] == "all is well"
    levels = {line.split()[0] for line in said.splitlines()[:-1] if not line.startswith("<")}
    assert levels == {"ok"}


def test_where_nothing_is_yet_is_healthy_and_stays_untouched(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clinic = Clinic(tmp_path)
    code, said = run_doctor(clinic, capsys)
    assert code == 0
    assert "no state yet" in said
    assert not clinic.state.exists()


def test_examining_changes_nothing(clinic: Clinic) -> None:
    def look() -> dict[str, tuple[int, bytes]]:
        found = (path for path in clinic.root.rglob("*") if path.is_file() and ".git/" not in str(path))
        return {str(path): (path.stat().st_mtime_ns, path.read_bytes()) for path in found}

    install.install(clinic.session(), claude)
    before = look()
    clinic.examines()
    assert look() == before


def test_the_answer_as_json(clinic: Clinic, capsys: pytest.CaptureFixture[str]) -> None:
    (clinic.state / "quarantine/x").write_text("?")
    code, said = run_doctor(clinic, capsys, "--json")
    answer = json.loads(said)
    assert code == 1
    assert (answer["kind"], answer["healthy"]) == ("diagnosis", False)
    for finding in answer["findings"]:
        assert set(finding) == {"check", "level", "message", "fix"}
        assert finding["level"] in ("ok", "note", "problem")
        assert finding["message"]
        assert bool(finding["fix"]) is (finding["level"] != "ok")


def test_a_healthy_answer_as_json(clinic: Clinic, capsys: pytest.CaptureFixture[str]) -> None:
    code, said = run_doctor(clinic, capsys, "--json")
    assert code == 0
    assert json.loads(said)["healthy"] is True


# ---------------------------------------------------------------- damage
def first(folder: str, pattern: str = "*.json") -> Callable[[Path], Path]:
    return lambda state: sorted((state / folder).glob(pattern))[0]


def _replace(find: Callable[[Path], Path], content: bytes) -> Callable[[Path], None]:
    return lambda state: find(state).write_bytes(content) and None


def _cut(find: Callable[[Path], Path]) -> Callable[[Path], None]:
    def cut(state: Path) -> None:
        path = find(state)
        path.write_bytes(path.read_bytes()[:-20])

    return cut


def _remove(*names: str) -> Callable[[Path], None]:
    def remove(state: Path) -> None:
        for name in names:
            (state / name).unlink()

    return remove


def _link(find: Callable[[Path], Path]) -> Callable[[Path], None]:
    def link(state: Path) -> None:
        path = find(state)
        copy = state.parent / "elsewhere.json"
        path.rename(copy)
        path.symlink_to(copy)

    return link


def _set_date(state: Path) -> None:
    newest = sorted((state / "log").iterdir())[-1]
    entry = json.loads(newest.read_bytes())
    entry["at"] = (datetime.now(UTC) + timedelta(minutes=10)).isoformat()
    newest.write_text(json.dumps(entry))


def _make_writable_by_others(mode: int) -> Callable[[Path], None]:
    return lambda state: state.chmod(mode)


def _fill(folder: str, name: str, content: bytes = b"{") -> Callable[[Path], None]:
    def fill(state: Path) -> None:
        (state / folder).mkdir(parents=True, exist_ok=True)
        (state / folder / name).write_bytes(content)

    return fill


DAMAGES: dict[str, tuple[Callable[[Path], None], str, str]] = {
    "a lock that is no JSON": (_replace(first("locks"), b"not json"), "records", "locks/"),
    "a lock that is cut": (_cut(first("locks")), "records", "locks/"),
    "a lock of length zero": (_replace(first("locks"), b""), "records", "locks/"),
    "a lock of NULs": (_replace(first("locks"), bytes(512)), "records", "locks/"),
    "a lock that is an agent": (_replace(first("locks"), b'{"kind":"agent","v":1}'), "records", "locks/"),
    "a pattern's lock": (_cut(first("locks/globs")), "records", "locks/globs/"),
    "a shared lease": (_cut(first("locks/shared")), "records", "locks/shared/"),
    "a lock of a worktree": (_fill("locks/worktrees/other", "a.json"), "records", "locks/worktrees/other/a.json"),
    "a lock of a dotted worktree": (_fill("locks/worktrees/v1.2", "a.json"), "records", "locks/worktrees/v1.2/a.json"),
    "an agent": (_replace(first("agents"), b"{}"), "records", "agents/alice.json"),
    "a past agent": (_fill("agents/past", "old.json"), "records", "agents/past/old.json"),
    "a notice": (_cut(first("inbox/alice")), "records", "inbox/alice/"),
    "a notice to a dotted id": (_fill("inbox/a.b", "000000000001.json"), "records", "inbox/a.b/"),
    "an event": (_replace(first("log"), b"{}"), "records", "log/000000000001.json"),
    "the format": (_replace(first("", "format.json"), b"{"), "records", "format.json"),
    "what an installation replaced": (_fill("installed", "claude.json"), "records", "installed/claude.json"),
    "a record that is a link": (_link(first("locks")), "records", "locks/"),
    "a file in quarantine": (_fill("quarantine", "locks__a.json"), "records", "quarantine/locks__a.json"),
    "a gap in the log": (_remove("log/000000000002.json"), "log", "the first is revision 2"),
    "a wide gap": (_remove("log/000000000002.json", "log/000000000003.json"), "log", "2 events are missing"),
    "others may enter": (_make_writable_by_others(0o755), "permissions", "mode 755"),
    "others may write": (_make_writable_by_others(0o702), "permissions", "mode 702"),
    "an event of the future": (_set_date, "clock", "ahead"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_damage_is_a_problem_and_says_which_file(name: str, clinic: Clinic, capsys: pytest.CaptureFixture[str]) -> None:
    damage, check, words = DAMAGES[name]
    damage(clinic.state)
    code, said = run_doctor(clinic, capsys)
    assert code == 1, said
    lines = said.splitlines()
    (line,) = [number for number, text in enumerate(lines) if text.startswith("problem")]
    assert lines[line].startswith(f"problem {check}: ")
    assert words in lines[line]
    assert lines[line + 1].strip().startswith("fix: ")
    assert lines[-1] == "there are problems"


MENDABLE = [
    name
    for name in DAMAGES
    if DAMAGES[name][1] in ("records", "permissions") and name not in ("an event", "a record that is a link")
]
"""What was in a lost event is lost, and what to do about a strange file only a person can tell."""


@pytest.mark.parametrize("name", MENDABLE)
def test_following_the_advice_mends_it(name: str, clinic: Clinic, capsys: pytest.CaptureFixture[str]) -> None:
    """What the fix says: let gc sort out what it can, look at what is in quarantine, remove it."""
    DAMAGES[name][0](clinic.state)
    fixes = [finding.fix for finding in clinic.examines() if finding.level == "problem"]
    assert fixes
    for fix in fixes:
        if "chmod" in fix:
            subprocess.run(fix.split(), check=True)
        elif "agent-sync gc" in fix:
            with contextlib.chdir(clinic.root):
                assert main(["gc"]) == 0
    for kept in (clinic.state / "quarantine").iterdir():
        kept.unlink()
    capsys.readouterr()
    code, said = run_doctor(clinic, capsys)
    assert code == 0, said


def test_a_record_of_a_newer_version_is_no_damage(clinic: Clinic) -> None:
    """It is somebody else's upgrade; what cannot be read is left alone."""
    path = first("locks")(clinic.state)
    record = {**json.loads(path.read_bytes()), "v": 99, "scope": {"of": "a new shape"}}
    path.write_text(json.dumps(record))
    assert clinic.problems() == {}


def test_an_archive_that_was_cut_is_a_gap(clinic: Clinic) -> None:
    for number in range(300):
        agents.register(clinic.session(), role=str(number))
    care.gc(clinic.session())
    (archive,) = (clinic.state / "archive").iterdir()
    lines = archive.read_bytes().splitlines(keepends=True)
    assert clinic.problems() == {}
    archive.write_bytes(b"".join(lines[: len(lines) // 2]))
    assert set(clinic.problems()) & {"log", "records"}


def test_a_state_directory_that_is_a_link_is_a_problem(clinic: Clinic) -> None:
    moved = clinic.state.rename(clinic.root.parent / "moved")
    clinic.state.symlink_to(moved)
    assert "symlink" in clinic.problems()["location"]


def test_a_state_directory_that_is_a_file_is_a_problem(tmp_path: Path) -> None:
    clinic = Clinic(tmp_path)
    clinic.state.parent.mkdir()
    clinic.state.write_text("")
    assert "not a directory" in clinic.problems()["location"]


# ---------------------------------------------------------------- notes: nothing to be done at once
def test_an_intent_that_was_left_over_is_a_note_and_the_next_write_finishes_it(clinic: Clinic) -> None:
    session = clinic.session()
    message = Message(
        id="n-99", sender="agent-sync", sender_name="agent-sync", to="bob", body="hi", created_at=session.runtime.now()
    )
    revision = session.store.revision() + 1
    change = {"put": keys.notice("bob", revision), "record": json.loads(codec.compact(message))}
    event = Event(rev=revision, at=session.runtime.now(), actor="alice", verb="x", summary="x", changes=())
    entry = {**json.loads(codec.compact(event)), "changes": [change]}
    (clinic.state / keys.INTENT).write_text(json.dumps(entry))
    (found,) = clinic.finds("intent")
    assert (found.level, found.fix) == ("note", "agent-sync heartbeat")
    agents.heartbeat(session)
    assert clinic.finds("intent") == []
    assert (clinic.state / keys.notice("bob", revision)).exists()


def test_hooks_that_failed_open_are_noted_for_a_day(clinic: Clinic) -> None:
    care.note_failure(clinic.session(), "hook stop failed open: first")
    care.note_failure(clinic.session(), "hook stop failed open: second")
    (found,) = clinic.finds("hook failures")
    assert found.level == "note"
    assert "2 in the last day, the last: hook stop failed open: second" in found.message
    yesterday = (datetime.now(UTC) - timedelta(hours=25)).isoformat()
    (clinic.state / care.FAILURES).write_text(json.dumps({"at": yesterday, "agent": "alice", "what": "old"}) + "\n")
    assert clinic.finds("hook failures") == []


def test_torn_lines_about_failures_are_skipped(clinic: Clinic) -> None:
    care.note_failure(clinic.session(), "hook stop failed open: whole")
    with open(clinic.state / care.FAILURES, "ab") as file:
        file.write(b'{"at": "20\n[]\n\xff\n{"at": 5, "what": 5}\n')
    (found,) = clinic.finds("hook failures")
    assert found.message.startswith("1 in the last day")


def test_settings_of_the_team_that_are_not_understood_are_noted(clinic: Clinic) -> None:
    (clinic.root / ".claude/agent-sync.toml").write_text('auto_lokc = false\nttl_minutes = "long"\n')
    found = clinic.finds("configuration")
    assert {finding.level for finding in found} == {"note"}
    assert any("auto_lokc" in finding.message for finding in found)
    assert any("ttl_minutes" in finding.message for finding in found)
    assert clinic.problems() == {}


def test_without_hooks_it_says_how_to_get_them(clinic: Clinic) -> None:
    (found,) = clinic.finds("hooks")
    assert (found.level, found.fix) == ("note", "agent-sync install")


# ---------------------------------------------------------------- the guard
HOLD = """
import fcntl, os, sys
fd = os.open(sys.argv[1], os.O_RDWR)
fcntl.flock(fd, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def holder(clinic: Clinic) -> Iterator[subprocess.Popen[str]]:
    """A process that has the guard and does not let go."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(clinic.state / keys.GUARD)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdin is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.stdin.close()
    process.stdout.close()
    process.wait()


def test_a_guard_that_is_not_let_go_is_a_problem_that_names_the_process(
    clinic: Clinic, holder: subprocess.Popen[str]
) -> None:
    (found,) = clinic.finds("guard")
    assert found.level == "problem"
    assert f"process {holder.pid} " in found.message
    assert str(holder.pid) in found.fix


def test_the_plugin_counts_as_hooks_where_the_repository_enables_it(clinic: Clinic) -> None:
    settings = clinic.root / ".claude/settings.json"
    settings.parent.mkdir(exist_ok=True)
    for value, level in ((True, "ok"), (False, "note")):
        settings.write_text(json.dumps({"enabledPlugins": {"agent-sync@agentsync": value, "other@market": True}}))
        (found,) = clinic.finds("hooks")
        assert found.level == level


# ---------------------------------------------------------------- hooks
@pytest.fixture
def guarded(clinic: Clinic, monkeypatch: pytest.MonkeyPatch) -> Clinic:
    """With the hooks installed, and no `agent-sync` on the PATH to help out."""
    monkeypatch.setenv("PATH", PATH)
    install.install(clinic.session(), claude)
    return clinic


def test_installed_hooks_answer_and_the_price_is_told(guarded: Clinic) -> None:
    assert "Python answers in" in guarded.finds("hooks")[0].message
    assert "an edit among others pays" in guarded.finds("speed")[0].message


def _point_at(python: str) -> Callable[[Clinic], None]:
    return lambda clinic: (clinic.state / "python").write_text(python + "\n") and None


def _rewrite_gate(text: str, mode: int = 0o755) -> Callable[[Clinic], None]:
    def rewrite(clinic: Clinic) -> None:
        gate = clinic.root / GATE
        gate.write_text(text)
        gate.chmod(mode)

    return rewrite


def _drop_the_event(clinic: Clinic) -> None:
    path = clinic.root / claude.SETTINGS
    table = json.loads(path.read_text())
    del table["hooks"]["PreToolUse"]
    path.write_text(json.dumps(table))


BROKEN_HOOKS: dict[str, tuple[Callable[[Clinic], None], str]] = {
    "a Python that is gone": (_point_at("/nonexistent/python"), "does not answer"),
    "a Python without the package": (_point_at("/usr/bin/env"), "does not answer"),
    "a Python that says nothing": (_point_at("/bin/true"), "does not answer"),
    "no gate": (lambda clinic: (clinic.root / GATE).unlink(), "does not start"),
    "a gate that may not run": (lambda clinic: (clinic.root / GATE).chmod(0o644), "does not start"),
    "a gate that fails": (_rewrite_gate("#!/bin/sh\n# The agent-sync gate\nexit 3\n"), "was not started"),
    "a gate that allows everything": (_rewrite_gate("#!/bin/sh\n# The agent-sync gate\nexit 0\n"), "was not started"),
    "no hook before an edit": (_drop_the_event, "no PreToolUse hook"),
}


@pytest.mark.parametrize("name", BROKEN_HOOKS)
def test_hooks_that_do_not_answer_are_a_problem(name: str, guarded: Clinic, capsys: pytest.CaptureFixture[str]) -> None:
    damage, words = BROKEN_HOOKS[name]
    damage(guarded)
    code, said = run_doctor(guarded, capsys)
    assert code == 1, said
    (line,) = [text for text in said.splitlines() if text.startswith("problem")]
    assert line.startswith("problem hooks: ")
    assert words in line


@pytest.mark.parametrize("name", BROKEN_HOOKS)
def test_installing_again_is_the_fix_it_says_it_is(
    name: str, guarded: Clinic, capsys: pytest.CaptureFixture[str]
) -> None:
    BROKEN_HOOKS[name][0](guarded)
    (found,) = [finding for finding in guarded.examines() if finding.level == "problem"]
    assert found.fix.startswith("agent-sync install")
    install.install(guarded.session(), claude)
    code, said = run_doctor(guarded, capsys)
    assert code == 0, said


@pytest.mark.parametrize("name", ["claude", "codex", "copilot", "gemini"])
def test_the_hooks_of_each_client_are_looked_at_in_its_own_settings(
    name: str, clinic: Clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", PATH)
    client = clients.get(name)
    install.install(clinic.session(), client, strict=True)
    (found,) = clinic.finds("hooks")
    assert (found.level, found.message.partition(",")[0]) == ("ok", f"installed for {client.TITLE}")
    path = clinic.root / client.SETTINGS
    path.write_text(path.read_text().replace(GATE, f"x; touch {clinic.root}/started; {GATE}"))
    (found,) = clinic.finds("hooks")
    assert found.level == "problem"
    assert client.SETTINGS in found.message
    assert not (clinic.root / "started").exists()
    install.install(clinic.session(), client)
    assert clinic.finds("hooks")[0].level == "ok"


def test_settings_of_a_client_that_has_no_hooks_of_ours_are_its_users_business(guarded: Clinic) -> None:
    path = guarded.root / ".gemini/settings.json"
    path.parent.mkdir()
    path.write_text("{ // with a comment\n}")
    assert [found.level for found in guarded.finds("hooks")] == ["ok"]


def test_settings_that_cannot_be_read_are_not_taken_for_no_hooks(guarded: Clinic) -> None:
    (guarded.root / claude.SETTINGS).write_text("{")
    (found,) = guarded.finds("hooks")
    assert found.level == "problem"
    assert claude.SETTINGS in found.message


# ---------------------------------------------------------------- as somebody who may not write
OBEY = """
import ctypes, os, sys
if os.geteuid() == 0:  # root that has to obey file modes like anybody else: without CAP_DAC_OVERRIDE and _READ_SEARCH
    for capability in (1, 2):
        if ctypes.CDLL(None).prctl(24, capability, 0, 0, 0):
            sys.exit(77)
os.execv(sys.argv[1], sys.argv[1:])
"""


def obeying_modes(clinic: Clinic, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a command of ours as a user whom file modes bind."""
    command = [sys.executable, "-c", OBEY, sys.executable, "-m", "agentsync", *words]
    env = {"PATH": PATH, "AGENT_SYNC_ID": "alice"}
    done = subprocess.run(command, cwd=clinic.root, env=env, capture_output=True, text=True)
    if done.returncode == 77:
        pytest.skip("this root cannot give up its powers over file modes")
    return done


@pytest.fixture
def read_only(clinic: Clinic) -> Iterator[Clinic]:
    """Nothing in the state may be written, not even by its owner."""
    everything = [clinic.state, *clinic.state.rglob("*")]
    for path in everything:
        path.chmod(0o500 if path.is_dir() else 0o400)
    yield clinic
    for path in everything:
        path.chmod(0o700)


def test_a_state_that_is_read_only_is_a_problem(read_only: Clinic) -> None:
    done = obeying_modes(read_only, "doctor")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "problem permissions: it is read-only for you" in done.stdout
    assert f"chmod u+rwx {read_only.state}" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_a_record_that_may_not_be_read_is_a_problem_and_the_rest_is_looked_at(clinic: Clinic) -> None:
    path = first("locks")(clinic.state)
    path.chmod(0)
    done = obeying_modes(clinic, "doctor")
    assert done.returncode == 1, done.stdout + done.stderr
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("problem")]
    assert path.name in line
    assert "clock: agrees" in done.stdout


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can become somebody else")
def test_a_state_of_another_user_is_a_problem(clinic: Clinic) -> None:
    os.chown(clinic.state, NOBODY, NOBODY)
    assert f"belongs to user {NOBODY}" in clinic.problems()["location"]


def test_a_state_that_git_tracks_is_a_problem(clinic: Clinic) -> None:
    git("add", "-f", ".claude/coordination/README", cwd=clinic.root)
    assert clinic.problems(), "`init` refuses it, so the doctor cannot call it healthy"


def test_a_write_that_cannot_be_is_not_hidden(clinic: Clinic) -> None:
    """A record of the store's is overwritten with a directory: the doctor reports, it does not stumble."""
    path = first("locks")(clinic.state)
    path.unlink()
    path.mkdir()
    assert "records" in clinic.problems()


def test_put_is_what_the_store_writes(clinic: Clinic) -> None:
    """The damages above are made by hand; this one by the store itself, so that the two do not drift apart."""
    session = clinic.session()
    with session.store.transaction("alice") as tx:
        record = tx.state.presence("bob")
        assert record is not None
        tx.commit("x", "x", [Put(keys.agent("bob"), record.agent)])
    assert clinic.problems() == {}


def test_worktrees_that_cannot_find_the_main_one_are_told_how_they_can(folder: Path) -> None:
    tree, linked = folder / "tree", folder / "linked"
    tree.mkdir()
    git("init", "-q", f"--separate-git-dir={folder / 'kept.git'}", ".", cwd=tree)
    git("commit", "-q", "--allow-empty", "-m", "first", cwd=tree)

    def board(cwd: Path) -> tuple[str, list[Finding]]:
        session = open_session(Runtime(env={"PATH": PATH, "AGENT_SYNC_ID": "alice"}, cwd=str(cwd)))
        care.init(session)
        return session.place.state, [found for found in examine(session) if found.level == "problem"]

    assert board(tree)[1] == [], "with one working tree nothing is wrong"
    git("worktree", "add", "-q", str(linked), cwd=tree)
    (here, finding), (there, other) = ((state, found) for state, (found,) in map(board, (tree, linked)))
    assert here != there
    assert finding == other
    assert "kept.git does not say where its main working tree is" in finding.message
    subprocess.run(["sh", "-c", finding.fix.partition(": ")[2]], cwd=tree, check=True)
    assert board(tree) == board(linked) == (here, [])
    assert git("status", "--porcelain", cwd=linked) == ""
