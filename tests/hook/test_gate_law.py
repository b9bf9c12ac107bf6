"""The law of the gate: whenever it says allowed, Python says allowed.

A generated history (agents come, lock, edit, die, leave; the configuration changes; records are damaged) is played by
the package itself, so that every store is one that can come about. Then the gate is given a generated call. When it
answers by itself, the same call goes to `agentsync.hook` on the same store, which must have nothing to say: no denial,
and no warning or notice either, because nobody would get to see it.

    AGENTSYNC_ROUNDS=60 pytest tests/hook/test_gate_law.py
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import string
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hook.test_entry import forked
from hook.test_gate import GATE, ME, SESSION, SHELLS, Gate, has_shell, payload, pretend_git
from hypothesis import HealthCheck, event, given, note, settings
from hypothesis import strategies as st
from rounds import TIMES
from world import Clock, Machine, ManualRuntime, Player

from agentsync.core.paths import encode
from agentsync.errors import AgentSyncError
from agentsync.ops import care, mail
from agentsync.runtime import Runtime
from agentsync.store.files import Files

if TYPE_CHECKING:
    from collections.abc import Iterator

EXAMPLES = 500 * TIMES

LAW = settings(
    max_examples=EXAMPLES,
    deadline=None,
    print_blob=False,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture],
)

AVAILABLE = [name for name in SHELLS if has_shell(name)]


# ---------------------------------------------------------------- a world whose clock ends now
class PastFiles(Files):
    """Real files whose times are the manual clock's, whoever writes them. Nothing is synced: nobody pulls the plug."""

    def __init__(self, root: str, clock: Clock) -> None:
        super().__init__(root, f"t-{os.urandom(4).hex()}")
        self.clock = clock

    def write_temp(self, data: bytes, sync: bool) -> str:  # as declared
        key = super().write_temp(data, sync=False)
        self._stamp(key)
        return key

    def touch(self, key: str) -> bool:
        touched = super().touch(key)
        if touched:
            self._stamp(key)
        return touched

    def append(self, key: str, line: bytes) -> None:
        super().append(key, line)
        self._stamp(key)

    def _stamp(self, key: str) -> None:
        seconds = self.clock.now.timestamp()
        os.utime(self.path(key), (seconds, seconds))


class PastRuntime(ManualRuntime):
    """The real machine seen from the past: what it says of processes can be checked afterwards."""

    boot_id = Runtime.boot_id  # type: ignore[assignment]
    pid_ns = Runtime.pid_ns  # type: ignore[assignment]


ALIVE, DEAD = os.getpid(), os.getppid()
"""Two pids that exist; the second one is recorded with another start time, which proves its agent's death."""

CAST = {
    "me": {"CLAUDE_CODE_SESSION_ID": SESSION},
    "bob": {"AGENT_SYNC_ID": "bob"},
    "carol": {"CLAUDE_CODE_SESSION_ID": "c0c0c0c0-1111-4222-8333-0000000ca401", "CLAUDE_PID": str(DEAD)},
    "dora": {"CLAUDE_CODE_SESSION_ID": "d0d0d0d0-1111-4222-8333-000000000d04", "CLAUDE_PID": str(ALIVE)},
}

VARIABLES = {"claude": "CLAUDE_CODE_SESSION_ID", "codex": "CODEX_SESSION_ID", "gemini": "GEMINI_SESSION_ID"}
"""By which a client names its session: Codex in its shell, but not to its hooks."""

LAYOUTS = ("main", "worktree", "worktree inside", "no git", "subdirectory by a link")

FILES = (
    "src/app.py",
    "src/a/b.py",
    "src/A/B.py",
    "app.py",
    ".env",
    ".github/ci.yml",
    "..odd/x",
    "src/.hidden",
    "@scope/x.ts",
    "src/@x",
    "a=b,c+d@e-f_g.h",
    "-dash",
    "two words.md",
    "ünï.py",
    "quo\"te'.py",
    "50%.md",
    "src%2Fapp.py",
    "x~bob",
    "~0123456789abcdef",
    "back\\slash",
    "locks.json",
    "src/app.py.json",
    "d" * 168,
    "e" * 176,
    "f" * 181,
    "g/" * 60 + "h",
    "link/app.py",
    "src/ln.py",
    "out/x.py",
    "nested/app.py",
    "nested/deep/app.py",
    "nested",
    "src",
    "../sibling/app.py",
)

PLACES = ("src/", "src/a/", ".", "nested/", ".github/", "@scope/", "link/", "g/", "../sibling/", *FILES)

PATTERNS = ("**", "src/**", "*.py", "src/*.py", "{src,lib}/**/*.py", ".*", "[a-e]*", "@resource")

CONFIGS = (
    "",
    "auto_lock = false\n",
    'worktrees = "deny"\n',
    'worktrees = "ignore"\nauto_lock = false\n',
    'paths.required = ["src/**"]\n',
    'auto_lock = false\npaths.required = ["**"]\n',
    'paths.required = ["**"]',
    '[paths]\nshared = ["src/**"]\nignore = ["*.py"]\n',
    "auto_lock = maybe\n",
)


class Play:
    """One generated story: a tree, its boards, its cast."""

    def __init__(
        self, root: Path, layout: str, shell: str, link: bool, minutes: int = 1, client: str = "claude"
    ) -> None:
        """Set the stage.

        Args:
            root: Where; must not exist.
            layout: One of `LAYOUTS`.
            shell: What runs the gate.
            link: Whether the gate is found through a symlink to the tree.
            minutes: How long the story takes. It ends now.
            client: Whose hook asks, and whose session `me` is.
        """
        self.client = client
        self.root = root
        self.restored = 1000
        self.clock = Clock()
        self.clock.now = datetime.now(UTC) - timedelta(minutes=minutes)
        self.main = root / "repo"
        self.main.mkdir(parents=True)
        self.worktree = self.main / ".trees/wt" if layout == "worktree inside" else root / "wt"
        self.layout = layout
        if layout == "no git":
            (self.main / "nested/.claude/coordination").mkdir(parents=True)
        else:
            pretend_git(self.main)
            self._add_worktree()
            pretend_git(self.main / "nested")
        pretend_git(root / "sibling")
        top = {"worktree": self.worktree, "worktree inside": self.worktree}.get(layout, self.main)
        if layout == "subdirectory by a link":
            top = self.main / "package"
            link = True
        for tree in {self.main, top}:
            (tree / "src/a").mkdir(parents=True, exist_ok=True)
            (tree / "src/app.py").write_text("x\n")
            (tree / "link").symlink_to("src")
            (tree / "src/ln.py").symlink_to("app.py")
            (tree / "out").symlink_to(root / "sibling")
        if link:
            (root / "by-link").symlink_to(top)
            top = root / "by-link"
        self.top = top
        self.gate = Gate(top, shell)
        self.stub = root / "python"
        self.stub.write_text("#!/bin/sh\necho asked\n")
        self.stub.chmod(0o755)
        shutil.copy(self.stub, root / "agent-sync")

    def _add_worktree(self) -> None:
        git_dir = self.main / ".git/worktrees/wt"
        git_dir.mkdir(parents=True)
        (git_dir / "HEAD").write_text("ref: refs/heads/wt\n")
        (git_dir / "commondir").write_text("../..\n")
        self.worktree.mkdir(parents=True)
        (self.worktree / ".git").write_text(f"gitdir: {git_dir}\n")

    def directory(self, where: str) -> Path:
        found = {
            "top": self.top,
            "src": self.top / "src",
            "main": self.main,
            "nested": self.main / "nested",
            "worktree": self.main if self.layout == "no git" else self.worktree,
            "sibling": self.root / "sibling",
        }[where]
        return found.resolve()

    def player(self, who: str, where: str) -> Player:
        machine = Machine()
        machine.processes = {DEAD: 1}
        alive = Runtime().process(ALIVE)
        assert alive is not None
        machine.processes[ALIVE] = alive.start or 0
        env = {VARIABLES[self.client]: SESSION} if who == "me" else dict(CAST[who])
        runtime = PastRuntime(self.clock, machine, env, str(self.directory(where)))
        from agentsync.store.locate import locate

        return Player(runtime, PastFiles(locate(runtime.cwd, runtime.env).state, self.clock))

    # ------------------------------------------------------------ steps
    def act(self, step: tuple[Any, ...]) -> None:
        """Play one step; what the package refuses does not happen."""
        verb, *rest = step
        try:
            getattr(self, verb)(*rest)
        except (AgentSyncError, NotADirectoryError, IsADirectoryError):
            pass

    def register(self, who: str, where: str) -> None:
        self.player(who, where).registers()

    def lock(self, who: str, where: str, path: str, shared: bool, everywhere: bool) -> None:
        self.player(who, where).locks(path, shared=shared, everywhere=everywhere)

    def unlock(self, who: str, where: str, path: str) -> None:
        self.player(who, where).unlocks(path, force=True)

    def edit(self, who: str, where: str, path: str) -> None:
        player = self.player(who, where)
        if player.may_edit(path):
            player.has_edited(path)

    def end(self, who: str, where: str, release_all: bool, continues: bool) -> None:
        self.player(who, where).ends(release_all, continues)

    def write(self, who: str, where: str, to: str, urgent: bool) -> None:
        mail.send(self.player(who, where).session, to, "words", urgent=urgent)

    def listen(self, who: str, where: str, when: mail.When) -> None:
        with mail.delivery(self.player(who, where).session, when, lambda _: 1, 2):
            pass

    def wait(self, minutes: int) -> None:
        self.clock.now = min(self.clock.now + timedelta(minutes=minutes), datetime.now(UTC))

    def damage(self, number: int, how: str) -> None:
        found = sorted(self.main.glob(".claude/coordination/[la]*s/**/*.json"))
        if found:
            path = found[number % len(found)]
            data = path.read_bytes()
            path.write_bytes({"empty": b"", "cut": data[: len(data) // 2], "nul": bytes(len(data))}[how])

    def configure(self, where: str, text: str) -> None:
        """Write the configuration; its mtime is the story's time."""
        path = self.directory(where) / ".claude/agent-sync.toml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        seconds = self.clock.now.timestamp()
        os.utime(path, (seconds, seconds))

    def unconfigure(self, where: str) -> None:
        (self.directory(where) / ".claude/agent-sync.toml").unlink(missing_ok=True)

    def restore(self, where: str, text: str) -> None:
        """An older configuration comes back with its old mtime, as `mv` and `cp -p` do it; no two are of one second."""
        self.configure(where, text)
        self.restored += 10
        os.utime(self.directory(where) / ".claude/agent-sync.toml", (self.restored, self.restored))

    def refresh(self, who: str, where: str) -> None:
        """A session starts, which brings up to date what the gate reads."""
        session = self.player(who, where).session
        if session.store.exists():
            care.refresh(session)

    def remove_other_boards(self) -> None:
        """Leave only the board of the repository the gate is installed in."""
        for inside in (self.main / "nested", self.root / "sibling"):
            shutil.rmtree(inside / ".claude", ignore_errors=True)

    # ------------------------------------------------------------ the question
    def ask_gate(self, name: str, sent: bytes, env: dict[str, str]) -> bool:
        """Whether the gate answers by itself, silently, that all is well."""
        for state in self.root.glob("**/.claude/coordination/agents"):
            (state.parent / "python").write_text(f"{self.stub}\n")
        if (self.top / ".claude/coordination").is_dir():
            (self.top / ".claude/coordination/python").write_text(f"{self.stub}\n")
        done = subprocess.run(
            [*SHELLS[self.gate.shell], str(self.gate.path), name, *self._named()],
            input=sent,
            env=env,
            cwd=self.top,
            capture_output=True,
        )
        assert done.returncode == 0
        assert done.stdout in (b"", b"asked\n")
        assert done.stderr == b"" or b"\0" in sent
        return done.stdout == b""

    def _named(self) -> list[str]:
        return [] if self.client == "claude" else [self.client]

    def ask_python(self, name: str, sent: bytes, env: dict[str, str]) -> str:
        """What `agentsync.hook` prints."""
        answer = forked([name, *self._named()], sent, env, self.root, self.top)
        assert answer.code == 0
        return answer.out


# ---------------------------------------------------------------- stories
TARGETS = (
    "src/app.py",
    "src/app.py",
    "src/a/b.py",
    "app.py",
    ".env",
    ".github/ci.yml",
    "link/app.py",
    "out/app.py",
    "nested/app.py",
    "../sibling/app.py",
)
"""What the edits are mostly about; the odd names in `FILES` come up less often."""

who = st.sampled_from(list(CAST))
somebody = st.sampled_from(["bob", "bob", "carol", "dora"])
trees = st.sampled_from(["top", "top", "main", "worktree"])
where = st.sampled_from(["top", "top", "top", "main", "src", "worktree", "nested", "sibling"])
flags = st.sampled_from([False, False, True])


def around(target: str) -> list[str]:
    """What a lock that has to do with a file may be called, and some that have nothing to do with it."""
    parents = [f"{target.rpartition('/')[0]}/", ".", f"{target}/"]
    return (
        [target] * 4 + parents + [name for name in ("app.py", "src/", "**", "src/**", "*.py", ".*") if name != target]
    )


def home_of(target: str) -> tuple[str, str]:
    """Whose board judges a file, and what it is called there."""
    for prefix, home in (("nested/", "nested"), ("../sibling/", "sibling"), ("out/", "sibling")):
        if target.startswith(prefix):
            return home, target.removeprefix(prefix)
    return "top", target


@st.composite
def stories(draw: st.DrawFn, target: str) -> list[tuple[Any, ...]]:
    """A beginning, then anything, mostly about one file."""
    named = st.sampled_from(around(target))
    anything = st.one_of(named, named, named, st.sampled_from(PLACES), st.sampled_from(PATTERNS))
    home, local = home_of(target)
    reach = draw(st.sampled_from([local, local, ".", "**", f"**/{local}", f"{local}/", *around(local)]))
    theirs = (
        "lock",
        draw(somebody),
        draw(st.sampled_from([home, home, "main", "worktree"])),
        reach,
        draw(flags),
        draw(flags),
    )
    steps = st.one_of(
        st.just(theirs),
        st.tuples(st.just("lock"), st.just("me"), st.just("top"), named, st.just(False), st.just(False)),
        st.tuples(st.just("lock"), somebody, where, named, st.just(False), flags),
        st.tuples(st.just("lock"), who, where, anything, flags, flags),
        st.tuples(st.just("edit"), who, where, anything),
        st.tuples(st.just("register"), who, where),
        st.tuples(st.just("unlock"), who, where, anything),
        st.tuples(st.just("end"), somebody, where, st.booleans(), st.booleans()),
        st.tuples(st.just("write"), who, where, st.sampled_from(["all", "all", ME]), flags),
        st.tuples(st.just("listen"), who, where, st.sampled_from(["prompt", "turn", "stop"])),
        st.tuples(st.just("wait"), st.sampled_from([1, 9, 11, 16, 61, 130])),
        st.tuples(st.just("damage"), st.integers(0, 9), st.sampled_from(["empty", "cut", "nul"])),
        st.tuples(st.sampled_from(["configure", "configure", "restore"]), trees, st.sampled_from(CONFIGS)),
        st.tuples(st.just("unconfigure"), trees),
        st.tuples(st.just("refresh"), who, trees),
    )
    me, bob = ("register", "me", "top"), ("register", "bob", "top")
    own = ("lock", "me", draw(st.sampled_from(["top", "top", "top", "worktree", "main"])), target, False, False)
    auto = ("edit", "me", "top", target)
    settled = (("configure", draw(trees), draw(st.sampled_from(CONFIGS))), ("wait", 1), ("refresh", "me", "top"))
    free = (("configure", draw(trees), CONFIGS[1]), ("wait", 1), ("refresh", "me", "top"))
    changed = (draw(st.sampled_from(["configure", "restore"])), draw(trees), draw(st.sampled_from(CONFIGS)))
    beginning = draw(
        st.sampled_from(
            [(), (me,), (me, theirs), (theirs, me), (me, bob, own), (me, bob, own, theirs), (theirs, me, own)]
            + [
                (me, bob, *free),
                (me, *settled),
                (me, bob, *settled, auto),
                (me, *free, changed),
                (me, bob, *free, changed),
            ]
            + [(me, *free, theirs), (me, theirs, *free)] * 4
        )
    )
    return [*beginning, *draw(st.lists(steps, max_size=4))]


# ---------------------------------------------------------------- payloads
class Style:
    """How a JSON text is spelled. An object is a list of pairs, so that a key may stand twice."""

    def __init__(self, comma: str, colon: str, ascii_only: bool, slashes: bool, spelled: str) -> None:
        self.comma, self.colon = comma, colon
        self.ascii_only = ascii_only
        self.slashes = slashes
        self.spelled = spelled
        """Characters written as `\\uXXXX`."""

    def text(self, value: Any) -> str:
        if isinstance(value, list) and all(isinstance(item, tuple) for item in value):
            return "{" + self.comma.join(f"{self.text(k)}{self.colon}{self.text(v)}" for k, v in value) + "}"
        if isinstance(value, str):
            quoted = json.dumps(value, ensure_ascii=self.ascii_only)
            if self.slashes:
                quoted = quoted.replace("/", "\\/")
            return "".join(f"\\u{ord(char):04x}" if char in self.spelled else char for char in quoted)
        return json.dumps(value)


styles = st.one_of(
    st.builds(Style, st.just(","), st.just(":"), st.just(False), st.just(False), st.just("")),
    st.builds(Style, st.just(", "), st.just(": "), st.just(False), st.just(False), st.just("")),
    st.builds(
        Style,
        st.sampled_from([",", ", ", " ,\n", ",\t"]),
        st.sampled_from([":", ": ", " : ", ":\n"]),
        st.booleans(),
        st.booleans(),
        st.sampled_from(["", "_", "/", "a", "f"]),
    ),
)

ODD_SESSIONS = (
    "c0c0c0c0-1111-4222-8333-0000000ca401",
    SESSION.upper(),
    "0f0e-0d0-1111-4222-8333-0123456789ab",
    "0f0e0d0c-11-1-4222-8333-0123456789ab",
    "--------------------------------456789ab",
    "0f0e0d0c-1111-4222-8333-0123-456789ab",
    f"{SESSION} ",
    "456789ab",
    "",
)

DECOYS = (
    [("tool_input", [("file_path", "{decoy}")])],
    [("file_path", "{decoy}")],
    [("session_id", SESSION)],
    '"tool_input":{"file_path":"{decoy}"}',
    '{"session_id":"' + SESSION + '","tool_input":{"file_path":"{decoy}"}}',
    'x\\"tool_input\\":{\\"file_path\\":\\"{decoy}',
    "tool_input",
    ["file_path", "session_id"],
    None,
    1.5,
)

decoys = st.tuples(
    st.sampled_from(
        ["tool_input", "file_path", "session_id", "sessionId", "path", "x", 'x"tool_input', "tool_response"]
    ),
    st.sampled_from(DECOYS),
)


@st.composite
def patches(draw: st.DrawFn, name: str, form: str) -> str:
    """A patch of Codex's that changes a file and perhaps others, in the grammar or a little beside it."""
    path = draw(st.sampled_from([name, name, form]))
    head = draw(st.sampled_from(["*** Update File: ", "*** Update File: ", "*** Add File: ", "*** Delete File: "]))
    hunk = {"*** Update File: ": "@@\n-x\n+y\n", "*** Add File: ": "+y\n", "*** Delete File: ": ""}[head]
    if draw(st.booleans()):
        return f"*** Begin Patch\n{head}{path}\n{hunk}*** End Patch"
    more = st.sampled_from(
        ["", "*** Delete File: {decoy}\n", "*** Update File: {decoy}\n@@\n-x\n", "  *** Add File: {decoy}\n+x\n"]
    )
    parts = [
        draw(st.sampled_from(["", "", "<<EOF\n", " "])) + "*** Begin Patch" + draw(st.sampled_from(["", " ", "\r"])),
        draw(more) + head + path + draw(st.sampled_from(["", "", " ", "\t", "\r", "\u2028"])),
        draw(st.sampled_from(["", "*** Move to: {decoy}\n", " *** Move to: {decoy}\n"])) + hunk + draw(more),
    ]
    return (
        "\n".join(parts)
        + draw(st.sampled_from(["*** End of File\n", "", ""]))
        + draw(st.sampled_from(["*** End Patch", "*** End Patch\n", ""]))
    )


@st.composite
def calls(draw: st.DrawFn, target: str, client: str) -> dict[str, Any]:
    """A payload as pairs with placeholders, and how it is spelled and spoiled."""
    plain = draw(st.sampled_from([True, True, True, False]))
    session = SESSION if plain or draw(st.booleans()) else draw(st.sampled_from(ODD_SESSIONS))
    name = target if plain or draw(st.booleans()) else draw(st.sampled_from(FILES))
    form = "{sibling}" + name.removeprefix("../sibling") if name.startswith("../") else "{top}/" + name
    if draw(st.sampled_from([False, False, True])):
        odd = (
            name,
            "{top}//" + name,
            "{top}/src/../" + name,
            "{top}/./" + name,
            "{real}/" + name,
            "{top}/" + name + "/",
        )
        form = draw(st.sampled_from(odd))
    arguments = [("file_path", form), ("old_string", "a"), ("new_string", "b")]
    tools = ["Edit", "Write", "edit", "NotebookEdit", "Read", "Bash"]
    if client == "codex":
        arguments = [("command", draw(patches(name, form)))]
        tools = ["apply_patch", "apply_patch", "Bash", "Apply_Patch"]
    elif client == "gemini":
        tools = ["replace", "write_file", "Replace", "read_file", "run_shell_command"]
    body = [
        ("session_id", session),
        ("transcript_path", "/home/u/t.jsonl"),
        ("cwd", "{top}" if plain else draw(st.sampled_from(["{top}", "{top}/src", "{main}", "/", "src", "{sibling}"]))),
        ("hook_event_name", "PreToolUse"),
        ("tool_name", tools[0] if plain else draw(st.sampled_from(tools))),
        ("tool_input", arguments),
        ("tool_use_id", "toolu_1"),
    ]
    spoiled: list[str] = []
    if not plain:
        for where_in, extra in draw(st.lists(st.tuples(st.sampled_from(["body", "arguments"]), decoys), max_size=2)):
            target = body if where_in == "body" else arguments
            target.insert(draw(st.integers(0, len(target))), extra)
        if draw(st.integers(0, 4)) == 0:
            body = draw(st.permutations(body))
        if draw(st.integers(0, 4)) == 0:
            arguments[:] = draw(st.permutations(arguments))
        if draw(st.integers(0, 5)) == 0:
            key = draw(st.sampled_from(["session_id", "tool_input", "file_path", "command", "cwd", "tool_name"]))
            wrong = draw(st.sampled_from([None, 1, ["x"], [], [("a", "b")], True, ""]))
            body = [(k, wrong if k == key else v) for k, v in body]
            arguments[:] = [(k, wrong if k == key else v) for k, v in arguments]
        spoiled = draw(st.sampled_from([[], [], [], [], ["cut"], ["tail"], ["binary"], ["nul"], ["space"], ["huge"]]))
    return {
        "body": body,
        "style": Style(",", ":", False, False, "") if plain else draw(styles),
        "decoy": draw(st.sampled_from(["src/app.py", "app.py", "nowhere.py"])),
        "spoiled": spoiled,
        "at": draw(st.integers(0, 400)),
    }


def written(call: dict[str, Any], play: Play) -> bytes:
    """The bytes of a payload, with the story's paths in it."""
    names = {
        "{top}": str(play.top),
        "{real}": str(play.top.resolve()),
        "{main}": str(play.main),
        "{sibling}": str(play.root / "sibling"),
        "{decoy}": f"{play.top}/{call['decoy']}",
    }

    def filled(value: Any) -> Any:
        if isinstance(value, str):
            for mark, name in names.items():
                value = value.replace(mark, name)
            return value
        if isinstance(value, list):
            return [filled(item) for item in value]
        return tuple(filled(item) for item in value) if isinstance(value, tuple) else value

    data: bytes = call["style"].text(filled(call["body"])).encode()
    at = min(call["at"], len(data))
    for how in call["spoiled"]:
        match how:
            case "cut":
                data = data[:at]
            case "tail":
                data += b'{"tool_input":{}}'
            case "binary":
                data = data[:at] + b"\xff\x80\n\x01" + data[at:]
            case "nul":
                data = data[:at] + b"\0" + data[at:]
            case "space":
                data = b" \n" + data + b" \n"
            case "huge":
                data = data[:-1] + b',"content":"' + b"x" * 270_000 + b'"}'
    return data


environments = st.fixed_dictionaries(
    {},
    optional={
        "AGENT_SYNC_ID": st.sampled_from(["bob", "me.x", "Not An Id", "con", "", ME, "a..b", "all"]),
        "CLAUDE_CODE_SESSION_ID": st.sampled_from([SESSION, SESSION, *ODD_SESSIONS]),
        "COPILOT_CLI": st.sampled_from(["", "1"]),
        "AGENT_SYNC_DIR": st.sampled_from(["", "/nowhere/at/all"]),
        "AGENT_SYNC_ROOT": st.just(""),
    },
)


def usual(client: str) -> st.SearchStrategy[dict[str, str]]:
    """What a client's hooks find in their environment; the one around it may be another."""
    mine = {} if client == "codex" else {VARIABLES[client]: SESSION}
    return st.sampled_from([{}, mine, mine, {**mine, **CAST["dora"]}] if client != "claude" else [{}, mine, mine])


events = st.sampled_from(
    ["pre-tool-use"] * 9 + ["post-tool-use", "user-prompt-submit", "user-prompt-submit", "post-tool-batch", "stop"]
)

_serial = itertools.count()


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where the stories are played: in memory where that is possible."""
    memory = Path("/dev/shm")
    base = memory / f"agent-sync-law-{os.getpid()}" if os.access(memory, os.W_OK) else tmp_path_factory.mktemp("law")
    yield base
    shutil.rmtree(base, ignore_errors=True)


class Case:
    """All that is drawn for one example."""

    def __init__(self, draw: st.DrawFn) -> None:
        self.name = draw(events)
        self.target = draw(st.sampled_from(draw(st.sampled_from([TARGETS, TARGETS, TARGETS, FILES]))))
        self.client = draw(st.sampled_from(["claude", "claude", "codex", "gemini"]))
        self.story = draw(stories(self.target))
        self.call = draw(calls(self.target, self.client))
        self.env = draw(st.one_of(*[usual(self.client)] * 3, environments))
        self.layout = draw(st.sampled_from(["main", "main", "main", "worktree", *LAYOUTS]))
        self.link = draw(st.sampled_from([False] * 5 + [True]))
        self.shell = draw(st.sampled_from(AVAILABLE))

    def __repr__(self) -> str:
        return f"Case({', '.join(f'{name}={value!r}' for name, value in vars(self).items() if name != 'call')})"


@given(case=st.composite(lambda draw: Case(draw))())
@LAW
def test_whenever_the_gate_allows_python_allows(ground: Path, case: Case) -> None:
    root = ground / str(next(_serial))
    try:
        minutes = sum(step[1] for step in case.story if step[0] == "wait")
        play = Play(root, case.layout, case.shell, case.link, minutes, case.client)
        for step in case.story:
            play.act(step)
        sent = written(case.call, play)
        env = {"PATH": f"/usr/bin:/bin:{root}", "HOME": str(root), **case.env}
        if not play.ask_gate(case.name, sent, env):
            event(f"{case.client} {case.name}: Python is asked")
            return
        event(f"{case.client} {case.name}: allowed by the gate")
        if alone_unseen(play, sent, env):
            event(f"{case.client} {case.name}: alone, so not looked at")
            if names_another_session(play, sent, env):
                return
            play.remove_other_boards()
        said = play.ask_python(case.name, sent, env)
        note(sent[:2000].decode("utf-8", "replace"))
        assert '"deny"' not in said, f"the gate allowed what Python refuses: {said}"
        assert said == "", f"the gate was silent where Python has something to say: {said}"
    finally:
        shutil.rmtree(root, ignore_errors=True)


def alone_unseen(play: Play, sent: bytes, env: dict[str, str]) -> bool:
    """The one exception to the law: nobody else is on the board of the repository the hook is installed in.

    Then nobody can hold anything in it, and the gate does not read the payload, or no more of it than the session. A
    path that leads to another repository, with a board of its own, is judged after the edit, and from then on before.
    So is the edit of a session that inherited the variable of the one that is alone.
    """
    session = session_in(sent) if play.client == "codex" else env.get(VARIABLES[play.client], "")
    me = env.get("AGENT_SYNC_ID") or f"{play.client}-{session[-8:]}"
    here = play.main if play.layout.startswith("worktree") else play.top
    return [path.name for path in (here / ".claude/coordination/agents").glob("*.json")] == [f"{me}.json"]


def names_another_session(play: Play, sent: bytes, env: dict[str, str]) -> bool:
    """Whether the payload is of another session than the environment."""
    if play.client == "codex" or env.get("AGENT_SYNC_ID"):
        return False
    session = session_in(sent)
    return bool(session) and session != env.get(VARIABLES[play.client])


def session_in(sent: bytes) -> str:
    """The session that a payload names."""
    try:
        body = json.loads(sent)
    except ValueError:
        body = None
    session = body.get("session_id") if isinstance(body, dict) else None
    return session if isinstance(session, str) else ""


# ---------------------------------------------------------------- payloads that could be read in two ways
MINE, BOBS = "src/app.py", "app.py"
EVE = "e4e4e4e4-1111-4222-8333-0000000004e4"
"""A session that holds nothing, so that my file is not hers."""


class Raw(str):
    """A piece of JSON as it is."""


class Spelled(str):
    """A key with one of its characters written as an escape."""


class Doubtful(Style):
    """Spells raw pieces as they are, and some keys with an escape."""

    def text(self, value: Any) -> str:
        if isinstance(value, Raw):
            return str(value)
        if isinstance(value, Spelled):
            return f'"\\u{ord(value[0]):04x}{value[1:]}"'
        return super().text(value)


@st.composite
def ambiguous(draw: st.DrawFn, top: Path) -> bytes:
    """Several tool inputs, paths and sessions in one payload, one of which counts."""
    path = st.sampled_from([f"{top}/{MINE}", f"{top}/{MINE}", f"{top}/{BOBS}", "", "x"])

    def spelled(name: str) -> st.SearchStrategy[str]:
        return st.sampled_from([name, name, name, Spelled(name)])

    def nested(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        return st.lists(st.tuples(spelled("tool_input") | spelled("x"), inner), min_size=1, max_size=2)

    plain = st.tuples(spelled("file_path"), path).map(lambda pair: [pair, ("old_string", "a")])
    arguments = st.one_of(
        plain,
        st.lists(
            st.tuples(spelled("file_path") | spelled("path") | st.just("old_string"), path), min_size=1, max_size=3
        ),
    )
    text = arguments.map(lambda given: Raw(json.dumps(Style(",", ":", False, False, "").text([("tool_input", given)]))))
    session = st.sampled_from([SESSION, SESSION, EVE, ""])
    pairs = st.one_of(
        st.tuples(spelled("session_id") | st.just("sessionId"), session),
        st.tuples(spelled("tool_input"), arguments),
        st.tuples(spelled("tool_input"), st.sampled_from([None, 1, "x", ["file_path"]])),
        st.tuples(st.just("x"), text),
        st.tuples(st.just("x"), nested(arguments) | session),
        st.tuples(st.just('x"tool_input'), arguments),
        st.tuples(st.just("tool_name"), st.sampled_from(["Edit", "Read"])),
    )
    usual_ones = [("session_id", draw(session)), ("tool_name", "Edit"), ("tool_input", draw(plain))]
    more = draw(st.lists(pairs, max_size=2))
    body = usual_ones + more
    if draw(st.booleans()):
        body = [usual_ones[0], *draw(st.permutations(body[1:]))]
    gaps = draw(st.sampled_from([(",", ":"), (", ", ": ")]))
    return Doubtful(*gaps, False, False, "").text(body).encode()


@pytest.fixture(scope="module")
def divided(ground: Path) -> Play:
    """I hold one file, bob the other."""
    play = Play(ground / "divided", "main", AVAILABLE[0], link=False)
    play.lock("me", "top", MINE, False, False)
    play.lock("bob", "top", BOBS, False, False)
    return play


@given(data=st.data(), shell=st.sampled_from(AVAILABLE), named=st.booleans())
@LAW
def test_the_gate_reads_a_payload_as_python_does_or_not_at_all(
    divided: Play, data: st.DataObject, shell: str, named: bool
) -> None:
    sent = data.draw(ambiguous(divided.top))
    divided.gate.shell = shell
    env = {"PATH": f"/usr/bin:/bin:{divided.root}", **({"AGENT_SYNC_ID": ME} if named else {})}
    if divided.ask_gate("pre-tool-use", sent, env):
        event("allowed by the gate")
        assert divided.ask_python("pre-tool-use", sent, env) == ""


@pytest.fixture(scope="module")
def divided_codex(ground: Path) -> Play:
    """The same for a session of Codex."""
    play = Play(ground / "divided-codex", "main", AVAILABLE[0], link=False, client="codex")
    play.lock("me", "top", MINE, False, False)
    play.lock("bob", "top", BOBS, False, False)
    return play


@given(data=st.data(), shell=st.sampled_from(AVAILABLE), where=st.sampled_from(["{top}", "{top}", "{top}/src", "/"]))
@LAW
def test_the_gate_reads_a_patch_as_python_does_or_not_at_all(
    divided_codex: Play, data: st.DataObject, shell: str, where: str
) -> None:
    path = data.draw(st.sampled_from([MINE, MINE, "app.py", "./app.py", "src/../app.py"]))
    patch = data.draw(patches(path, "{top}/" + data.draw(st.sampled_from([MINE, BOBS]))))
    pairs = [("tool_name", "apply_patch"), ("tool_input", [("command", patch)]), ("tool_use_id", "call_1")]
    extra = st.sampled_from([("cwd", "{top}"), ("tool_name", "Bash"), ("tool_input", [("command", "x")]), ("x", patch)])
    for pair in data.draw(st.lists(extra, max_size=1)):
        pairs.insert(data.draw(st.integers(0, len(pairs))), pair)
    body = [("session_id", SESSION), ("cwd", where), *pairs]
    style = Style(",", ":", False, False, "")
    sent = written({"body": body, "style": style, "decoy": BOBS, "spoiled": [], "at": 0}, divided_codex)
    divided_codex.gate.shell = shell
    env = {"PATH": f"/usr/bin:/bin:{divided_codex.root}"}
    if divided_codex.ask_gate("pre-tool-use", sent, env):
        event("allowed by the gate")
        assert divided_codex.ask_python("pre-tool-use", sent, env) == "", sent.decode()


# ---------------------------------------------------------------- stories that broke the law once
@pytest.fixture
def stage(ground: Path) -> Iterator[Any]:
    """Opens a play; tells whether the gate keeps the law at its end."""
    root = ground / str(next(_serial))

    def play(layout: str = "main", link: bool = False) -> Play:
        return Play(root, layout, "dash", link)

    yield play
    shutil.rmtree(root, ignore_errors=True)


def keeps_the_law(play: Play, path: str | Path, session: str = SESSION, name: str = "pre-tool-use", **env: str) -> bool:
    """Whether the gate asks Python about an edit, or Python has nothing to say."""
    sent = payload(play.top / path, session=session, cwd=str(play.top))
    env = {"PATH": f"/usr/bin:/bin:{play.root}", **env}
    return not play.ask_gate(name, sent, env) or play.ask_python(name, sent, env) == ""


def test_alone_here_but_not_in_the_nested_repository(stage: Any) -> None:
    """Whoever writes to the inner board tells the outer one that it has a neighbour."""
    play = stage()
    play.register("me", "top")
    play.lock("bob", "nested", "app.py", False, False)
    assert keeps_the_law(play, "nested/app.py", CLAUDE_CODE_SESSION_ID=SESSION)
    assert keeps_the_law(play, "nested/app.py")


@pytest.mark.parametrize("path", ["../sibling/app.py", "out/app.py"])
def test_alone_here_but_not_next_door_the_second_edit_keeps_the_law(stage: Any, path: str) -> None:
    """The first is let through unseen, and found afterwards."""
    play = stage()
    play.register("me", "top")
    play.lock("bob", "sibling", "app.py", False, False)
    target = play.root / "sibling/app.py" if path.startswith("..") else path
    assert keeps_the_law(play, target), "no variable names the session, so the payload is read"
    play.ask_python(
        "post-tool-use",
        payload(play.top / target, "PostToolUse", cwd=str(play.top)),
        {"CLAUDE_CODE_SESSION_ID": SESSION},
    )
    assert keeps_the_law(play, target, CLAUDE_CODE_SESSION_ID=SESSION)


def test_the_environment_names_another_session_than_the_payload(stage: Any) -> None:
    """A client that sets no variable of its own, started from a shell of Claude Code: it has registered by then."""
    play = stage()
    play.lock("me", "top", "src/app.py", False, False)
    play.register("bob", "top")
    other = "ffffffff-1111-4222-8333-0123456789ff"
    assert keeps_the_law(play, "src/app.py", session=other, CLAUDE_CODE_SESSION_ID=SESSION)


@pytest.mark.parametrize("session", [s for s in ODD_SESSIONS if s])
def test_a_session_id_that_only_looks_like_a_uuid_is_somebody_else(stage: Any, session: str) -> None:
    play = stage()
    play.register("bob", "top")
    play.lock("me", "top", "src/app.py", False, False)
    assert keeps_the_law(play, "src/app.py", session=session)


def test_the_configuration_was_replaced_by_an_older_file(stage: Any) -> None:
    play = stage()
    play.register("bob", "top")
    play.configure("top", "auto_lock = false\n")
    play.wait(1)
    play.refresh("me", "top")
    assert keeps_the_law(play, "src/app.py")
    play.restore("top", 'paths.required = ["src/**"]\n')
    assert keeps_the_law(play, "src/app.py")


def test_each_worktree_has_a_configuration_and_the_main_one_none(stage: Any) -> None:
    play = stage("worktree")
    other = play.main / ".git/worktrees/other"
    shutil.copytree(play.main / ".git/worktrees/wt", other)
    (play.root / "other/.claude").mkdir(parents=True)
    (play.root / "other/.git").write_text(f"gitdir: {other}\n")
    (play.root / "other/.claude/agent-sync.toml").write_text("auto_lock = false\n")
    play.configure("top", '[paths]\nrequired = ["src/**"]\n')
    for tree in ("other", "wt"):
        os.utime(play.root / tree / ".claude/agent-sync.toml", (1000, 1000))
    play.register("bob", "top")
    bob = play.player("bob", "top")
    bob.runtime._cwd = str(play.root / "other")
    care.refresh(bob.session)
    assert keeps_the_law(play, "src/app.py")


def test_without_git_a_board_below_is_the_nearer_one(stage: Any) -> None:
    play = stage("no git")
    play.register("me", "top")
    play.register("bob", "top")
    shutil.rmtree(play.main / "nested/.claude")
    play.lock("me", "top", "nested/app.py", False, False)
    (play.main / "nested/.claude/coordination").mkdir(parents=True)
    play.lock("bob", "nested", "app.py", False, False)
    assert keeps_the_law(play, "nested/app.py")


def test_a_link_hides_the_repository_above(stage: Any) -> None:
    play = stage("subdirectory by a link")
    play.lock("bob", "main", "package/src/app.py", False, False)
    state = play.top / ".claude/coordination"
    (state / "agents").mkdir(parents=True)
    (state / f"agents/{ME}.json").write_text("{}")
    (state / "python").write_text(f"{play.stub}\n")
    assert keeps_the_law(play, "src/app.py")


def test_an_edit_of_the_nested_repository_itself(stage: Any) -> None:
    play = stage()
    play.register("bob", "top")
    (play.main / "nested").rename(play.main / "away")
    play.lock("me", "top", "nested", False, False)
    (play.main / "away").rename(play.main / "nested")
    play.lock("bob", "nested", ".", False, False)
    assert keeps_the_law(play, "nested")


# ---------------------------------------------------------------- names
plain_paths = (
    st.tuples(
        st.sampled_from(["", "", ".", "..", "a."]),
        st.lists(
            st.text(string.ascii_letters + string.digits + "._+@=,-", min_size=1, max_size=24).filter(
                lambda part: part not in (".", "..")
            ),
            min_size=1,
            max_size=6,
        ),
    )
    .map(lambda parts: parts[0] + "/".join(parts[1]))
    .filter(lambda path: len(encode(path)) <= 170 and not encode(path).startswith("~") and not path.startswith("@"))
)


@pytest.fixture(scope="module")
def shelf(ground: Path) -> Play:
    play = Play(ground / "shelf", "main", AVAILABLE[0], link=False)
    play.register("me", "top")
    play.register("bob", "top")
    return play


@given(path=plain_paths, shell=st.sampled_from(AVAILABLE))
@LAW
def test_the_gate_finds_my_lock_under_the_name_that_the_package_gives_it(shelf: Play, path: str, shell: str) -> None:
    shelf.gate.shell = shell
    lock = shelf.main / f".claude/coordination/locks/{encode(path)}.json"
    lock.write_text(f'{{\n  "holder": "{ME}",\n}}\n')
    try:
        assert shelf.ask_gate("pre-tool-use", payload(shelf.top / path), {"PATH": "/usr/bin:/bin"})
    finally:
        lock.unlink()


@given(path=plain_paths, shell=st.sampled_from(AVAILABLE), data=st.data())
@LAW
def test_the_gate_finds_the_lock_on_any_directory_above(
    shelf: Play, path: str, shell: str, data: st.DataObject
) -> None:
    shelf.gate.shell = shell
    above = ["./", f"{path}/", *(path[: i + 1] for i, char in enumerate(path) if char == "/")]
    own = shelf.main / f".claude/coordination/locks/{encode(path)}.json"
    other = shelf.main / f".claude/coordination/locks/{encode(data.draw(st.sampled_from(above)))}.json"
    own.write_text(f'{{\n  "holder": "{ME}",\n}}\n')
    other.write_text("{}")
    try:
        assert not shelf.ask_gate("pre-tool-use", payload(shelf.top / path), {"PATH": "/usr/bin:/bin"})
    finally:
        own.unlink()
        other.unlink()


def test_the_gate_spells_a_name_as_the_package_does_up_to_the_longest(shelf: Play) -> None:
    for path in (
        "d" * 170,
        "d" * 171,
        ".d" + "d" * 166,
        "d/" * 42 + "d",
        "d/" * 43 + "d",
        "a" * 179,
        "a" * 180,
        "a" * 181,
    ):
        sent = payload(shelf.top / path)
        shelf.lock("bob", "top", path, False, False)
        assert not shelf.ask_gate("pre-tool-use", sent, {"PATH": "/usr/bin:/bin"})
        shelf.unlock("bob", "top", path)


def test_the_gate_under_test_is_the_one_that_is_shipped() -> None:
    assert GATE.read_text().startswith("#!/bin/sh\n")
