"""Programs that copy, move, make and remove files."""

from __future__ import annotations

import os
from collections.abc import Callable

from agentsync.shell.call import Call
from agentsync.shell.patterns import TooMuchError
from agentsync.shell.words import Unknown, Word

_ASKS = ("--help", "--version")


def tee(it: Call) -> None:
    """Every operand."""
    options = it.options("--output-error")
    if not options.has(*_ASKS):
        for word in options.operands:
            it.write(word, "tee")


def rm(it: Call) -> None:
    """Every operand, with all below when recursive."""
    options = it.options()
    if not options.has(*_ASKS):
        tree = options.has("-r", "-R", "--recursive")
        for word in options.operands:
            it.write(word, f"{it.name} -r" if tree else it.name, tree=tree)


def touch(it: Call) -> None:
    """Every operand; a new time is a change to those who watch."""
    options = it.options("-d -r -t --date --reference --time")
    known_only = options.has("-c", "-h", "--no-create", "--no-dereference")
    for word in options.operands:
        if not known_only or _is_there(it, word):
            it.write(word, "touch")


def truncate(it: Call) -> None:
    """Every operand."""
    for word in it.options("-r -s --reference --size").operands:
        it.write(word, it.name)


def dd(it: Call) -> None:
    """`of=`."""
    for word in it.args:
        if isinstance(word, str) and word.startswith("of="):
            it.write(word[3:], "dd of=")


_COPY = "-t -S --target-directory --suffix"


def cp(it: Call) -> None:
    """The destination, or what comes to lie in it."""
    options = it.options(_COPY + (" -g -m -o --group --mode --owner" if it.name == "install" else ""))
    if options.has(*_ASKS) or (it.name == "install" and options.has("-d", "--directory")):
        return
    keeps = options.has("-n", "--no-clobber") or options.get("--update") in ("none", "none-fail")
    deep = options.has("-r", "-R", "-a", "--recursive", "--archive")
    for source, target in _pairs(it, options.operands, options.get("-t", "--target-directory"), options.has("-T")):
        if keeps and _is_there(it, target) and not it.is_folder(source):
            continue
        if deep and it.is_folder(source):
            copy_tree(it, source, target, it.name)
        elif not it.is_folder(source):
            it.write(target, it.name, tree=deep and not _is_there(it, source))


def mv(it: Call) -> None:
    """Both ends."""
    options = it.options(_COPY)
    if options.has(*_ASKS):
        return
    keeps = options.has("-n", "--no-clobber")
    for source, target in _pairs(it, options.operands, options.get("-t", "--target-directory"), options.has("-T")):
        tree = it.is_folder(source)
        if not (keeps and _is_there(it, target)):
            it.write(source, it.name, tree=tree)
            it.write(target, it.name, tree=tree)


def ln(it: Call) -> None:
    """The name of the link; without -f only a new one."""
    options = it.options(_COPY)
    operands = options.operands[:]
    if len(operands) == 1 and not options.has("-t", "--target-directory"):
        operands.append(".")
    for _, target in _pairs(it, operands, options.get("-t", "--target-directory"), options.has("-T", "-n")):
        if options.has("-f", "-i", "-b", "--force", "--interactive", "--backup") or not _is_there(it, target):
            it.write(target, "ln")


_RSYNC = (
    "-e -f -T -B -M --rsh --exclude --include --filter --exclude-from --include-from --files-from --bwlimit --timeout "
    "--port --chmod --chown --rsync-path --temp-dir --compare-dest --copy-dest --link-dest --backup-dir --suffix "
    "--password-file --log-file --out-format --max-size --min-size --partial-dir --block-size --info --debug"
)


def rsync(it: Call) -> None:
    """What lies in the sources, in the destination; all of that with --delete. Only local, only without filters."""
    options = it.options(_RSYNC)
    *sources, target = options.operands or [""]
    words = [word if isinstance(word, str) else ":" for word in (*sources, target)]
    if options.has("-n", "--dry-run", "--list-only", "--help") or options.unclear or any(":" in word for word in words):
        return
    filtered = options.has("-f", "-C", "--exclude", "--include", "--filter", "--exclude-from", "--files-from")
    if any(name.startswith(("--delete", "--del")) for name in options.values):
        if len(sources) == 1 and words[0].endswith("/") and not filtered:
            it.write(target, "rsync --delete", tree=True)
        return
    if filtered or options.has("--existing", "--ignore-existing", "-R", "--relative"):
        return
    for source in words[:-1]:
        inside = words[-1] if source.endswith("/") else os.path.join(words[-1], os.path.basename(source))
        if it.is_folder(source):
            if options.has("-a", "-r", "--archive", "--recursive"):
                copy_tree(it, source, inside, "rsync")
        else:
            into = len(sources) > 1 or words[-1].endswith("/") or it.is_folder(target)
            it.write(os.path.join(words[-1], os.path.basename(source)) if into else target, "rsync")


def copy_tree(it: Call, source: Word, target: Word, how: str) -> None:
    """Note the files that a copy of a folder makes: those that are in it now, or the whole of a new folder."""
    here, there = it.path(source), it.path(target)
    if here is None or there is None or here == there:
        return
    if not os.path.lexists(there):
        it.write(target, how, tree=True)
        return
    try:
        for path in it.state.disk.below(here):
            it.write(os.path.join(there, path), how)
    except TooMuchError:
        return  # too large to be listed: then nothing is certain


def _pairs(it: Call, operands: list[Word], into: Word | None, no_folder: bool) -> list[tuple[Word, Word]]:
    """Sources, each with what it becomes."""
    if into is None:
        if len(operands) < 2:
            return []
        *operands, into = operands
        as_folder = not no_folder and (
            len(operands) > 1 or it.is_folder(into) or (isinstance(into, str) and into.endswith("/"))
        )
        if not as_folder:
            return [(operands[0], into)]
    return [(source, _inside(into, source)) for source in operands]


def _inside(folder: Word, source: Word) -> Word:
    if not isinstance(folder, str) or not isinstance(source, str):
        return Unknown()
    name = os.path.basename(source.rstrip("/"))
    return folder if name in ("", ".", "..") else os.path.join(folder, name)


def _is_there(it: Call, word: Word) -> bool:
    path = it.path(word)
    return path is not None and os.path.lexists(path)


RULES: dict[str, Callable[[Call], None]] = {
    "tee": tee,
    "sponge": tee,
    "rm": rm,
    "rmdir": rm,
    "unlink": rm,
    "trash": rm,
    "touch": touch,
    "truncate": truncate,
    "dd": dd,
    "cp": cp,
    "gcp": cp,
    "install": cp,
    "mv": mv,
    "ln": ln,
    "rsync": rsync,
}
