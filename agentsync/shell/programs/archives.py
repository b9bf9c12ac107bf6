"""Archives: what packing writes and removes, and where unpacking goes."""

from __future__ import annotations

import os
from collections.abc import Callable

from agentsync.shell.call import Call
from agentsync.shell.words import Word

_TAR = (
    "-f -C -X -T -b -g -H -I -K -N -V --file --directory --exclude --exclude-from --files-from --strip-components "
    + ("--transform --xform --mode --owner --group --mtime --use-compress-program")
)


def tar(it: Call) -> None:
    """The archive that it makes; all of the folder of `-C` when it unpacks there.

    Without -C, or with one that leads to where it runs or above, nothing is certain: it unpacks between other files.
    """
    args = _dashed(it.args)
    options = Call(it.name, args, it.state, None, None, it.out, it.run, it.script).options(_TAR)
    if options.unclear:
        return
    archive, folder = options.get("-f", "--file"), options.get("-C", "--directory")
    if options.has("-c", "-r", "-u", "--create", "--append", "--update"):
        if isinstance(archive, str) and archive != "-" and ":" not in archive:
            it.write(archive, "tar -c")
    elif options.has("-x", "--extract", "--get") and not options.has(*_KEEPS) and not options.operands:
        _unpack(it, folder, "tar -x -C")


def _dashed(args: list[Word]) -> list[Word]:
    """`tar cfz NAME` with dashes: there each letter with a value takes the next word, wherever it stands."""
    if not args or not isinstance(args[0], str) or args[0][:1] in ("-", ""):
        return args
    rest = args[1:]
    found: list[Word] = []
    for letter in args[0]:
        found.append("-" + letter)
        if "-" + letter in _TAR.split() and rest:
            found.append(rest.pop(0))
    return found + rest


_KEEPS = ("-O", "--to-stdout", "-k", "--keep-old-files")


def _unpack(it: Call, folder: Word | None, how: str) -> None:
    path, here = it.path(folder), it.state.cwd
    if path is None or here is None or (here + "/").startswith(path.rstrip("/") + "/"):
        return
    it.write(folder, how, tree=True)


def unzip(it: Call) -> None:
    """All of the folder of `-d`."""
    options = it.options("-d -x -P")
    looks = options.has("-l", "-t", "-p", "-v", "-Z", "-z", "-c", "-n")
    if not options.unclear and not looks and len(options.operands) == 1:
        _unpack(it, options.get("-d"), "unzip -d")


def zip_(it: Call) -> None:
    """The archive."""
    options = it.options("-x -i -P -b -t -n -s")
    word = options.operands[0] if options.operands else None
    if isinstance(word, str) and word != "-" and not options.unclear:
        it.write(word if os.path.splitext(word)[1] else word + ".zip", "zip")


_SUFFIX = {
    "gzip": ".gz",
    "bzip2": ".bz2",
    "xz": ".xz",
    "zstd": ".zst",
    "gunzip": ".gz",
    "bunzip2": ".bz2",
    "unxz": ".xz",
}


def compress(it: Call) -> None:
    """Both ends: the file goes, its packed form comes (or the reverse)."""
    options = it.options("-S --suffix -o -T -b")
    if options.unclear or options.has("-c", "-t", "-l", "-r", "--stdout", "--to-stdout", "--test", "--list", "-o"):
        return
    suffix = _SUFFIX[it.name]
    unpack = it.name.startswith(("gun", "bun", "un")) or options.has("-d", "--decompress", "--uncompress")
    keeps = options.has("-k", "--keep") or it.name == "zstd"
    for word in options.operands:
        if not isinstance(word, str) or word == "-" or word.endswith(suffix) != unpack:
            continue
        it.write(word.removesuffix(suffix) if unpack else word + suffix, it.name)
        if not keeps:
            it.write(word, it.name)


RULES: dict[str, Callable[[Call], None]] = {
    "tar": tar,
    "gtar": tar,
    "bsdtar": tar,
    "unzip": unzip,
    "zip": zip_,
    **dict.fromkeys(_SUFFIX, compress),
}
