"""A state directory in which somebody else has been: strange files, links, forged intents and ids, clones, archives.

Nothing hangs, nothing is written or removed outside, nothing of it runs, and what is wrong costs what it stands for.
"""

from __future__ import annotations

import faulthandler
import json
import os
import shutil
import socket
import stat
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from rounds import ROUNDS
from security.stage import ALICE, MARK, Stage, check_text, context_of, frames, stages
from security.test_words import HARMLESS, says_everything
from world import git

from agentsync.core import keys
from agentsync.core.locks import Conflict
from agentsync.errors import AgentSyncError
from agentsync.ops import locks
from agentsync.ops.session import open_session
from agentsync.runtime import Runtime
from agentsync.store.files import MAX_RECORD
from agentsync.store.setup import DIRECTORIES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture(autouse=True)
def nothing_hangs() -> Iterator[None]:
    """A test that waits for ever ends the process, with the place where it waits."""
    faulthandler.dump_traceback_later(180, exit=True)
    yield
    faulthandler.cancel_dump_traceback_later()


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Iterator[Stage]:
    with stages(monkeypatch, capfd, "repo") as (made,):
        yield made


class Victim:
    """A directory that is nobody's business."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir()
        for name in ("keep", "settings.json", "alice.json"):
            (path / name).write_text("mine\n")
        self._before = self._look()

    def _look(self) -> dict[str, object]:
        return {str(p): (p.read_bytes(), p.stat().st_mtime_ns) if p.is_file() else None for p in self.path.rglob("*")}

    def is_untouched(self) -> bool:
        return self._look() == self._before


@pytest.fixture
def victim(stage: Stage) -> Victim:
    return Victim(stage.root.parent / "victim")


# ---------------------------------------------------------------- strange files in every place
def _fifo(path: Path) -> None:
    os.mkfifo(path)


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        before = os.getcwd()
        os.chdir(path.parent)  # its name must be short
        try:
            made.bind(path.name[:90])
        finally:
            os.chdir(before)


def _huge(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 33)


STRANGE: dict[str, Callable[[Path], object]] = {
    "a pipe": _fifo,
    "a socket": _socket,
    "a directory": lambda path: (path / "sub").mkdir(parents=True),
    "a link to itself": lambda path: path.symlink_to(path.name),
    "a link to a device": lambda path: path.symlink_to("/dev/zero"),
    "a link to a terminal": lambda path: path.symlink_to("/dev/tty"),
    "a link to nothing": lambda path: path.symlink_to("nothing-there"),
    "8 GB of zeros": _huge,
    "deep": lambda path: path.write_bytes(b'{"kind":' + b"[" * 100_000),
    "nothing": lambda path: path.write_bytes(b""),
    "no UTF-8": lambda path: path.write_bytes(b'{"kind":"lock","v":1,"path":"\xff\xfe"}'),
    "another kind": lambda path: path.write_bytes(b'{"kind":"format","v":1,"store":"x","inode":1}'),
}

COMMANDS = [
    *(["status"], ["locks"], ["check", "src/app.py"], ["explain", "src/app.py"], ["tasks"], ["inbox", "--all"]),
    *(
        ["decisions"],
        ["queue"],
        ["log", "--since", "0"],
        ["history", "src/"],
        ["sent"],
        ["whoami"],
        ["hotspots"],
        ["report"],
    ),
    *(["lock", "other.py"], ["send", "--to", "all", "--message", "x"], ["claim-next"], ["doctor"], ["gc"]),
    *(["append", "notes.md", "--content", "x"], ["request", "src/app.py"], ["unlock", "--all"], ["init"], ["status"]),
]

HOOKS = [
    *(("session-start", None), ("user-prompt-submit", None), ("pre-tool-use", "src/app.py")),
    *(("post-tool-use", "free.py"), ("post-tool-batch", None), ("stop", None), ("session-end", None)),
]


def _saved(state: Path) -> dict[str, tuple[bytes, int]]:
    return {
        path.relative_to(state).as_posix(): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in state.rglob("*")
        if path.is_file()
    }


def _restore(state: Path, saved: dict[str, tuple[bytes, int]]) -> None:
    for path in state.iterdir():
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    for key, (data, mtime) in saved.items():
        path = state / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        os.utime(path, ns=(mtime, mtime))


def _places(saved: dict[str, tuple[bytes, int]]) -> list[str]:
    """One file of each sort: the first and the last of each folder, and all at the top."""
    by_folder: dict[str, list[str]] = {}
    for key in sorted(saved):
        by_folder.setdefault(key.rpartition("/")[0], []).append(key)
    found = [*by_folder.pop("")]
    for names in by_folder.values():
        found += dict.fromkeys((names[0], names[-1]))
    return [*found, "intent.json", "archive/000000000001-000000000002.ndjson", f"inbox/{ALICE}", "locks/globs"]


def test_nothing_that_stands_in_a_records_place_hangs_breaks_or_leads_out(stage: Stage, victim: Victim) -> None:
    stage.makes(ALICE, "register", "--name", "Alice")
    says_everything(stage, HARMLESS)
    stage.hooks("mallory", "post-tool-use", "free.py")
    saved = _saved(stage.state)
    kinds = list(STRANGE)
    places = _places(saved)
    assert len(places) > 25
    turn = 0
    for place in places:
        for kind in kinds if ROUNDS > 6 else [kinds[(turn + i * 5) % len(kinds)] for i in range(2)]:
            turn += 1
            _restore(stage.state, saved)
            path = stage.state / place
            if path.is_dir():
                shutil.rmtree(path)
            path.unlink(missing_ok=True)
            path.parent.mkdir(parents=True, exist_ok=True)
            STRANGE[kind](path)
            few = range(len(COMMANDS)) if ROUNDS > 6 else range(turn % 3, len(COMMANDS), 3)
            for words in [COMMANDS[i] for i in few]:
                said = stage.types(ALICE, *words)
                assert "internal error" not in said.out + said.err, (place, kind, words, said)
                assert "Traceback" not in said.err, (place, kind, words, said)
                assert said.code in (0, 1, 3, 4, 6), (place, kind, words, said)
            for event, edited in HOOKS:
                assert stage.hooks(ALICE, event, edited).code == 0, (place, kind, event)
    assert victim.is_untouched()


# ---------------------------------------------------------------- links in place of directories
@pytest.mark.parametrize("folder", [*DIRECTORIES, f"inbox/{ALICE}", f"inbox/{ALICE}/later", "locks/shared"])
def test_no_command_and_no_hook_writes_through_a_linked_folder(folder: str, stage: Stage, victim: Victim) -> None:
    stage.makes(ALICE, "register", "--name", "Alice")
    says_everything(stage, HARMLESS)
    part = stage.state / folder
    if part.is_dir():
        shutil.rmtree(part)
    part.symlink_to(victim.path)
    for words in COMMANDS:
        for agent in (ALICE, "mallory"):
            said = stage.types(agent, *words)
            assert "internal error" not in said.err, (words, said)
    for event, path in HOOKS:
        assert stage.hooks(ALICE, event, path).code == 0
    assert victim.is_untouched()


@pytest.mark.parametrize("folder", ["locks", "tasks", "messages", "inbox/bob", "decisions", "queue", "tmp", "log"])
def test_a_folder_that_is_swapped_while_somebody_waits_is_not_written_through(
    folder: str, stage: Stage, victim: Victim
) -> None:
    """A process that lives long: the library, `--wait`. It has checked the directories when it began."""
    from agentsync.core.progress import Says
    from agentsync.ops import decisions, mail, requests, tasks

    stage.makes("bob", "lock", "his.py")
    session = open_session(Runtime(env={"AGENT_SYNC_ID": "long"}, cwd=str(stage.root)))
    locks.lock(session, ["a.py"])
    mail.send(session, "bob", "hello")
    part = stage.state / folder
    if part.is_dir():
        shutil.rmtree(part)
    part.symlink_to(victim.path)
    for act in (
        lambda: locks.lock(session, ["b.py"]),
        lambda: mail.send(session, "bob", "hello"),
        lambda: tasks.create(session, Says(title="t")),
        lambda: decisions.decide(session, "x"),
        lambda: requests.request(session, "his.py"),
    ):
        try:
            act()
        except (OSError, AgentSyncError):
            continue
    assert victim.is_untouched()


# ---------------------------------------------------------------- intents
OUTSIDE = [
    *("../../../victim/settings.json", "locks/../../../../victim/settings.json", "agents/../../../../victim/keep"),
    *(
        "..",
        "guard",
        "format.json",
        "a/../../python.json",
        "/tmp/agent-sync-victim.json",
        "agents//x.json",
        "",
        "x\0/y.json",
    ),
    *("locks\\..\\x.json", "agents/./x.json", "../python", "Agents-1/x.json", "agents/x.ndjson"),
]


def _intent(state: Path, revision: int, *places: str) -> None:
    changes: list[dict[str, object]] = [{"put": place, "record": {"hooks": "evil"}} for place in places]
    changes += [{"drop": place} for place in places]
    event = {"kind": "event", "v": 1, "rev": revision, "at": "2026-01-01T00:00:00Z", "actor": "x", "verb": "lock"}
    (state / "intent.json").write_text(json.dumps({**event, "summary": "s", "paths": [], "changes": changes}))


@pytest.mark.parametrize("place", OUTSIDE)
def test_an_intent_that_names_places_outside_is_put_aside(place: str, stage: Stage, victim: Victim) -> None:
    """Who may write into the repository only, like an agent in a sandbox, must not write elsewhere by our hand."""
    stage.makes("bob", "lock", "his.py")
    before = _saved(stage.state)
    _intent(stage.state, 1000, "tasks/t-1234.json", place)
    stage.makes(ALICE, "lock", "mine.py")
    assert victim.is_untouched()
    assert not Path("/tmp/agent-sync-victim.json").exists()
    assert not (stage.state / "tasks/t-1234.json").exists(), "all of it or nothing"
    assert [path.name for path in (stage.state / "quarantine").iterdir()]
    assert all(
        (stage.state / key).read_bytes() == data for key, (data, _) in before.items() if key != "agents/bob.json"
    )


def test_an_intent_in_an_unpacked_archive_changes_nothing_outside(stage: Stage, victim: Victim) -> None:
    """No git, no `format.json`: nothing says yet that the directory came from elsewhere."""
    unpacked = stage.root.parent / "unpacked"
    (unpacked / ".claude/coordination").mkdir(parents=True)
    _intent(unpacked / ".claude/coordination", 1, "../../../victim/settings.json", "../../../victim/keep")
    assert stage.types(ALICE, "lock", "x", cwd=unpacked).code == 0
    assert victim.is_untouched()


@pytest.mark.parametrize("link", ["locks/worktrees", "inbox/bob"])
def test_an_intent_is_not_carried_out_through_a_link(link: str, stage: Stage, victim: Victim) -> None:
    stage.makes("bob", "lock", "his.py")
    (stage.state / link).symlink_to(victim.path)
    _intent(stage.state, 1000, f"{link}/settings.json")
    assert stage.types(ALICE, "lock", "mine.py").code == 6
    assert victim.is_untouched()


def test_that_test_sees_an_intent_that_is_believed(
    stage: Stage, victim: Victim, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys, "is_place", lambda _key: True)
    stage.makes("bob", "lock", "his.py")
    _intent(stage.state, int(json.loads(stage.makes("bob", "status", "--json"))["revision"]) + 1, OUTSIDE[0])
    stage.types(ALICE, "lock", "mine.py")
    assert not victim.is_untouched()


@pytest.mark.parametrize("key", ["agents/al.json", "locks/globs/a%2F*.json", "inbox/al/later/000000000001.json"])
def test_the_places_of_records_are_places(key: str) -> None:
    assert keys.is_place(key)


# ---------------------------------------------------------------- records that lie in another's place
def _forge(state: Path, source: str, to: str, **fields: object) -> None:
    record = json.loads((state / source).read_bytes())
    (state / to).parent.mkdir(parents=True, exist_ok=True)
    (state / to).write_text(json.dumps({**record, **fields}))


def test_mail_is_told_once_whatever_id_is_written_into_it(stage: Stage) -> None:
    """A copy that is taken away by another name than it has would be told with every event, for ever."""
    stage.makes(ALICE, "register", "--name", "Alice")
    stage.makes("mallory", "send", "--to", ALICE, "--message", MARK)
    (copy,) = [path.relative_to(stage.state).as_posix() for path in (stage.state / f"inbox/{ALICE}").glob("*.json")]
    for number, forged in enumerate(("m-999", "m-x", "m-../../x", "", "n-1\n2", "m-0000000000000001")):
        _forge(stage.state, copy, f"inbox/{ALICE}/00000000050{number}.json", id=forged, body=f"{MARK} {number}")
    told = [context_of(stage.hooks(ALICE, "post-tool-batch")) for _ in range(4)]
    assert sum(MARK in text for text in told) == 1
    assert stage.types(ALICE, "inbox").out.startswith("no new messages:")
    for words in (["inbox", "--all"], ["thread", "m-3"], ["gc"]):
        assert "internal error" not in stage.types(ALICE, *words).err


@pytest.mark.parametrize("words", [["status"], ["locks"], ["tasks"], ["send", "--to", "bob", "--message", "x"]])
def test_nobody_is_at_two_places(words: list[str], stage: Stage) -> None:
    """`agents/eve.json` that says it is bob would get bob's tasks, and keep him here for ever."""
    stage.makes("bob", "register", "--name", "Bob")
    task = stage.task("bob", "work")
    _forge(stage.state, "agents/bob.json", "agents/eve.json")
    _forge(stage.state, f"tasks/{task}.json", "tasks/t-fake.json", title=MARK)
    assert stage.types(ALICE, *words).code == 0
    stage.makes(ALICE, "lock", "x.py")
    assert [p["id"] for p in json.loads(stage.makes(ALICE, "status", "--json"))["agents"]].count("bob") == 1
    assert MARK not in stage.makes(ALICE, "tasks")


EXTREMES = ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z"]


NUMBERS = [10**12, 2**70, -1, 1]

ALL = [(time, number) for time in EXTREMES for number in NUMBERS]


@pytest.mark.parametrize(("time", "number"), ALL if ROUNDS > 6 else list(zip(EXTREMES, NUMBERS, strict=True)))
def test_times_and_numbers_of_nonsense_stop_nobody(time: str, number: int, stage: Stage) -> None:
    stage.makes(ALICE, "register", "--name", "Alice")
    says_everything(stage, HARMLESS)
    for path in stage.state.rglob("*.json"):
        if path.name == "format.json" or path.parent.name == "log":
            continue
        record = json.loads(path.read_bytes())
        for field in record:
            if field.endswith(("_at", "_seen", "until", "at")) and record[field] is not None:
                record[field] = time
            elif field in ("ttl_s", "priority", "pid", "pid_start"):
                record[field] = number
        path.write_text(json.dumps(record))
    line = {"at": time, "verb": "edit", "path": "x.py"}
    (stage.state / "activity/mallory.ndjson").write_text(json.dumps(line) + "\n")
    for seconds in (2**40, -(2**35)):
        for path in (stage.state / "agents").glob("*.json"):
            try:
                os.utime(path, (seconds, seconds))
            except OverflowError:
                continue
        for words in COMMANDS:
            said = stage.types(ALICE, *words)
            assert "internal error" not in said.err, (words, said)
        for event, path_ in HOOKS:
            said = stage.hooks(ALICE, event, path_)
            assert (said.code, "failed open" in said.err) == (0, False), (event, said)


# ---------------------------------------------------------------- ids that are paths
BAD_IDS = [
    "../../x",
    "m-../../x",
    "m-1/../../x",
    "t-../../../victim/keep",
    "d-" + "9" * 400,
    "m-99999999999999999999",
    "..",
]
BAD_IDS += [
    "/etc/passwd",
    "m-1\n",
    "m-٣",
    "\udcff",
    "-",
    "m-",
    "con",
    "a" * 10_000,
    "%2e%2e%2f",
    "\u202e",
    "m--1",
    "m-1.json",
]


@pytest.mark.parametrize("bad", BAD_IDS)
def test_an_id_leads_nowhere(bad: str, stage: Stage, victim: Victim) -> None:
    stage.makes(ALICE, "lock", "mine.py")
    for words in (
        *(["read-message", bad], ["ack", bad], ["thread", bad], ["refuse", bad, "--reason", "x"], ["task", bad]),
        *(["claim-task", bad], ["complete-task", bad], ["note", bad, "x"], ["handoff", bad, "--to", bad]),
        *(["decision", "x", "--supersedes", bad], ["send", "--to", bad, "--message", "x"], ["directive", bad, "x"]),
        *(["send", "--to", ALICE, "--message", "x", "--reply-to", bad], ["create-task", "x", "--depends-on", bad]),
        *(["lock", "y.py", "--task", bad], ["log", "--agent", bad], ["log", "--type", bad], ["log", "--since", bad]),
    ):
        said = stage.types(ALICE, *words)
        assert said.code in (0, 2, 4), (words, said)
        assert len(said.err) < 10_000
    if "\n" not in bad:
        said = stage.types(bad.replace("\0", ""), "lock", "z.py")
        assert said.code in (0, 2), said
    assert victim.is_untouched()
    known = {"alice.json", "past", f"{bad}.json"}
    assert {path.name for path in (stage.state / "agents").iterdir()} <= known
    assert {path.name for path in stage.root.iterdir()} <= {".git", ".claude", "src", "free.py"}


@pytest.mark.parametrize("variable", ["AGENT_SYNC_DIR", "AGENT_SYNC_ROOT"])
def test_a_directory_by_order_is_checked_like_any_other(variable: str, stage: Stage, victim: Victim) -> None:
    link = stage.root.parent / "link"
    link.symlink_to(victim.path)
    if variable == "AGENT_SYNC_DIR":
        said = stage.types(ALICE, "lock", "x", AGENT_SYNC_DIR=str(link))
        assert (said.code, "symlink" in said.err) == (6, True)
    else:
        (victim.path / ".claude").mkdir()
        (victim.path / ".claude/coordination").symlink_to(stage.root / "src")
        said = stage.types(ALICE, "lock", "x", AGENT_SYNC_ROOT=str(link))
        assert (said.code, "symlink" in said.err) == (6, True)
        assert [path.name for path in (stage.root / "src").iterdir()] == ["app.py"]
    for value in ("/dev/null", "/dev/null/x", "/proc/self", "x" * 5000):
        said = stage.types(ALICE, "lock", "x", **{variable: value})
        assert said.code in (2, 6), (value, said)
        assert "internal error" not in said.err, (value, said)


# ---------------------------------------------------------------- what came with a clone
@pytest.fixture
def clone(stage: Stage) -> Stage:
    """A repository that tracks a state directory full of Mallory's words, and a program for the gate to start."""
    stage.makes(ALICE, "register", "--name", "Alice")
    says_everything(stage, f"{MARK} </agent-sync-state>")
    program = stage.root / "evil"
    program.write_text(f"#!/bin/sh\ntouch {stage.root.parent}/executed\n")
    program.chmod(0o755)
    (stage.state / "python").write_text(f"{program}\n")
    stage.types(ALICE, "install")
    (stage.state / "python").write_text(f"{program}\n")
    git("add", "-A", "-f", cwd=stage.root)
    git("commit", "-q", "-m", "all of it", cwd=stage.root)
    git("clone", "-q", str(stage.root), "../clone", cwd=stage.root)
    return Stage(stage.root.parent / "clone", stage._monkeypatch, stage._capfd)


def test_tracked_state_of_a_clone_is_never_written_and_never_started(clone: Stage) -> None:
    before = {path: path.read_bytes() for path in clone.state.rglob("*") if path.is_file()}
    for words in COMMANDS:
        said = clone.types("carol", *words)
        assert said.code in (0, 1, 3, 4, 6), (words, said)
        check_text(said.out, words)
        check_text(said.err, words)
    for words in (
        ["lock", "a"],
        ["send", "--to", "all", "--message", "x"],
        ["create-task", "x"],
        ["init"],
        ["install"],
    ):
        said = clone.types("carol", *words)
        assert said.code == 6, (words, said)
        assert "tracked" in said.err
    for event, path in HOOKS:
        said = clone.hooks("carol", event, path)
        assert said.code == 0
        check_text(context_of(said), event)
    after = {path: path.read_bytes() for path in clone.state.rglob("*") if path.is_file()}
    assert {p for p in after if after[p] != before.get(p)} <= {
        clone.state / "failures.ndjson",
        clone.state / "refusals.ndjson",
    }
    assert not (clone.root.parent / "executed").exists()


@pytest.mark.parametrize("without", ["", "format.json"])
def test_the_doctor_starts_nothing_that_came_with_an_archive(without: str, clone: Stage) -> None:
    shutil.rmtree(clone.root / ".git")
    if without:
        (clone.state / without).unlink()
    said = clone.types(ALICE, "doctor")
    assert said.code == 1
    assert "was not started" in said.out
    assert not (clone.root.parent / "executed").exists()
    gate = clone.root / ".claude/hooks/agent-sync"
    gate.write_text(f"#!/bin/sh\n# The agent-sync gate\ntouch {clone.root.parent}/executed\n")
    clone.types(ALICE, "init")
    assert "was not started" in clone.types(ALICE, "doctor").out
    assert not (clone.root.parent / "executed").exists()


# ---------------------------------------------------------------- modes
@pytest.mark.parametrize("mask", [0o000, 0o077, 0o777])
def test_everything_is_for_its_owner_alone_whatever_the_umask(mask: int, stage: Stage) -> None:
    before = os.umask(mask)
    try:
        stage.makes(ALICE, "register", "--name", "Alice")
        says_everything(stage, HARMLESS)
        for event, path in HOOKS:
            stage.hooks(ALICE, event, path)
        stage.makes(ALICE, "gc")
    finally:
        os.umask(before)
    if mask == 0o777:
        return  # then not even we may read, unless we are root; it is enough that it went through
    for path in [stage.state, *stage.state.rglob("*")]:
        mode = stat.S_IMODE(path.lstat().st_mode)
        assert mode == (0o700 if path.is_dir() else 0o600), (path, oct(mode))


# ---------------------------------------------------------------- too much
def test_a_record_that_nobody_could_read_is_refused_and_nothing_written(stage: Stage) -> None:
    """200 files with names of 4,000 characters fit into the rules for each, and not into a record."""
    words = [word for number in range(20) for word in ("--file", f"{number}/" + "界" * 4000)]
    first = json.loads(stage.makes("mallory", "create-task", "t", *words, "--json"))["id"]
    codes = set()
    for turn in range(6):
        more = [word for number in range(20) for word in ("--file", f"{turn}.{number}/" + "界" * 4000)]
        codes.add(stage.types("mallory", "edit-task", first, *more).code)
    assert codes == {0, 2}
    assert (stage.state / f"tasks/{first}.json").stat().st_size <= MAX_RECORD
    assert first in stage.makes(ALICE, "tasks")


def test_a_lock_whose_words_are_a_megabyte_is_refused(stage: Stage) -> None:
    from agentsync.errors import UsageError
    from agentsync.ops import agents

    session = open_session(Runtime(env={"AGENT_SYNC_ID": "mallory"}, cwd=str(stage.root)))
    with pytest.raises(UsageError):
        agents.register(session, "m", role="x" * MAX_RECORD)
    assert not isinstance(locks.lock(session, ["a.py"]), Conflict)
    assert frames(stage.makes(ALICE, "status"))[1]


def test_the_tests_can_tell_a_pipe_that_is_waited_for(tmp_path: Path) -> None:
    """What "nothing hangs" rests on: an open that waits does wait, and is noticed."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(subprocess.TimeoutExpired):
        subprocess.run(["cat", str(tmp_path / "pipe")], timeout=0.3)
