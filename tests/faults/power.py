"""A disk as it may be found when the power comes back.

One operation is run and its system calls are written down. Then every state is made that a journaling file system may
leave of them (the model of ALICE, Pillai et al. 2014):

- changes of names become durable in their order, but who knows how many of them: all before the last fsync of a
  directory, and any number of those after it;
- the content of a file is durable up to its last fsync; what was written since is there, missing, full of NULs or torn.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

from faults.faulty import calls_go_through

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

LOSSES: dict[str, Callable[[bytes], bytes]] = {
    "kept": lambda data: data,
    "missing": lambda data: b"",
    "NULs": lambda data: bytes(len(data)),
    "torn": lambda data: data[: len(data) // 2],
}
"""What may become of data that was not synced."""


class Step(NamedTuple):
    """One system call that matters."""

    what: str
    """create, link, rename, unlink, mkdir, rmdir: names; write, sync: content; barrier: a directory's fsync."""
    path: str = ""
    to: str = ""
    inode: int = 0
    data: bytes = b""


NAMES = frozenset({"create", "link", "rename", "unlink", "mkdir", "rmdir"})


class Recorder:
    """Lets every call through and remembers those that change something."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self._open: dict[int, tuple[str, int]] = {}
        self._inodes = 0

    def call(self, name: str, function: Any, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        existed = name == "open" and os.path.lexists(args[0])
        result = function(*args, **options)
        if name == "open":
            if not existed:
                self._inodes += 1
                self.steps.append(Step("create", args[0], inode=self._inodes))
            self._open[result] = (args[0], 0 if existed else self._inodes)
        elif name == "write":
            path, inode = self._open[args[0]]
            self.steps.append(Step("write", path, inode=inode, data=bytes(args[1][:result])))
        elif name == "fsync":
            path, inode = self._open[args[0]]
            self.steps.append(Step("barrier") if os.path.isdir(path) else Step("sync", path, inode=inode))
        elif name in ("link", "rename", "replace"):
            self.steps.append(Step("link" if name == "link" else "rename", args[0], args[1]))
        elif name in ("unlink", "mkdir", "rmdir"):
            self.steps.append(Step(name, args[0]))
        elif name == "makedirs" and result is None:
            self.steps.append(Step("mkdir", args[0]))
        return result


def recorded(act: Callable[[], object]) -> list[Step]:
    """What an operation did to the disk; it was acknowledged after the last step."""
    recorder = Recorder()
    with calls_go_through(recorder):
        act()
    return recorder.steps


class Disk(NamedTuple):
    """What is found: the content of every file, and the directories."""

    files: dict[str, bytes]
    folders: frozenset[str]

    def write_out(self, state: Path) -> None:
        """Make the state directory this; files that are right already are left alone."""
        for path in [path for path in state.rglob("*") if path.is_file()]:
            if self.files.get(str(path)) != path.read_bytes():
                path.unlink()
        for folder in sorted((path for path in state.rglob("*") if path.is_dir()), reverse=True):
            if str(folder) not in self.folders and not any(folder.iterdir()):
                folder.rmdir()
        for name in sorted(self.folders):
            os.makedirs(name, exist_ok=True)
        for name, data in self.files.items():
            if not os.path.lexists(name):
                with open(name, "wb") as file:
                    file.write(data)


def disk(state: Path) -> Disk:
    """What is on the disk now, all of it durable."""
    found = list(state.parent.rglob("*")) if state.parent.exists() else []
    files = {str(path): path.read_bytes() for path in found if path.is_file()}
    return Disk(files, frozenset(str(path) for path in found if path.is_dir()))


def outages(before: Disk, steps: list[Step]) -> Iterator[tuple[bool, str, Disk]]:
    """Every disk that a power cut at any moment may leave, with whether the operation had been acknowledged by then."""
    seen: set[tuple[bool, frozenset[tuple[str, bytes]], frozenset[str]]] = set()
    for moment in range(len(steps) + 1):
        done = steps[:moment]
        acknowledged = moment == len(steps)
        names = [step for step in done if step.what in NAMES]
        barrier = max((at for at, step in enumerate(done) if step.what == "barrier"), default=0)
        durable = sum(step.what in NAMES for step in done[:barrier])
        for kept in range(durable, len(names) + 1):
            for loss, lose in LOSSES.items():
                found = _left(before, done, names[:kept], lose)
                key = (acknowledged, frozenset(found.files.items()), found.folders)
                if key not in seen:
                    seen.add(key)
                    told = f"power cut after step {moment} of {len(steps)}, {kept} of {len(names)} names kept, {loss}"
                    yield acknowledged, told, found


def _left(before: Disk, done: list[Step], names: list[Step], loss: Callable[[bytes], bytes]) -> Disk:
    synced: dict[tuple[str, int], bytes] = {}
    loose: dict[tuple[str, int], bytes] = {}
    for step in done:
        # Files that were there before have no number of ours; nobody renames one while it is written to.
        at = (step.path if not step.inode else "", step.inode)
        if step.what == "write":
            loose[at] = loose.get(at, b"") + step.data
        elif step.what == "sync":
            synced[at] = synced.get(at, b"") + loose.pop(at, b"")
    new = {at: synced.get(at, b"") + loss(loose.get(at, b"")) for at in {*synced, *loose}}
    files: dict[str, bytes] = {path: data + new.get((path, 0), b"") for path, data in before.files.items()}
    folders = set(before.folders)
    for step in names:
        if step.what == "create":
            files[step.path] = new.get(("", step.inode), b"")
        elif step.what == "link":
            files[step.to] = files[step.path]
        elif step.what == "rename":
            files[step.to] = files.pop(step.path)
        elif step.what == "unlink":
            del files[step.path]
        elif step.what == "mkdir":
            folders.add(step.path)
        else:
            folders.discard(step.path)
    return Disk(files, frozenset(folders))
