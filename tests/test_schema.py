"""The code, the schemas, the fixtures and FORMAT.md say the same.

One story (`tell`) makes every file that the format knows. Its records are the valid fixtures, byte for byte; FORMAT.md
shows some of them and must name every file. After a change that is meant:

    python schema/generate.py && python tests/test_schema.py      writes schemas, fixtures and the samples in FORMAT.md
"""

from __future__ import annotations

import errno
import json
import pkgutil
import re
import runpy
import shutil
import subprocess
import tempfile
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import pytest
from world import ClockFiles, ManualRuntime, Player, World, git

from agentsync.clients import claude
from agentsync.core.changes import Put
from agentsync.core.keys import agent as agent_key
from agentsync.core.locks import Conflict, Granted, Request
from agentsync.core.paths import Target, encode_target
from agentsync.core.progress import Says
from agentsync.core.records import KINDS, Record
from agentsync.errors import DamagedRecordError, NewerRecordError
from agentsync.ops import (
    agents,
    background,
    care,
    commands,
    decisions,
    edits,
    feed,
    install,
    locks,
    mail,
    remote,
    requests,
    running,
    tasks,
    waiting,
)
from agentsync.store import codec, setup
from agentsync.store.activity import Line
from agentsync.store.compact import KEEP
from agentsync.store.watched import Sighting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TOP = Path(__file__).resolve().parent.parent
SCHEMA = TOP / "schema"
VALID, INVALID = SCHEMA / "fixtures/valid", SCHEMA / "fixtures/invalid"
FORMAT = SCHEMA / "FORMAT.md"
SCHEMAS: dict[str, Any] = {
    path.name.split(".")[0]: json.loads(path.read_bytes()) for path in SCHEMA.glob("*.schema.json")
}


# ---------------------------------------------------------------- the story
class StoryRuntime(ManualRuntime):
    """A machine on which nothing is random."""

    host = "build-7"
    pid = 4300
    python = "/usr/bin/python3"
    drawn = 0

    def random_id(self, length: int) -> str:
        StoryRuntime.drawn += 1
        return f"{'k3vq7xw2mz'[: length - 2]}{StoryRuntime.drawn:02}"[-length:]


class StoryFiles(ClockFiles):
    """Files that need not outlive a power cut."""

    def write_temp(self, data: bytes, sync: bool) -> str:
        return super().write_temp(data, sync=False)

    def sync_directory(self, key: str) -> None:
        pass


class BrokenDisk(StoryFiles):
    """A disk that fails after the commit point: the change will happen, but not yet."""

    def replace(self, temp: str, key: str) -> None:
        raise OSError(errno.EIO, "Input/output error", key)


class Story(NamedTuple):
    """What the story left."""

    world: World
    state: Path
    samples: dict[str, bytes]
    """Fixtures by name: files as they stood, with what is this machine's own replaced."""


LONG = "vendor/" + "/".join(["a-directory-with-quite-a-long-name"] * 6) + "/file.c"

PLACES = {
    "format.json": "format.json",
    "agent.json": "agents/claude-3d4e5f60.json",
    "agent-guest.json": "agents/gil.{machine}.json",
    "agent-in-a-worktree.json": "agents/cleo.json",
    "agent-ended-with-a-lock.json": "agents/erin.json",
    "agent-gone.json": "agents/past/dan.json",
    "lock-file.json": "locks/src%2Fapi%2Fauth.py.json",
    "lock-directory.json": "locks/migrations%2F.json",
    "lock-pattern.json": "locks/globs/src%2F%2A%2A%2F%2A.sql.json",
    "lock-resource.json": "locks/@db-migrations.json",
    "lock-shared.json": "locks/shared/docs%2Fguide.md~bob.json",
    "lock-by-an-edit.json": "locks/src%2Fapp.py.json",
    "lock-everywhere.json": "locks/VERSION.json",
    "lock-of-a-command.json": "locks/dist%2F.json",
    "lock-with-a-long-name.json": f"locks/{encode_target('file', LONG)}.json",
    "lock-in-a-worktree.json": "locks/worktrees/feature/src%2Fapp.py.json",
    "lock-on-all-machines.json": "locks/assets%2Ficons%2F.json",
    "lock-of-a-guest.json": "locks/assets%2Flogo.svg.json",
    "task.json": "tasks/{task}.json",
    "message.json": "messages/{told}.json",
    "message-notice.json": "inbox/bob/{takeover}.json",
    "message-to-all.json": "inbox/bob/later/{send}.json",
    "message-request.json": "inbox/bob/{request}.json",
    "decision.json": "decisions/{decision}.json",
    "waiter.json": "queue/{wait}-cleo.json",
    "waiter-request.json": "queue/{request}-claude-3d4e5f60.json",
    "installation.json": "installed/claude.json",
    "link.json": "remote/link.json",
    "board.json": "remote/board.json",
    "machine.json": "remote/machines/{machine}.json",
    "event-lock.json": "log/{lock}.json",
    "event-takeover.json": "log/{takeover}.json",
    "event-force-unlock.json": "log/{force-unlock}.json",
    "event-end.json": "log/{end}.json",
    "event-repair.json": "log/{repair}.json",
    "event-claim-task.json": "log/{claim-task}.json",
    "event-entry.json": "log/{log}.json",
    "activity.ndjson": "activity/cleo.ndjson",
    "watched.ndjson": "watched/bob/pending.ndjson",
}
"""Where in the story's directory the fixtures stand; `{verb}` is the revision of the last event with this verb."""


def tell(scratch: Path) -> Story:
    """Play the story."""
    StoryRuntime.drawn = 0
    world = World(scratch, config="ttl_minutes = 60\n")
    git("worktree", "add", "-q", "-b", "feature", "../feature", cwd=world.root)
    linked = scratch / "feature"

    def player(cwd: Path = world.root, **env: str) -> Player:
        files = StoryFiles(str(world.state), world.clock)
        return Player(StoryRuntime(world.clock, world.machine, env, str(cwd)), files)

    world.machine.start(4242, at=88123)
    world.machine.start(4300, at=88200)
    ada = player(CLAUDE_CODE_SESSION_ID="7d3f5a0e-4c1b-4f6e-9a57-1b2c3d4e5f60", CLAUDE_PID="4242")
    bob, dan, erin = (player(AGENT_SYNC_ID=name) for name in ("bob", "dan", "erin"))
    cleo = player(linked, AGENT_SYNC_ID="cleo")

    ada.registers("backend", "api")
    ada.has_edited("src/app.py")
    world.clock.advance(minutes=2)
    bob.registers()
    install.install(ada.session, claude)
    install.install(cleo.session, claude)
    dan.registers()
    dan.locks("notes.txt")
    dan.ends(release_all=True)
    erin.locks("CHANGES")
    erin.ends()

    ada.locks("migrations/", "src/**/*.sql", "@db-migrations", ".env.example", "./@types/x.d.ts", LONG)
    ada.locks("docs/guide.md", "notes/*.md", shared=True)
    bob.locks("docs/guide.md", shared=True)
    ada.locks("src/api/auth.py", reason="new login endpoint", task="t-7k3f", ttl_minutes=90)
    cleo.locks("src/app.py", "*.toml")
    cleo.locks("docs/guide.md", shared=True)
    cleo.locks("VERSION", everywhere=True)
    assert isinstance(running.hold(bob.session, ["dist/"], reason="make dist"), running.Hold)
    cleo.edits("src/api/auth.py")
    cleo.has_edited("src/api/auth.py")

    bob.locks("README.md")
    world.clock.advance(minutes=16)
    ada.beats()
    assert isinstance(ada.locks("README.md"), Granted)
    bob.locks("src/db.py")
    ada.unlocks("src/db.py", force=True)
    _talk(ada, bob, cleo)
    _run_commands(world, ada, bob)
    _share(world, ada, player)
    (world.state / "locks/@db-migrations.json").write_bytes(bytes(80))
    assert isinstance(bob.locks("@db-migrations"), Conflict)
    setup.mark_neighbours(str(world.state))
    care.note_failure(ada.session, "hook pre-tool-use failed open: the guard could not be had in 2 s")

    samples = {name: _sample(world, place) for name, place in PLACES.items()}
    _make_history(ada)
    with pytest.raises(OSError, match="Input/output error"):
        Player(bob.runtime, BrokenDisk(str(world.state), world.clock)).locks("late.txt")
    return Story(world, world.state, samples)


def _talk(ada: Player, bob: Player, cleo: Player) -> None:
    """Work and words: a task, mail, a decision, an entry, somebody in line, a request."""
    first = tasks.create(ada.session, Says(title="Login endpoint", description="POST /login", files=("src/api/",)))
    second = tasks.create(bob.session, Says(title="Login form", priority=3, depends_on=(first.id,)))
    tasks.claim(ada.session, first.id)
    tasks.checkpoint(ada.session, first.id, "the route is there, the tests are missing")
    tasks.note(bob.session, second.id, "waits for the endpoint")
    told = mail.send(bob.session, "backend", "does the endpoint take JSON?")
    mail.read_message(ada.session, told.id)
    old = decisions.decide(bob.session, "Times are local")
    decisions.decide(ada.session, "All times are UTC", supersedes=old.id)
    feed.record(bob.session, "built the docs", files=["docs/guide.md"])
    bob.locks("src/form.py")
    requests.request(ada.session, "src/form.py", "two lines, then it is yours again")
    mail.send(ada.session, "all", "the endpoint takes JSON only")
    wanted = Request(targets=(Target(scope="file", path="src/form.py"),), ttl_s=3600, reason="the cookie")
    place = waiting.join(cleo.session, locks.in_turn(wanted), 600)
    assert isinstance(place, waiting.Place)


def _share(world: World, ada: Player, player: Callable[..., Player]) -> None:
    """A board shared with another clone, with a lock from either."""
    hub, other = world.root.parent / "hub.git", world.root.parent / "other"
    git("init", "-q", "--bare", str(hub), cwd=world.root)
    git("clone", "-q", str(world.root), str(other), cwd=world.root)
    gil = Player(StoryRuntime(world.clock, world.machine, {"AGENT_SYNC_ID": "gil"}, str(other)), None)
    remote.add(gil.session, str(hub))
    assert isinstance(gil.locks("assets/logo.svg", remote=True, reason="a new colour"), Granted)
    remote.add(ada.session, str(hub))
    remote.remove(ada.session)
    remote.add(ada.session, str(hub))
    assert isinstance(ada.locks("assets/icons/", remote=True), Granted)
    background.note(ada.session, f"{hub} could not be reached: no answer in 20 s")


def _run_commands(world: World, ada: Player, bob: Player) -> None:
    """A command that changes what somebody else holds, and one that runs still."""
    held = world.root / "src/api/auth.py"
    held.parent.mkdir(parents=True)
    held.write_text("def login(): ...\n")
    ada.beats()
    for text in ("def login(): return None\n", None):
        assert isinstance(commands.before(bob.session, "make"), edits.Allowed)
        if text is not None:
            held.write_text(text)
            assert [damage.path for damage in commands.after(bob.session, "make")] == ["src/api/auth.py"]


def _sample(world: World, place: str) -> bytes:
    """A file of the story, with the machine's paths and inode, and the installer's hash, replaced by fixed ones."""
    last: dict[str, str] = {}
    for path in sorted((world.state / "log").iterdir()):
        last[json.loads(path.read_bytes())["verb"]] = path.stem
    titles = {json.loads(path.read_bytes())["title"]: path.stem for path in (world.state / "tasks").iterdir()}
    last["task"] = titles["Login endpoint"]
    last["machine"] = next((world.state / "remote/machines").iterdir()).stem
    last["told"] = min(path.stem for path in (world.state / "messages").iterdir())
    text = (world.state / place.format_map(last)).read_text("utf-8")
    for real, shown in ((world.root, "/home/ada/shop"), (world.root.parent, "/home/ada")):
        text = text.replace(str(real), shown)
    text = re.sub(r'("version": ")[0-9a-f]{40}', rf"\g<1>{'c3' * 20}", text)
    text = re.sub(r'("inode": ?)\d+', r"\g<1>4194309", text)
    text = re.sub(r'("mtime_ns":)\d+', r"\g<1>1893499260000000000", text)
    return re.sub(r'("written_sha256": ")[0-9a-f]{64}', rf"\g<1>{'5e' * 32}", text).encode()


def _make_history(player: Player) -> None:
    """More events than the log keeps, and the compaction that they call for."""
    session = player.session
    with session.store.transaction(player.id) as tx:
        for _ in range(KEEP):
            tx.commit("update", "again", [Put(agent_key(player.id), agents.ensure(session, tx))])
    assert care.gc(player.session).archived > 1


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    return tell(tmp_path_factory.mktemp("story"))


# ---------------------------------------------------------------- what must be refused
GONE = object()

SPOILED: dict[str, tuple[str, object]] = {
    "activity-no-path.ndjson": ("path", GONE),
    "activity-path-is-a-list.ndjson": ("path", ["src/app.py"]),
    "activity-time-is-a-number.ndjson": ("at", 1893499200),
    "agent-id-has-a-slash.json": ("id", "../bob"),
    "agent-id-has-capitals.json": ("id", "Bob"),
    "agent-kind-is-lock.json": ("kind", "lock"),
    "agent-no-last-seen.json": ("last_seen", GONE),
    "agent-pid-is-text.json": ("pid", "4242"),
    "agent-time-without-zone.json": ("created_at", "2030-01-01T12:00:00"),
    "event-carries-a-lock-without-ttl.json": ("changes", [{"put": "locks/a.json", "record": {"kind": "lock", "v": 1}}]),
    "event-changes-is-an-object.json": ("changes", {}),
    "event-no-changes.json": ("changes", GONE),
    "event-revision-is-text.json": ("rev", "22"),
    "event-revision-is-zero.json": ("rev", 0),
    "format-inode-is-text.json": ("inode", "4194309"),
    "format-no-store.json": ("store", GONE),
    "installation-made-is-text.json": ("made", "/home/ada/shop/.claude/hooks"),
    "installation-no-original.json": ("original", GONE),
    "lock-expires-never.json": ("expires_at", None),
    "lock-everywhere-is-text.json": ("everywhere", "yes"),
    "lock-holder-is-null.json": ("holder", None),
    "lock-kind-unknown.json": ("kind", "lease"),
    "lock-mode-unknown.json": ("mode", "intent"),
    "lock-no-token.json": ("token", GONE),
    "lock-process-is-a-number.json": ("process", 4300),
    "lock-scope-unknown.json": ("scope", "line"),
    "lock-time-is-a-number.json": ("acquired_at", 1893499200),
    "lock-ttl-is-a-fraction.json": ("ttl_s", 0.5),
    "lock-ttl-is-zero.json": ("ttl_s", 0),
    "lock-version-is-zero.json": ("v", 0),
    "message-body-is-a-list.json": ("body", ["read the file again"]),
    "message-no-sender.json": ("from", GONE),
    "message-reader-has-no-name.json": ("readers", [{"agent": "bob"}]),
    "task-files-is-text.json": ("files", "src/api/"),
    "task-no-title.json": ("title", GONE),
    "task-owner-has-a-slash.json": ("owner", "../bob"),
    "task-priority-is-text.json": ("priority", "high"),
    "task-status-unknown.json": ("status", "halfway"),
    "decision-no-author.json": ("by", GONE),
    "decision-text-is-a-list.json": ("text", ["All times are UTC"]),
    "waiter-target-has-no-path.json": ("targets", [{"scope": "file"}]),
    "waiter-wants-unknown.json": ("wants", "tea"),
    "board-serial-is-zero.json": ("serial", 0),
    "link-no-machine.json": ("machine", GONE),
    "machine-agents-is-text.json": ("agents", "gil"),
    "watched-no-path.ndjson": ("real", GONE),
    "watched-size-is-text.ndjson": ("size", "17"),
}
"""Invalid fixtures: one field of the kind's main sample is gone or has another value."""

TORN = {
    "activity-torn.ndjson": lambda data: data[:40] + b"\n",
    "event-cut-short.json": lambda data: data[:100],
    "lock-empty.json": lambda _: b"",
    "lock-in-latin-1.json": lambda data: data.replace(b"new login", b"n\xe9w login"),
    "lock-in-an-array.json": lambda data: b"[\n" + data + b"]\n",
    "lock-nothing-but-zeros.json": lambda data: bytes(len(data)),
}
"""Invalid fixtures that are no JSON, or no object: what a power cut or an editor leaves."""


LINES: dict[str, type[msgspec.Struct]] = {"activity": Line, "watched": Sighting}
"""What is kept in lines, without a kind."""

MAIN = {"lock": "lock-file.json", "event": "event-lock.json"}
"""The main samples of kinds that have several."""


def spoiled() -> dict[str, bytes]:
    """The invalid fixtures, made of valid ones."""
    found = {}
    for name in (*SPOILED, *TORN):
        kind = kind_of(Path(name))
        main = (VALID / MAIN.get(kind, f"{kind}{Path(name).suffix}")).read_bytes()
        if name in TORN:
            found[name] = TORN[name](main)
            continue
        field, value = SPOILED[name]
        record = {**json.loads(main.splitlines()[0] if kind in LINES else main), field: value}
        text = json.dumps({k: v for k, v in record.items() if v is not GONE}, indent=None if kind in LINES else 2)
        found[name] = f"{text}\n".encode()
    return found


# ---------------------------------------------------------------- a validator for what our schemas use
TELLING = {"$schema", "$id", "$defs", "title", "description", "default", "discriminator"}
DEMANDING = {"$ref", "type", "properties", "required", "items", "enum", "const", "anyOf", "oneOf", "minimum", "pattern"}
KEYWORDS = {*TELLING, *DEMANDING, "format"}

TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "boolean": (bool,),
    "null": (type(None),),
}


def complaints(value: Any, schema: dict[str, Any], top: dict[str, Any], at: str = "$") -> Iterator[str]:
    """What is wrong with a value, by the keywords that our schemas use and no others."""
    assert schema.keys() <= KEYWORDS, f"{at}: a keyword that this validator does not know"
    if "$ref" in schema:
        yield from complaints(value, _resolve(schema["$ref"], top), top, at)
    wanted = schema.get("type")
    if wanted and (not isinstance(value, TYPES[wanted]) or (wanted == "integer" and isinstance(value, bool))):
        yield f"{at}: no {wanted}"
        return
    for word in ("anyOf", "oneOf"):
        fitting = [s for s in schema.get(word, ()) if not list(complaints(value, s, top, at))]
        if word in schema and (not fitting or (word == "oneOf" and len(fitting) > 1)):
            yield f"{at}: fits {len(fitting)} of {len(schema[word])} alternatives"
    if "const" in schema and value != schema["const"]:
        yield f"{at}: not {schema['const']!r}"
    if "enum" in schema and value not in schema["enum"]:
        yield f"{at}: none of {schema['enum']}"
    if "minimum" in schema and value < schema["minimum"]:
        yield f"{at}: less than {schema['minimum']}"
    if "pattern" in schema and not re.search(schema["pattern"], value):
        yield f"{at}: not like {schema['pattern']}"
    if schema.get("format") == "date-time" and not _is_time(value):
        yield f"{at}: no time with a zone"
    if isinstance(value, dict):
        yield from (f"{at}: no {name}" for name in schema.get("required", ()) if name not in value)
        for name, inner in schema.get("properties", {}).items():
            if name in value:
                yield from complaints(value[name], inner, top, f"{at}.{name}")
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from complaints(item, schema.get("items", {}), top, f"{at}[{index}]")


def _resolve(ref: str, top: dict[str, Any]) -> dict[str, Any]:
    assert ref.startswith("#/$defs/"), f"{ref} leads out of the file"
    found: dict[str, Any] = top["$defs"][ref.removeprefix("#/$defs/")]
    return found


def _is_time(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).tzinfo is not None and "T" in text
    except ValueError:
        return False


def wrong(data: bytes, kind: str) -> list[str]:
    """What the schema says against a file, a line of it at a time where it has lines."""
    try:
        values = [json.loads(line) for line in (data.splitlines() if kind in LINES else [data])]
    except ValueError as error:
        return [str(error)]
    return [complaint for value in values for complaint in complaints(value, SCHEMAS[kind], SCHEMAS[kind])]


def decoded(data: bytes, kind: str) -> list[msgspec.Struct]:
    """What the code reads from a file: its record and, for an event, those that it carries."""
    if kind in LINES:
        return [msgspec.json.decode(line, type=LINES[kind]) for line in data.splitlines()]
    record = codec.decode(data, KINDS[kind], "a file")
    found: list[msgspec.Struct] = [record]
    for change in getattr(record, "changes", ()):
        if change.put is not None:
            carried = bytes(change.record)
            found.append(codec.decode(carried, KINDS[codec.envelope(carried).kind], "a file"))
    return found


def kind_of(path: Path) -> str:
    """The kind that a fixture is, or ought to be: the first word of its name."""
    return re.split(r"[-.]", path.name)[0]


# ---------------------------------------------------------------- schemas
def test_the_schemas_are_what_the_code_says() -> None:
    generate = runpy.run_path(str(SCHEMA / "generate.py"))
    assert generate["main"](["--check"]) == 0, "python schema/generate.py"


def test_every_kind_of_record_has_a_schema_and_nothing_else_has() -> None:
    assert SCHEMAS.keys() == {*KINDS, *LINES}


@pytest.mark.parametrize("kind", sorted(SCHEMAS))
def test_a_schema_says_what_it_is(kind: str) -> None:
    schema = SCHEMAS[kind]
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["$id"] == f"urn:agentsync:schema:{kind}:1"
    assert schema["title"]
    assert schema["description"]
    if kind not in LINES:
        assert list(schema["properties"])[:2] == ["kind", "v"]
        assert schema["properties"]["kind"] == {"const": kind}
        assert "kind" in schema["required"]


@pytest.mark.parametrize("kind", sorted(SCHEMAS))
def test_a_schema_uses_no_keyword_that_is_not_checked_here(kind: str) -> None:
    def walk(schema: dict[str, Any]) -> None:
        assert schema.keys() <= KEYWORDS
        if "$ref" in schema:
            _resolve(schema["$ref"], SCHEMAS[kind])
        inner = [*schema.get("properties", {}).values(), *schema.get("$defs", {}).values(), *schema.get("anyOf", ())]
        for below in [*inner, *([schema["items"]] if "items" in schema else ())]:
            walk(below)

    walk(SCHEMAS[kind])


# ---------------------------------------------------------------- fixtures
def test_the_fixtures_are_what_the_code_writes(story: Story) -> None:
    there = {path.name: path.read_bytes() for path in VALID.iterdir()}
    assert there == story.samples, "python tests/test_schema.py"


def test_an_invalid_fixture_has_one_thing_wrong() -> None:
    assert {path.name: path.read_bytes() for path in INVALID.iterdir()} == spoiled(), "python tests/test_schema.py"


@pytest.mark.parametrize("path", sorted(VALID.iterdir()), ids=lambda path: path.name)
def test_a_valid_fixture_validates_and_decodes(path: Path) -> None:
    data, kind = path.read_bytes(), kind_of(path)
    assert wrong(data, kind) == []
    first, *_ = decoded(data, kind)
    if isinstance(first, Record):
        assert codec.encode(first) == data, "it is not spelled as this version spells it"


@pytest.mark.parametrize("path", sorted(INVALID.iterdir()), ids=lambda path: path.name)
def test_an_invalid_fixture_neither_validates_nor_decodes(path: Path) -> None:
    data, kind = path.read_bytes(), kind_of(path)
    assert wrong(data, kind)
    with pytest.raises((DamagedRecordError, msgspec.MsgspecError)):
        decoded(data, kind)


def test_every_kind_has_fixtures_of_both_sorts() -> None:
    for folder in (VALID, INVALID):
        assert {kind_of(path) for path in folder.iterdir()} == SCHEMAS.keys()


RECORDS = sorted(VALID.glob("*.json"))


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.name)
def test_unknown_fields_and_newer_versions_are_read_as_far_as_we_know_them(path: Path) -> None:
    kind = kind_of(path)
    value = {**json.loads(path.read_bytes()), "a-field-of-tomorrow": {"deep": [1]}, "v": 2}
    data = json.dumps(value).encode()
    assert wrong(data, kind) == []
    assert decoded(data, kind)


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.name)
def test_a_newer_record_that_we_cannot_read_is_not_called_damaged(path: Path) -> None:
    kind = kind_of(path)
    value = {"kind": kind, "v": 2, "all": "is new"}
    with pytest.raises(NewerRecordError):
        decoded(json.dumps(value).encode(), kind)


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.name)
def test_a_field_that_may_be_missing_has_the_default_that_its_schema_says(path: Path) -> None:
    kind, value = kind_of(path), json.loads(path.read_bytes())
    properties = SCHEMAS[kind]["properties"]
    for name in value.keys() - set(SCHEMAS[kind]["required"]):
        (record, *_) = decoded(json.dumps({**value, name: properties[name]["default"]}).encode(), kind)
        assert decoded(json.dumps({k: v for k, v in value.items() if k != name}).encode(), kind)[0] == record


# ---------------------------------------------------------------- FORMAT.md
def _document() -> str:
    return FORMAT.read_text("utf-8")


def _section(title: str) -> str:
    """A section of FORMAT.md with its subsections."""
    found = re.search(rf"^(#+) {re.escape(title)}\n(.*?)(?=^#{{1,2}} |\Z)", _document(), re.M | re.S)
    assert found is not None, f"FORMAT.md has no section {title!r}"
    return found[2]


SAMPLE = re.compile(r"(?<=\[fixtures/valid/)([^\]]+)(\]\([^)]+\):\n```json\n)(.*?)(?=```\n)", re.S)


def test_the_samples_in_the_document_are_fixtures() -> None:
    shown = {match[1]: match[3] for match in SAMPLE.finditer(_document())}
    assert len(shown) == _document().count("```json"), "a sample is not said to be a fixture"
    for name, text in shown.items():
        assert text == (VALID / name).read_text("utf-8"), f"{name}: python tests/test_schema.py"
    assert {kind_of(Path(name)) for name in shown} == SCHEMAS.keys(), "each kind has a sample"


@pytest.mark.parametrize("kind", sorted(SCHEMAS))
def test_the_document_describes_every_field_in_the_order_of_the_file(kind: str) -> None:
    title = f"Lines of an? {kind} file" if kind in LINES else kind.capitalize()
    section = re.search(rf"^### {title}[^\n]*\n(.*?)(?=^##)", _document(), re.M | re.S)
    assert section is not None
    told = [name for names in re.findall(r"^- `([^`]+)`", section[1], re.M) for name in names.split(", ")]
    assert told == [name for name in SCHEMAS[kind]["properties"] if name not in ("kind", "v")]


def test_the_names_in_the_document_are_what_the_code_makes() -> None:
    rows = re.findall(r"^\| (\w+) \| `([^`]+)` \| `([^`]+)` \|$", _section("Names"), re.M)
    assert len(rows) > 6
    for scope, path, name in rows:
        assert encode_target(scope, path) == name


def test_the_numbers_in_the_document_are_those_of_the_code() -> None:
    rows = re.findall(r"`([\w.]+)` = (\d+)", _section("Numbers"))
    assert len(rows) > 9
    for name, value in rows:
        assert int(value) == pkgutil.resolve_name(f"agentsync.{name}"), name


def test_the_verbs_in_the_document_are_those_of_the_log(story: Story) -> None:
    told = set(re.findall(r"`([a-z-]+)`", re.search(r"^- `verb`:(.*?)^- ", _document(), re.M | re.S)[1]))  # type: ignore[index]
    archived = [line for path in story.state.glob("archive/*") for line in path.read_bytes().splitlines()]
    logged = [path.read_bytes() for path in story.state.glob("log/*")]
    assert {json.loads(data)["verb"] for data in (*archived, *logged)} <= told


def test_the_links_in_the_document_lead_somewhere() -> None:
    links = re.findall(r"\]\((fixtures/[^)]+)\)", _document())
    assert links
    for link in links:
        assert (SCHEMA / link).exists(), link


# ---------------------------------------------------------------- FORMAT.md against a directory
PLACEHOLDERS = {
    "<rev>": r"\d{12}",
    "<first>": r"\d{12}",
    "<last>": r"\d{12}",
    "<name>": r"(?:[A-Za-z0-9._+@=,%-]+|@?~[0-9a-f]{16})",
    "<worktree>": r"[A-Za-z0-9._+@=,%-]+",
    "<id>": r"[a-z0-9][a-z0-9._-]*",
    "<holder>": r"[a-z0-9][a-z0-9._-]*",
    "<task>": r"t-[a-z0-9]+",
    "<client>": r"[a-z]+",
    "<writer>": r"[A-Za-z0-9-]+",
    "<n>": r"\d+",
    "<key>": r"[A-Za-z0-9._+@=,%~-]+",
    "<machine>": r"[a-z0-9]+",
    "<path>": r".+",
    "<time>": r"\d{8}T\d{6}",
    "<random>": r"[a-z0-9]+",
}


def _layout() -> dict[str, re.Pattern[str]]:
    """The places that the document's layout table lists, as patterns; `a[b]c` are two: `ac` and `abc`."""
    places = []
    for place in re.findall(r"^\| `([^`]+)`", _section("Layout"), re.M):
        places += dict.fromkeys((re.sub(r"\[.*\]", "", place), re.sub(r"[\[\]]", "", place)))
    return {
        place: re.compile("".join(PLACEHOLDERS.get(part) or re.escape(part) for part in re.split(r"(<\w+>)", place)))
        for place in places
    }


def _files(state: Path) -> list[str]:
    return sorted(path.relative_to(state).as_posix() for path in state.rglob("*") if path.is_file())


def test_every_file_of_a_directory_is_in_the_layout(story: Story) -> None:
    layout = _layout()
    assert [key for key in _files(story.state) if not any(place.fullmatch(key) for place in layout.values())] == []


def test_every_place_of_the_layout_is_in_a_directory(story: Story) -> None:
    found = _files(story.state)
    assert [place for place, pattern in _layout().items() if not any(map(pattern.fullmatch, found))] == []


def test_every_file_of_a_directory_validates(story: Story) -> None:
    checked = 0
    for key in _files(story.state):
        data = (story.state / key).read_bytes()
        if key.startswith(("tmp/", "quarantine/")):
            continue
        if key.endswith(".json"):
            found = [(codec.envelope(data, key).kind, data)]
        elif key.endswith(".ndjson") and (kind := key.partition("/")[0]) in LINES:
            found = [(kind, data)]
        elif key.startswith("archive/"):
            found = [("event", line) for line in data.splitlines()]
        else:
            continue
        for kind, part in found:
            assert wrong(part, kind) == [], key
            assert decoded(part, kind), key
            checked += 1
    assert checked > KEEP


def test_the_line_that_the_gate_writes_is_an_activity_line(world: World) -> None:
    me = world.agent("me")
    me.registers()
    gate = world.root / ".claude/hooks/agent-sync"
    gate.parent.mkdir()
    shutil.copy(TOP / "hooks/gate", gate)
    payload = json.dumps(
        {"session_id": "s", "tool_name": "Edit", "tool_input": {"file_path": f"{world.root}/src/app.py"}}
    )
    done = subprocess.run(
        ["sh", gate, "post-tool-use"], input=payload, env={"AGENT_SYNC_ID": "me"}, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    data = (world.state / "activity/me.ndjson").read_bytes()
    assert wrong(data, "activity") == []
    (line,) = decoded(data, "activity")
    assert isinstance(line, Line)
    assert (line.verb, line.path, line.worktree) == ("edit", "src/app.py", None)


# ---------------------------------------------------------------- writing it all anew
def rewrite() -> None:
    """Write the fixtures and the samples in FORMAT.md."""
    with tempfile.TemporaryDirectory() as scratch:
        samples = tell(Path(scratch)).samples
    _fill(VALID, samples)
    _fill(INVALID, spoiled())
    if FORMAT.exists():
        FORMAT.write_text(SAMPLE.sub(lambda m: m[1] + m[2] + samples[m[1]].decode(), _document()), "utf-8")


def _fill(folder: Path, files: dict[str, bytes]) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)


if __name__ == "__main__":
    rewrite()
