"""Trees and files of versions in our bare repository: read through git, written as loose objects.

A file `DIR/NAME` of the board stands at `DIR/<drawer>/NAME`: a directory of git's is written and sent as a whole, so
one of ten thousand records would cost each lock all their names.
"""

from __future__ import annotations

import hashlib
import re
import time
import zlib
from functools import cached_property, partial
from typing import TYPE_CHECKING

from agentsync.remote.command import EndedError
from agentsync.store.files import MAX_RECORD

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from agentsync.core.shared import Wanted
    from agentsync.remote.command import Git
    from agentsync.store.files import Files

_LISTED = re.compile(r"\d+ (\w+) (\w+)\t([^\0]+)\0")
"""Kind, object and path of each line of `ls-tree`."""


class Objects:
    """What is in a repository of ours."""

    def __init__(self, files: Files, git: Git, repository: str) -> None:
        """Nothing is read before it is needed.

        Args:
            files: Primitives below the state directory.
            git: Git in the repository.
            repository: Where that is.
        """
        self._files = files
        self._git = git
        self._repository = repository
        self._trees: dict[tuple[str, str], dict[str, tuple[str, str]]] = {}
        """What is in a directory of a version: kind and object by name."""

    def forget(self) -> None:
        """The repository was thrown away."""
        self._trees.clear()

    def contents(self, version: str, wanted: Wanted | None = None) -> dict[str, bytes]:
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

    def write_tree(self, version: str | None, changes: Mapping[str, bytes | None]) -> str:
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

    def write_commit(self, tree: str, parent: str | None, subject: str) -> str:
        """The object of a commit; no parent: it begins a history."""
        who = f"agent-sync <agent-sync@localhost> {int(time.time())} +0000"
        parents = f"parent {parent}\n" if parent else ""
        return self._write("commit", f"tree {tree}\n{parents}author {who}\ncommitter {who}\n\n{subject}\n".encode())

    def _write(self, kind: str, data: bytes) -> str:
        """Write an object, over what a power cut may have left of it; git does the same, in a process of 2 ms."""
        whole = b"%s %d\0%s" % (kind.encode(), len(data), data)
        oid = self._hash(whole).hexdigest()
        self._files.make_directory(f"{self._repository}/objects/{oid[:2]}")
        temp = self._files.write_temp(zlib.compress(whole, 1), sync=False)
        self._files.replace(temp, f"{self._repository}/objects/{oid[:2]}/{oid[2:]}")
        return oid

    @cached_property
    def _hash(self) -> Callable[[bytes], hashlib._Hash]:
        config = self._files.read(f"{self._repository}/config")
        is_sha256 = config is not None and b"sha256" in config.data
        return hashlib.sha256 if is_sha256 else partial(hashlib.sha1, usedforsecurity=False)


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
