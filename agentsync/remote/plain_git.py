"""A board as one ref of a git remote: any that git can push to.

Plumbing only, in a bare repository of our own: no index, no worktree, nothing of the user's repository changes, no hook
runs, and what a killed process leaves is garbage, never a lock file that would stop the next one. (Hence the files that
git would lock, `HEAD`, `config` and the one ref, are written by us, by rename.) The user's repository lends the
remote's address and what is configured for getting there.

Every git runs in a session of its own, so that nothing can ask a terminal, and is killed with its children when the
time is up.
"""

from __future__ import annotations

import hashlib
import re
import time
import zlib
from functools import cached_property, partial
from typing import TYPE_CHECKING

from agentsync.remote.backend import LIMIT_S, Done, Lost, Rejected, Snapshot, Unreachable
from agentsync.remote.command import DENIED, SHOWN, EndedError, Git
from agentsync.store.files import MAX_RECORD

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from agentsync.core.shared import Wanted
    from agentsync.store.files import Files

REPOSITORY = "remote.git"
"""Our bare repository, in the state directory."""

MANY = 20
"""Objects in one of the 256 folders, as `git gc` counts them, after which it is cheaper to fetch the board anew."""

SEEN = f"{REPOSITORY}/refs/heads/seen"
"""The version that was seen last: what need not be fetched again."""

_LOST = re.compile(
    r"stale info|failed to update ref|incorrect old value|cannot lock ref|failed to lock|reference already exists"
)
"""Words for a push that was too late, by git here and by receive-pack there."""

_BROKEN = re.compile(r"bad object|bad tree|missing|unable to read|corrupt|is empty|not a (valid|git)|did not send all")
"""Words for a repository of ours in which something is gone, or came out of a power cut empty."""

_LISTED = re.compile(r"\d+ (\w+) (\w+)\t([^\0]+)\0")
"""Kind, object and path of each line of `ls-tree`."""


class PlainGit:
    """The board at `ref` of `remote`."""

    def __init__(
        self, files: Files, top: str, remote: str, ref: str, *, env: Mapping[str, str], limit_s: float = LIMIT_S
    ) -> None:
        """Nothing is asked or made before it is needed.

        Args:
            files: Primitives below the state directory, where our repository is.
            top: The user's working tree, or bare repository.
            remote: A remote of it, an address, or a path.
            ref: The whole name of the ref.
            env: The caller's environment.
            limit_s: Seconds that one git may take.
        """
        self._files = files
        self._ref = ref
        self._git = Git(files.path(REPOSITORY), top, remote, env=env, limit_s=limit_s)
        self._trees: dict[tuple[str, str], dict[str, tuple[str, str]]] = {}
        """What is in a directory of a version: kind and object by name."""

    # ------------------------------------------------------------ the three questions
    def read(self, known: str | None, wanted: Wanted | None = None) -> Snapshot | Rejected | Unreachable:
        """See `Backend.read`."""
        if self._is_full():
            self._begin_anew()
        for is_last in (False, True):
            try:
                return self._fetched(known, wanted)
            except EndedError as error:
                if is_last or not _BROKEN.search(error.said):
                    return Rejected(error.said) if DENIED.search(error.said) else Unreachable(error.said)
            self._begin_anew()
        raise AssertionError("the last time returns")

    def _fetched(self, known: str | None, wanted: Wanted | None) -> Snapshot:
        self._prepare()
        head = f"{REPOSITORY}/FETCH_HEAD"
        self._files.unlink(head)
        try:
            self._git("fetch", "--quiet", "--no-tags", "--no-auto-maintenance", self._git.addresses()[0], self._ref)
        except EndedError as error:
            if "find remote ref" not in error.said:
                raise
            return Snapshot(version=None, files={}, follows=known is None)
        fetched = self._files.read(head)
        version = fetched.data.split(b"\t")[0].decode("ascii", "replace") if fetched else ""
        files = self._contents(version, wanted)
        self._note(version)
        follows = known in (None, version) or self._is_ancestor(known or "", version)
        return Snapshot(version=version, files=files, follows=follows)

    def _is_full(self) -> bool:
        return len(self._files.names(f"{REPOSITORY}/objects/17")) > MANY

    def _begin_anew(self) -> None:
        """Throw our repository away: first what says that anything is in it."""
        self._files.unlink(SEEN)
        self._files.unlink(f"{REPOSITORY}/HEAD")
        self._files.remove_tree(REPOSITORY)
        self._trees.clear()

    def recall(self, version: str, wanted: Wanted | None = None) -> Snapshot | None:
        """See `Backend.recall`."""
        try:
            return Snapshot(version=version, files=self._contents(version, wanted))
        except EndedError:  # somebody deleted our repository, which is allowed
            return None

    def swap(
        self, base: str | None, changes: Mapping[str, bytes | None], about: str, squash: bool = False
    ) -> Done | Lost | Rejected | Unreachable:
        """See `Backend.swap`."""
        self._prepare()
        subject = " ".join(about.split())[:200]
        version = self._write_commit(self._write_tree(base, changes), "" if squash else base, subject)
        outcome = self._push(version, base or "")
        if isinstance(outcome, Done):
            self._note(version)
            if self._is_full():  # whoever is alone at the board may never read it
                self._begin_anew()
        return outcome

    def _push(self, version: str, expected: str) -> Done | Lost | Rejected | Unreachable:
        lease = f"--force-with-lease={self._ref}:{expected}"
        try:
            self._git("push", "--porcelain", "--no-verify", lease, self._git.addresses()[1], f"{version}:{self._ref}")
        except EndedError as error:
            said = error.said
            refused = re.search(r"^!\t.*\t\[(remote )?rejected\] \((.*)\)", said, re.MULTILINE)
            if refused is None:
                return Rejected(said) if DENIED.search(said) else Unreachable(said)
            if _LOST.search(refused[2]):
                return Lost()
            words = [line.removeprefix("remote:").strip() for line in said.splitlines() if line.startswith("remote:")]
            return Rejected("; ".join([refused[2], *filter(None, words)])[:SHOWN])
        return Done(version)

    # ------------------------------------------------------------ objects
    def _contents(self, version: str, wanted: Wanted | None = None) -> dict[str, bytes]:
        """The files of a version; one that is larger than any record reads as empty."""
        if wanted is None or wanted.folders is None:
            directories: Collection[str] = self._load_all(version)
        else:
            files = {above for path in wanted.files for above in _above(_place(path))}
            folders = (folder.removesuffix("/") for folder in wanted.folders)
            directories = {*files, *(part for folder in folders for part in (*_above(folder), *_drawers(folder)))}
            self._load(version, directories)
        blobs = []
        for directory in directories:
            for name, (kind, oid) in self._trees[version, directory].items():
                key = key_of(f"{directory}/{name}" if directory else name)
                if kind == "blob" and (wanted is None or wanted.matters(key)):
                    blobs.append((key, oid))
        contents = self._read([oid for _, oid in blobs])
        found = {}
        for (key, oid), (_, data) in zip(blobs, contents, strict=True):
            if data is None:
                raise EndedError(f"missing object {oid}")
            found[key] = data if len(data) <= MAX_RECORD else b""
        return found

    def _read(self, names: Collection[str]) -> list[tuple[bytes, bytes | None]]:
        """Kind and content of objects, in one go; a content of None for one that is not there."""
        if not names:
            return []
        out = self._git("cat-file", "--batch", "--buffer", stdin="".join(f"{name}\n" for name in names).encode())
        found: list[tuple[bytes, bytes | None]] = []
        at = 0
        for _ in names:
            end = out.index(b"\n", at)
            kind, _, size = out[at:end].rpartition(b" ")
            at = end + 1
            if size == b"missing":
                found.append((b"", None))
            else:
                found.append((kind.rpartition(b" ")[2], out[at : at + int(size)]))
                at += int(size) + 1
        return found

    def _load(self, version: str, directories: Iterable[str]) -> None:
        """Read what is in directories, with those above; one that is not there is empty."""
        asked = sorted({d for d in directories if (version, d) not in self._trees}, key=_depth)
        length = len(version) // 2
        entry = re.compile(rb"(\d+) ([^\0]+)\0(.{%d})" % length, re.DOTALL)
        for directory, (kind, data) in zip(asked, self._read([f"{version}:{d}" for d in asked]), strict=True):
            above, _, name = directory.rpartition("/")
            if data is None and (not directory or name in self._trees[version, above]):
                raise EndedError(f"missing object {version}:{directory}")  # not to be taken for an empty one
            entries = entry.findall(data) if data and kind == b"tree" else ()
            self._trees[version, directory] = {
                name.decode("utf-8", "surrogateescape"): ("tree" if mode == b"40000" else "blob", oid.hex())
                for mode, name, oid in entries
            }

    def _load_all(self, version: str) -> list[str]:
        """Read what is in all directories; returns their paths."""
        listed = self._git("ls-tree", "-r", "-t", "-z", "--full-tree", version).decode("utf-8", "surrogateescape")
        trees: dict[str, dict[str, tuple[str, str]]] = {"": {}}
        for kind, oid, path in _LISTED.findall(listed):
            above, _, name = path.rpartition("/")
            trees[above][name] = (kind, oid)
            if kind == "tree":
                trees[path] = {}
        self._trees |= {(version, directory): entries for directory, entries in trees.items()}
        return list(trees)

    def _write_tree(self, version: str | None, changes: Mapping[str, bytes | None]) -> str:
        """The object of the tree that a version becomes. Directories where nothing changes are taken as they are."""
        places = {path: data for key, data in changes.items() for path, data in ((key, None), (_place(key), data))}
        touched = {above for path in places for above in _above(path)}
        if version:
            self._load(version, touched)
        trees = {directory: dict(self._trees.get((version or "", directory), {})) for directory in touched}
        for path, data in places.items():
            above, _, name = path.rpartition("/")
            if data is not None:
                trees[above][name] = ("blob", self._write("blob", data))
            elif trees[above].get(name, ("", ""))[0] == "blob":
                del trees[above][name]
        made = ""
        for directory in sorted(trees, key=_depth, reverse=True):
            listing = b"".join(entry for _, entry in sorted(_entry(*named) for named in trees[directory].items()))
            above, _, name = directory.rpartition("/")
            if not directory:
                made = self._write("tree", listing)
            elif listing:
                trees[above][name] = ("tree", self._write("tree", listing))
            else:
                trees[above].pop(name, None)  # git keeps no empty ones
        return made

    def _write_commit(self, tree: str, parent: str | None, subject: str) -> str:
        who = f"agent-sync <agent-sync@localhost> {int(time.time())} +0000"
        parents = f"parent {parent}\n" if parent else ""
        return self._write("commit", f"tree {tree}\n{parents}author {who}\ncommitter {who}\n\n{subject}\n".encode())

    def _write(self, kind: str, data: bytes) -> str:
        """Write an object, over what a power cut may have left of it; git does the same, in a process of 2 ms."""
        whole = b"%s %d\0%s" % (kind.encode(), len(data), data)
        oid = self._hash(whole).hexdigest()
        self._files.make_directory(f"{REPOSITORY}/objects/{oid[:2]}")
        temp = self._files.write_temp(zlib.compress(whole, 1), sync=False)
        self._files.replace(temp, f"{REPOSITORY}/objects/{oid[:2]}/{oid[2:]}")
        return oid

    @cached_property
    def _hash(self) -> Callable[[bytes], hashlib._Hash]:
        config = self._files.read(f"{REPOSITORY}/config")
        is_sha256 = config is not None and b"sha256" in config.data
        return hashlib.sha256 if is_sha256 else partial(hashlib.sha1, usedforsecurity=False)

    def _is_ancestor(self, old: str, new: str) -> bool:
        try:
            self._git("merge-base", "--is-ancestor", old, new)
        except EndedError:  # also when the old one is not here any more: then nobody knows
            return False
        return True

    # ------------------------------------------------------------ our repository
    def _prepare(self) -> None:
        """Make our repository, unless it is there. Each step can be done again."""
        if self._files.status(f"{REPOSITORY}/HEAD") is not None:
            return
        for name in ("objects", "refs/heads"):
            self._files.make_directory(f"{REPOSITORY}/{name}")
        version, extension = ("1", "[extensions]\n\tobjectFormat = sha256\n") if self._is_sha256() else ("0", "")
        config = f"[core]\n\trepositoryformatversion = {version}\n\tbare = true\n{extension}"
        self._publish(f"{REPOSITORY}/config", config)
        self._publish(f"{REPOSITORY}/HEAD", "ref: refs/heads/seen\n")  # last: it says that all is there

    def _is_sha256(self) -> bool:
        told = self._git.config().get("extensions.objectformat")
        return told == ["sha256"]

    def _note(self, version: str) -> None:
        if re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", version):
            self._publish(SEEN, version + "\n")

    def _publish(self, key: str, text: str) -> None:
        self._files.replace(self._files.write_temp(text.encode(), sync=False), key)


def _above(path: str) -> Iterable[str]:
    """The directories that a path is in; the top is an empty text."""
    while path:
        path = path.rpartition("/")[0]
        yield path


def _depth(directory: str) -> int:
    return directory.count("/") + 1 if directory else 0


def _entry(name: str, of: tuple[str, str]) -> tuple[bytes, bytes]:
    """An entry of a tree object, and what git sorts it by: a directory as if its name ended in a slash."""
    kind, oid = of
    raw = name.encode("utf-8", "surrogateescape")
    mode = b"40000" if kind == "tree" else b"100644"
    return raw + b"/" if kind == "tree" else raw, b"%s %s\0%s" % (mode, raw, bytes.fromhex(oid))


def _place(key: str) -> str:
    """Where a file stands in git: in one of sixteen drawers, for a directory is written and sent as a whole."""
    above, _, name = key.rpartition("/")
    return f"{above}/{_drawer(name)}/{name}" if above else key


def _drawer(name: str) -> str:
    return f"{zlib.crc32(name.encode('utf-8', 'surrogateescape')) & 15:x}"


def _drawers(folder: str) -> Iterable[str]:
    return (folder, *(f"{folder}/{number:x}" for number in range(16)))


def key_of(path: str) -> str:
    """Which file it is that stands at a path in git. What is not at its place keeps its path."""
    above, _, name = path.rpartition("/")
    folder, _, drawer = above.rpartition("/")
    return f"{folder}/{name}" if folder and drawer == _drawer(name) else path
