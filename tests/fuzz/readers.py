"""Every reader of bytes as a function of bytes, with the law that it must keep: for any way of making them.

`test_readers.py` runs them under hypothesis and on what was kept in `corpus/found/`; `atheris_readers.py` lets coverage
choose the bytes.
"""

from __future__ import annotations

import os
import tempfile
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from agentsync import clients
from agentsync.clients import settings_text
from agentsync.core import globs, keys
from agentsync.core.paths import Target, decode, encode, overlap
from agentsync.core.records import KINDS
from agentsync.core.transfer import belongs
from agentsync.core.visible import is_visible
from agentsync.errors import AgentSyncError, DamagedRecordError, NewerRecordError, UsageError
from agentsync.ops import transfer
from agentsync.store import activity, codec, log, refusals, settings
from agentsync.store.files import Files
from agentsync.store.locate import Place, locate, resolve

if TYPE_CHECKING:
    from collections.abc import Callable

MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def record(data: bytes) -> None:
    """The codec: a record or known for what it is; what was read can be written, read again, and shown."""
    codec.is_newer(data)
    try:
        kind = codec.envelope(data).kind
    except (DamagedRecordError, NewerRecordError):
        kind = ""
    for one in [KINDS[kind]] if kind in KINDS else KINDS.values():
        try:
            found = codec.decode(data, one, "here")
        except (DamagedRecordError, NewerRecordError):
            continue
        written = codec.encode(found)
        assert codec.encode(codec.decode(written, one, "here")) == written
        assert all(char == "\n" or is_visible(char) for char in written.decode())


def payload(data: bytes) -> None:
    """What a client hands to a hook, as each of them would mean it."""
    try:
        given = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return  # the hook's own outermost net: `test_hook_payloads` sees what is said then
    if not isinstance(given, dict):
        return
    for name in clients.NAMES:
        for event in (None, "pre-tool-use", "session-end"):
            call = clients.get(name).parse(event, given)
            assert all(isinstance(path, str) and path for path in call.writes)
            assert call.cwd is None or call.cwd.startswith("/")
            msgspec.json.encode(call)


def configuration(data: bytes) -> None:
    """The team's configuration: one, or the defaults with a few words of complaint."""
    with tempfile.TemporaryDirectory(dir=MEMORY) as top:
        os.mkdir(f"{top}/.claude")
        Path(top, settings.NAME).write_bytes(data)
        config, warnings = settings.load(top, top)
    config.class_of("src/app.py")
    assert len(warnings) <= settings.MAX_WARNINGS + 1
    assert all(len(warning) < 400 for warning in warnings)


def merge(data: bytes) -> None:
    """A client's settings: refused, or ours go in and out and leave theirs."""
    text = data.decode("utf-8", "replace")
    for client in map(clients.get, clients.NAMES):
        try:
            before = settings_text.parse(text, "here", client.FLAT)
        except AgentSyncError:
            continue
        merged = settings_text.with_hooks(before, client.handlers(False), client.is_ours)
        again = settings_text.parse(settings_text.render(merged, text), "here", client.FLAT)
        assert settings_text.with_hooks(again, client.handlers(False), client.is_ours) == again
        left, theirs = (settings_text.without_hooks(one, client.is_ours) for one in (again, before))
        assert _without_empty(left) == _without_empty(theirs)


def _without_empty(table: dict[str, object]) -> dict[str, object]:
    hooks = table.get("hooks")
    kept = {event: groups for event, groups in hooks.items() if groups} if isinstance(hooks, dict) else {}
    return {**{key: value for key, value in table.items() if key != "hooks"}, **({"hooks": kept} if kept else {})}


def typed_path(data: bytes) -> None:
    """What somebody typed: a target that stays what it is, or a usage error. The system is asked, too."""
    text = data.decode("utf-8", "surrogateescape").replace("\0", "")
    with tempfile.TemporaryDirectory(dir=MEMORY) as top:
        os.makedirs(f"{top}/.git")
        os.symlink("..", f"{top}/up")
        Path(top, ".git/HEAD").write_text("ref: refs/heads/main\n")
        try:
            place, target = resolve(text, top, locate(top, {}), {})
        except UsageError:
            return
        _check_target(text, top, place, target)


def _check_target(text: str, top: str, place: Place, target: Target) -> None:
    name = encode(target.path)
    assert len(name) < 200
    assert name.isascii()
    assert "/" not in name
    assert name not in (".", "..")
    assert decode(name) in (None, target.path)
    if target.scope == "file" and place.root == top and not target.path.startswith("/"):
        assert ".." not in target.path.split("/")
        assert os.path.realpath(os.path.join(top, text)).startswith(f"{os.path.realpath(top)}/")


def patterns(data: bytes) -> None:
    """Two patterns and a path: overlap is the same for both, and true where a path is in both."""
    parts = data.decode("utf-8", "replace").split("\n")[:3]
    if len(parts) < 3 or not all(parts):
        return
    one, other, path = parts
    try:
        meets = overlap(Target(scope="glob", path=one), Target(scope="glob", path=other))
        in_one, in_other = globs.matches(one, path), globs.matches(other, path)
    except UsageError:
        return
    assert meets == overlap(Target(scope="glob", path=other), Target(scope="glob", path=one))
    real = not path.startswith("/") and all(part not in ("", ".", "..") for part in path.split("/"))
    if in_one and in_other and real:
        assert meets, (one, other, path)


def lines(data: bytes) -> None:
    """Log, archive, activity and refusals: read to their end, in order."""
    with tempfile.TemporaryDirectory(dir=MEMORY) as top:
        for folder in ("log", "archive", "activity"):
            os.mkdir(f"{top}/{folder}")
        files = Files(top, "t")
        Path(top, keys.archive(1, 3)).write_bytes(data)
        Path(top, keys.event(4)).write_bytes(data)
        Path(top, "activity/al.ndjson").write_bytes(data)
        revisions = [event.rev for event in log.since(files, 0)]
        assert all(a < b for a, b in pairwise(revisions))
        list(log.backwards(files))
        assert all(isinstance(line.path, str) for line in activity.read(files, "al"))
        Path(top, refusals.KEY).write_bytes(data)
        assert all(isinstance(line.path, str) for line in refusals.read(files))


def exported(data: bytes) -> None:
    """A file to be imported: refused, or records each at a place of its own."""
    try:
        what = transfer.bundle(data)
    except AgentSyncError:
        return
    assert all(keys.is_place(key) and belongs(key, record) for key, record in what.records.items())
    assert all(before.rev < after.rev for before, after in pairwise(what.events))


READERS: dict[str, Callable[[bytes], None]] = {
    reader.__name__: reader for reader in (record, payload, configuration, merge, typed_path, patterns, lines, exported)
}
