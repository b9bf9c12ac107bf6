"""The command as a process: its streams, its terminal, its environment, its arguments as bytes, a state it may not write.

Whatever is wrong outside, it ends with a documented code and a sentence, never with a traceback.
"""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import tempfile
import time
import tty
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from world import make_repo

if TYPE_CHECKING:
    from collections.abc import Iterator

MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
"""Where syncing costs nothing."""

OPEN = '<agent-sync-state trust="untrusted">'
SGR = re.compile(r"\x1b\[[0-9;]*m")

Word = str | bytes


class Place:
    """A directory, and commands that run in it as processes of their own."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.env: dict[str, Any] = {"PATH": os.environ["PATH"], "AGENT_SYNC_ID": "alice", "HOME": str(root.parent)}

    def command(self, *words: Word) -> list[Word]:
        return [sys.executable, "-m", "agentsync", *words]

    def runs(self, *words: Word, env: dict[Any, Any] | None = None, **options: Any) -> subprocess.CompletedProcess[str]:
        given = {"cwd": self.root, "env": {**self.env, **(env or {})}, "stdin": subprocess.DEVNULL, **options}
        if "stdout" not in given:
            given["stdout"] = subprocess.PIPE
        if "stderr" not in given:
            given["stderr"] = subprocess.PIPE
        return subprocess.run(self.command(*words), text=True, errors="surrogateescape", timeout=60, **given)

    def as_bob(self, *words: Word) -> subprocess.CompletedProcess[str]:
        return self.runs(*words, env={"AGENT_SYNC_ID": "bob"})

    def on_a_terminal(self, *words: Word, stderr: bool = False, **env: str) -> tuple[int, str]:
        """What a person sees whose terminal is stdout (or stderr too)."""
        master, slave = pty.openpty()
        tty.setraw(slave)
        command = self.command(*words)
        process = subprocess.Popen(
            command,
            cwd=self.root,
            env={**self.env, "TERM": "xterm-256color", **env},
            stdin=subprocess.DEVNULL,
            stdout=slave,
            stderr=slave if stderr else subprocess.DEVNULL,
        )
        os.close(slave)
        seen = b""
        while True:
            try:
                chunk = os.read(master, 1 << 16)
            except OSError:  # EIO: the last one has closed it
                break
            if not chunk:
                break
            seen += chunk
        os.close(master)
        return process.wait(), seen.decode()


@pytest.fixture
def place() -> Iterator[Place]:
    with tempfile.TemporaryDirectory(dir=MEMORY) as top:
        yield Place(make_repo(Path(top) / "repo"))


def is_clean(err: str) -> bool:
    """No traceback, nothing from the interpreter, no defect of ours."""
    return not any(word in err for word in ("Traceback", "Exception ignored", "internal error", "Warning:"))


# ---------------------------------------------------------------- streams that are not there
READ_BY_NOBODY: list[tuple[list[str], int]] = [
    (["--help"], 0),
    (["--version"], 0),
    (["lock", "--help"], 0),
    (["status"], 0),
    (["status", "--json"], 0),
    (["locks", "--json"], 0),
    (["explain", "a.py"], 0),
    (["doctor"], 0),
    (["lock", "b.py"], 0),
    (["lock", "", "--json"], 2),
    (["lock", "held.py", "--json"], 3),
    (["nonsense", "--json"], 2),
]


@pytest.mark.parametrize("unbuffered", ["", "1"], ids=["buffered", "unbuffered"])
@pytest.mark.parametrize(("words", "code"), READ_BY_NOBODY, ids=[" ".join(words) for words, _ in READ_BY_NOBODY])
def test_a_reader_that_has_gone_is_no_error(words: list[str], code: int, unbuffered: str, place: Place) -> None:
    """As in `agent-sync … | head -0`: the pipe is closed before anything is written."""
    place.as_bob("lock", "held.py")
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = place.runs(*words, stdout=writing, env={"PYTHONUNBUFFERED": unbuffered})
    finally:
        os.close(writing)
    assert (done.returncode in (0, code), done.stderr) == (True, "")


@pytest.mark.parametrize("unbuffered", ["", "1"], ids=["buffered", "unbuffered"])
@pytest.mark.parametrize("words", [["--help"], ["status"], ["status", "--json"], ["lock", "", "--json"]], ids=" ".join)
def test_a_full_disk_behind_stdout_is_an_error_with_a_sentence(words: list[str], unbuffered: str, place: Place) -> None:
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full here")
    with open("/dev/full", "wb") as full:
        done = place.runs(*words, stdout=full, env={"PYTHONUNBUFFERED": unbuffered})
    assert done.returncode in (1, 2, 6) or words == ["--help"], "argparse drops what it cannot write"
    assert is_clean(done.stderr)


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize(
    ("words", "code"), [("lock a.py", 0), ("status --json", 0), ("lock held.py", 3), ("lock ''", 2)]
)
def test_streams_that_were_never_open_are_no_error(closed: str, words: str, code: int, place: Place) -> None:
    place.as_bob("lock", "held.py")
    script = f'exec "$0" -m agentsync {words} {closed}'
    done = subprocess.run(
        ["sh", "-c", script, sys.executable], cwd=place.root, env=place.env, capture_output=True, text=True
    )
    assert done.returncode == code
    assert is_clean(done.stderr)
    if "2>" in closed:
        assert done.stderr == ""
        assert code == 0 or done.stdout == "", "what is wrong does not go where the answer is expected"


def test_the_board_is_as_it_was_after_answers_nobody_read(place: Place) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    place.runs("lock", "a.py", stdout=writing)
    os.close(writing)
    assert [lock["path"] for lock in json.loads(place.runs("locks", "--json").stdout)] == ["a.py"]


# ---------------------------------------------------------------- environments
@pytest.mark.parametrize(
    "env",
    [
        {"HOME": None},
        {"HOME": "/nonexistent"},
        {"HOME": ""},
        {"TERM": None, "LANG": None},
        {"LC_ALL": "C"},
        {"PYTHONIOENCODING": "ascii"},
        {"PYTHONIOENCODING": "latin-1"},
        {"TMPDIR": "/nonexistent"},
        {"PWD": "/nonexistent"},
        {"AGENT_SYNC_ROOT": "", "AGENT_SYNC_DIR": "", "CLAUDE_CODE_SESSION_ID": ""},
        {"CLAUDE_PID": "nonsense", "CLAUDE_CODE_SESSION_ID": "not a uuid"},
        {"CLAUDE_PID": "999999999999999999999", "CLAUDE_CODE_SESSION_ID": "x"},
        {"COLUMNS": "nonsense"},
    ],
    ids=lambda env: " ".join(f"{k}={v}" for k, v in env.items()),
)
def test_strange_environments_do_not_matter(env: dict[str, str | None], place: Place) -> None:
    place.env = {k: v for k, v in place.env.items() if k not in env or env[k] is not None}
    extra = {k: v for k, v in env.items() if v is not None}
    for words in (["lock", "a.py", "--reason", "ünïcode 🙂"], ["status"]):
        done = place.runs(*words, env=extra)
        assert (done.returncode, is_clean(done.stderr)) == (0, True), done.stderr
    raw = subprocess.run(
        place.command("locks", "--json"), cwd=place.root, env={**place.env, **extra}, capture_output=True, check=True
    )
    assert json.loads(raw.stdout.decode("utf-8"))[0]["reason"] == "ünïcode 🙂", "JSON is UTF-8 wherever it is printed"


def test_nothing_leaks_and_nothing_is_deprecated(place: Place) -> None:
    """Under the interpreter's own strictest mode, every warning an error."""
    for words in (["install"], ["lock", "a.py"], ["status"], ["doctor"], ["gc"], ["uninstall"], ["lock", ""]):
        command = [sys.executable, "-X", "dev", "-W", "error", "-m", "agentsync", *words]
        done = subprocess.run(command, cwd=place.root, env=place.env, capture_output=True, text=True)
        assert done.returncode == (2 if words[-1] == "" else 0), done.stderr
        assert is_clean(done.stderr)


# ---------------------------------------------------------------- bytes that are no text
NOT_TEXT: list[list[Word]] = [
    ["lock", b"a\xff"],
    ["lock", b"\xff"],
    ["lock", b"\xc3\xbc", b"a\xff"],
    ["lock", b"src/*\xff"],
    ["lock", b"@res\xff"],
    ["lock", "a", "--resource", b"r\xff"],
    ["lock", "a", "--reason", b"r\xff"],
    ["lock", "a", "--task", b"t\xff"],
    ["lock", "a", "--ttl", b"\xff"],
    ["unlock", b"a\xff"],
    ["check", b"a\xff"],
    ["explain", b"a\xff"],
    ["register", "--name", b"n\xff"],
    ["register", "--name", "n", "--role", b"r\xff"],
    ["-C", b"\xff", "status"],
    [b"\xff"],
    ["status", b"--\xff"],
]


@pytest.mark.parametrize("words", NOT_TEXT, ids=lambda words: b" ".join(map(os.fsencode, words)).decode("latin-1"))
def test_arguments_that_are_no_text_are_done_or_refused(words: list[Word], place: Place) -> None:
    for flags in ([], ["--json"]):
        done = place.runs(*flags, *words)
        assert done.returncode in (0, 2), done.stderr
        assert is_clean(done.stdout + done.stderr)
        if flags:
            answer = json.loads(done.stdout)
            assert done.returncode == 0 or answer["code"] == done.returncode
    assert place.runs("status").returncode == 0, "and the board can still be read"


@pytest.mark.parametrize("name", ["AGENT_SYNC_ID", "CLAUDE_CODE_SESSION_ID", "AGENT_SYNC_DIR", "AGENT_SYNC_ROOT"])
def test_variables_that_are_no_text_are_used_or_refused(name: str, place: Place) -> None:
    value = os.fsencode(place.root) + b"/x\xff" if name in ("AGENT_SYNC_DIR", "AGENT_SYNC_ROOT") else b"x\xff"
    if name == "CLAUDE_CODE_SESSION_ID":
        del place.env["AGENT_SYNC_ID"]
    for words in (["lock", "a.py"], ["lock", "b.py", "--json"], ["init", "--json"], ["status", "--json"], ["whoami"]):
        done = place.runs(*words, env={name.encode(): value})
        assert done.returncode in (0, 2), done.stderr
        assert is_clean(done.stdout + done.stderr)
        if "--json" in words:
            json.loads(done.stdout)


def test_a_repository_whose_path_is_no_text_works_like_any_other(place: Place) -> None:
    odd = Path(os.fsdecode(os.fsencode(place.root.parent) + b"/caf\xe9"))
    try:
        make_repo(odd)
    except OSError:
        pytest.skip("this file system has only names that are text")
    here = Place(odd)
    for words in (
        *(["init"], ["register", "--name", "x"], ["lock", "src/app.py"], ["locks"], ["check", "src/app.py"]),
        *(["explain", "src/app.py"], ["status"], ["whoami"], ["install"], ["doctor"], ["gc"], ["uninstall"]),
    ):
        for flags in ([], ["--json"]) if words[0] in ("init", "lock", "install", "status") else (["--json"],):
            done = here.runs(*words, *flags)
            assert done.returncode == 0, (words, done.stdout, done.stderr)
            assert is_clean(done.stdout + done.stderr)
            if flags:
                json.loads(done.stdout)
    assert here.runs("lock", "src/app.py", env={"AGENT_SYNC_ID": "bob"}).returncode == 3


def test_a_branch_whose_name_is_no_text_does_not_matter(place: Place) -> None:
    (place.root / ".git/HEAD").write_bytes(b"ref: refs/heads/\xff\xfe\n")
    assert place.runs("lock", "a.py").returncode == 0
    assert json.loads(place.runs("status", "--json").stdout)["agents"][0]["branch"]


def test_an_argument_as_long_as_the_system_allows_is_refused_in_a_line(place: Place) -> None:
    for words in (["lock", "x" * 120_000], ["lock", "a", "--reason", "x" * 120_000], ["check", "x/" * 60_000]):
        done = place.runs(*words)
        assert done.returncode == 2
        assert len(done.stderr) < 1000


def test_a_megabyte_in_one_argument_is_refused_in_a_line(place: Place) -> None:
    """More than one argument of a real command line may have; programs that call `main` have no such limit."""
    code = "import sys; sys.argv = ['agent-sync', 'lock', 'x' * 1_000_000]; from agentsync.__main__ import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=place.root, env=place.env, capture_output=True, text=True, timeout=60
    )
    assert is_clean(done.stderr)
    assert len(done.stderr) < 1000


def test_ten_thousand_paths_are_answered(place: Place) -> None:
    done = place.runs("lock", *[f"{n}" for n in range(10_000)])
    assert done.returncode in (0, 2)
    assert is_clean(done.stderr)


# ---------------------------------------------------------------- places that are gone or may not be written
def test_a_working_directory_that_is_gone_is_a_sentence(place: Place) -> None:
    script = 'mkdir gone && cd gone && rmdir ../gone && exec "$0" -m agentsync status'
    done = subprocess.run(
        ["sh", "-c", script, sys.executable], cwd=place.root, env=place.env, capture_output=True, text=True
    )
    assert done.returncode in (0, 2, 6)
    assert is_clean(done.stderr)


OBEY = """
import ctypes, os, sys
if os.geteuid() == 0:  # root that has to obey file modes like anybody else: without CAP_DAC_OVERRIDE and _READ_SEARCH
    for capability in (1, 2):
        if ctypes.CDLL(None).prctl(24, capability, 0, 0, 0):
            sys.exit(77)
os.execv(sys.argv[1], sys.argv[1:])
"""


@pytest.fixture
def read_only(place: Place) -> Iterator[Place]:
    """A board that its own user may read and not write."""
    place.runs("lock", "mine.py")
    place.as_bob("lock", "held.py")
    state = place.root / ".claude/coordination"
    everything = [state, *state.rglob("*")]
    for path in everything:
        path.chmod(0o500 if path.is_dir() else 0o400)
    plain = place.command
    place.command = lambda *words: [sys.executable, "-c", OBEY, *plain(*words)]  # type: ignore[method-assign]
    if place.runs("--version").returncode == 77:
        pytest.skip("this root cannot give up its powers over file modes")
    yield place
    for path in everything:
        path.chmod(0o700)


@pytest.mark.parametrize("words", [["status"], ["locks"], ["whoami"], ["check", "mine.py"], ["explain", "mine.py"]])
def test_a_read_only_board_can_be_read(words: list[str], read_only: Place) -> None:
    done = read_only.runs(*words, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)


@pytest.mark.parametrize(
    "words",
    [
        ["lock", "a.py"],
        ["unlock", "mine.py"],
        ["register", "--name", "x"],
        ["heartbeat"],
        ["gc"],
        ["init"],
        ["install"],
    ],
)
def test_a_read_only_board_cannot_be_changed_and_says_so(words: list[str], read_only: Place) -> None:
    done = read_only.runs(*words)
    assert done.returncode == 6, done.stdout + done.stderr
    assert is_clean(done.stderr)
    assert str(read_only.root) in done.stderr
    assert len(done.stderr.splitlines()) == 2
    said = json.loads(read_only.runs(*words, "--json").stdout)
    assert (said["kind"], said["code"]) == ("error", 6)
    assert said["hint"]


def test_on_a_read_only_board_a_held_file_is_still_refused(read_only: Place) -> None:
    assert read_only.runs("check", "held.py").returncode == 3


# ---------------------------------------------------------------- terminals
def test_what_no_terminal_reads_is_framed_and_plain(place: Place) -> None:
    place.runs("lock", "a.py", "--reason", "why")
    for words in (["status"], ["status", "--compact"], ["locks"], ["check", "a.py"], ["explain", "a.py"]):
        said = place.runs(*words).stdout
        assert said.startswith(OPEN + "\n"), words
        assert said.endswith("\n</agent-sync-state>\n"), words
        assert "\x1b" not in said


def test_a_terminal_gets_the_board_alone_and_in_colour(place: Place) -> None:
    place.runs("lock", "a.py", "--reason", "why")
    for words in (["status"], ["locks"], ["check", "a.py"], ["explain", "a.py"]):
        code, said = place.on_a_terminal(*words)
        assert code == 0
        assert "agent-sync-state" not in said
        assert "a.py" in said
        assert bool(SGR.search(said)) is (words == ["status"])
        assert SGR.sub("", said).replace("\n", "").isprintable()


def test_in_colour_and_without_it_is_the_same_text(place: Place) -> None:
    place.runs("lock", "a.py", "--reason", "why")
    _, coloured = place.on_a_terminal("status")
    _, plain = place.on_a_terminal("status", NO_COLOR="1")
    age = re.compile(r"\d+ s ago")
    assert age.sub("", SGR.sub("", coloured)) == age.sub("", plain)


@pytest.mark.parametrize(
    ("env", "is_coloured"),
    [
        ({}, True),
        ({"NO_COLOR": "1"}, False),
        ({"NO_COLOR": "0"}, False),
        ({"NO_COLOR": ""}, True),
        ({"TERM": "dumb"}, False),
    ],
)
def test_colour_follows_the_conventions(env: dict[str, str], is_coloured: bool, place: Place) -> None:
    place.runs("lock", "a.py")
    assert bool(SGR.search(place.on_a_terminal("status", **env)[1])) is is_coloured


def test_json_on_a_terminal_is_json(place: Place) -> None:
    place.runs("lock", "a.py")
    assert json.loads(place.on_a_terminal("status", "--json")[1])["revision"] == 2


def test_a_person_reads_a_refusal_as_a_sentence(place: Place) -> None:
    place.as_bob("lock", "a.py", "--reason", "mine")
    code, said = place.on_a_terminal("lock", "a.py", stderr=True)
    assert code == 3
    assert re.match(r"agent-sync: a\.py is held by bob \(bob, active, \d s ago, until [^)]+\): mine\n", said)
    assert "agent-sync-state" not in said


# ---------------------------------------------------------------- signals
HOLD = """
import fcntl, os, sys
fd = os.open(sys.argv[1], os.O_RDWR)
fcntl.flock(fd, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


def is_waiting(pid: int) -> bool:
    """Whether a process is in line for a flock; the kernel lists who waits with an arrow."""
    with open("/proc/locks", encoding="ascii") as table:
        return any("->" in line and f" {pid} " in line for line in table)


@pytest.mark.skipif(not os.path.exists("/proc/locks"), reason="needs /proc/locks to see who waits")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, -signal.SIGTERM)])
def test_a_command_that_waits_can_be_interrupted(number: signal.Signals, code: int, place: Place) -> None:
    place.runs("init")
    guard = place.root / ".claude/coordination/guard"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(guard)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdin is not None
        assert holder.stdout.readline() == "held\n"
        waiting = subprocess.Popen(
            place.command("lock", "a.py"), cwd=place.root, env=place.env, stderr=subprocess.PIPE, text=True
        )
        until = time.monotonic() + 8
        while not is_waiting(waiting.pid) and time.monotonic() < until:
            time.sleep(0.01)
        waiting.send_signal(number)
        _, err = waiting.communicate(timeout=30)
        holder.stdin.close()
    assert (waiting.returncode, is_clean(err)) == (code, True)
    assert json.loads(place.runs("locks", "--json").stdout) == []
