"""Programs that edit files in place: sed, perl, ruby, awk, ed, patch, and Codex's apply_patch."""

from __future__ import annotations

from collections.abc import Callable

from agentsync.shell import patch as codex
from agentsync.shell.call import Call
from agentsync.shell.programs import diffs
from agentsync.shell.words import Unknown, Word


def sed(it: Call) -> None:
    """The operands behind the script, with -i."""
    args = list(it.args)
    for at, word in enumerate(args[:-1]):
        if word in ("-i", "-I") and args[at + 1] == "":
            args[at] = args[at + 1] = "-i"  # `-i ''` of the BSDs
    suffix, scripted, edits, unclear = "", False, False, False
    files: list[Word] = []
    queue = list(reversed(args))
    while queue:
        word = queue.pop()
        if isinstance(word, Unknown):
            unclear = unclear or word.option
            files.append(word)
        elif word == "--":
            files += reversed(queue)
            break
        elif word.startswith("--"):
            name, equals, value = word.partition("=")
            scripted = scripted or name in ("--expression", "--file")
            if name in ("--expression", "--file", "--line-length") and not equals and queue:
                queue.pop()
            if name == "--in-place":
                edits, suffix = True, value
            elif name in ("--help", "--version"):
                return
        elif word.startswith("-") and len(word) > 1:
            letter, value = _cluster(word, "iIefl")
            if letter in ("i", "I"):
                edits, suffix = True, value
            elif letter in ("e", "f", "l"):
                scripted = scripted or letter != "l"
                if not value and queue:
                    queue.pop()
        else:
            files.append(word)
    if edits and not unclear:
        _in_place(it, files if scripted else files[1:], "sed -i", suffix)


def _cluster(word: str, valued: str) -> tuple[str, str]:
    """Of `-nibak` the first letter that takes the rest as its value, and the rest."""
    for at, letter in enumerate(word[1:], 1):
        if letter in valued:
            return letter, word[at + 1 :]
    return "", ""


def _in_place(it: Call, files: list[Word], how: str, suffix: str = "") -> None:
    for word in files:
        it.write(word, how)
        if suffix and isinstance(word, str) and "*" not in suffix and "/" not in suffix:
            it.write(word + suffix, how)


def perl(it: Call) -> None:
    """The operands of perl or ruby with -i and a program on the command line."""
    suffix, edits, scripted = "", False, False
    queue = list(reversed(it.args))
    while queue:
        word = queue.pop()
        if isinstance(word, Unknown) or not word.startswith("-") or word == "-":
            queue.append(word)
            break
        if word == "--":
            break
        letter, value = _cluster(word, "ieEIMmFCDxX")
        if letter == "i":
            edits, suffix = True, value
        elif letter in ("e", "E"):
            scripted = True
            if not value and queue:
                queue.pop()
        elif letter in ("I", "F") and not value and queue:
            queue.pop()
    files = list(reversed(queue))
    if edits and not any(isinstance(word, Unknown) and word.option for word in files[:1]):
        _in_place(it, files if scripted else files[1:], f"{it.name} -i", suffix)


def awk(it: Call) -> None:
    """The operands of gawk with its library `inplace`."""
    options = it.options("-i -f -v -F -l -e --include --file --assign --field-separator --source")
    if "inplace" in (options.get("-i"), options.get("--include")) and not options.unclear:
        files = options.operands if options.has("-f", "--file", "-e", "--source") else options.operands[1:]
        _in_place(it, [word for word in files if "=" not in str(word)], "awk -i inplace")


def ed(it: Call) -> None:
    """The file of ed, when its commands are known and write."""
    options = it.options("-p --prompt")
    if it.stdin is not None and any(line.strip() in ("w", "wq", ",w") for line in it.stdin.split("\n")):
        for word in options.operands[:1]:
            it.write(word, "ed")


def patch(it: Call) -> None:
    """The files that a diff names, or the operand."""
    options = it.options(
        "-p -i -d -o -B -D -F -g -r -V -Y -z --strip --input --directory --output --fuzz --reject-file --suffix"
    )
    if options.has("--dry-run", "-C", "--check") or options.unclear:
        return
    folder = options.get("-d", "--directory")
    here = it.state.copy()
    if folder is not None:
        here.cwd = it.path(folder)
    inner = Call(it.name, it.args, here, it.stdin, it.source, it.out, it.run, it.script)
    if (output := options.get("-o", "--output")) is not None:
        inner.write(output, "patch -o")
    elif options.operands:
        inner.write(options.operands[0], "patch")
    else:
        given = options.get("-i", "--input")
        if given is None and len(options.operands) > 1:
            given = options.operands[1]
        text = inner.content(given) if given not in (None, "-") else it.stdin
        if text is None:
            text = it.content(it.source)
        strip = options.get("-p", "--strip")
        if text is not None and strip is not None:
            for path in diffs.paths(text, strip):
                inner.write(path, "patch")


def apply_patch(it: Call) -> None:
    """Codex's own: every file of the patch, on standard input or as the argument."""
    text = it.args[0] if it.args else it.stdin
    for path in (codex.paths(text) if isinstance(text, str) else None) or ():
        it.write(path, "apply_patch")


RULES: dict[str, Callable[[Call], None]] = {
    "sed": sed,
    "gsed": sed,
    "perl": perl,
    "ruby": perl,
    "awk": awk,
    "gawk": awk,
    "ed": ed,
    "patch": patch,
    "apply_patch": apply_patch,
    "applypatch": apply_patch,
}
