"""git: the verbs that change files of the working tree.

A switch to another branch counts as a write of the whole tree: under a peer in the same working tree it replaces, of
what the peer has read, whatever differs. It is left out where nothing can change: to the branch or commit we are on,
and when a branch is created here. Verbs that touch only the index, refs or configuration write nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from agentsync.shell.call import Call, Options, sort
from agentsync.shell.programs import diffs, files, refs
from agentsync.shell.state import top_of
from agentsync.shell.words import Unknown, Word

_GLOBAL = "-C -c --git-dir --work-tree --namespace --exec-path --super-prefix --config-env --attr-source"


def git(it: Call) -> None:
    """The verb, with what stands before it."""
    before = it.options(_GLOBAL, posix=True)
    if before.unclear or not before.operands or before.has("--git-dir", "--work-tree", "--help", "--version"):
        return
    verb, *rest = before.operands
    state = it.state.copy()
    for folder in before.values.get("-C", []):
        state.cwd = state.absolute(folder) if isinstance(folder, str) else None
    rule = VERBS.get(verb) if isinstance(verb, str) else None
    if rule is not None and state.cwd is not None and "--help" not in rest and "-h" not in rest:
        rule(Call(f"git {verb}", rest, state, it.stdin, it.source, it.out, it.run, it.script))


def _all(it: Call) -> None:
    """The whole working tree."""
    top = top_of(it.state.cwd or "/")
    if top is not None:
        it.write(top, it.name, tree=True)


def _paths(it: Call, words: list[Word], *, only_there: bool = False) -> None:
    """Pathspecs: files, folders with all below. Patterns that git itself expands are not known."""
    for word in words:
        path = it.path(word)
        if not isinstance(word, str) or path is None or word.startswith(":") or any(char in "*?[" for char in word):
            continue
        if not only_there or os.path.lexists(path):
            it.write(word, it.name, tree=os.path.isdir(path))


def _split(it: Call, valued: str) -> tuple[Options, list[Word], list[Word] | None]:
    """Options, operands before `--`, and those behind it (None without one)."""
    args, behind = it.args, None
    if "--" in args:
        at = args.index("--")
        args, behind = args[:at], args[at + 1 :]
    options = sort(args, frozenset(valued.split()))
    return options, options.operands, behind


def checkout(it: Call) -> None:
    """Paths, or the tree for another branch."""
    options, words, behind = _split(it, "-b -B --orphan --conflict --pathspec-from-file")
    if options.unclear or options.has("-p", "--patch", "--pathspec-from-file"):
        return
    if behind is not None:
        _paths(it, behind)
    elif options.has("-b", "-B", "--orphan"):
        if words:
            _go(it, words[0])
    elif options.has("--ours", "--theirs", "-2", "-3", "-m", "--merge"):
        _paths(it, words)
    elif words and isinstance(words[0], str):
        first = words[0]
        is_ref = _commit(it, first) is not None or first == "-"
        if len(words) > 1:
            _paths(it, words[1:] if is_ref or not _there(it, first) else words)
        elif is_ref or not _there(it, first):
            _go(it, first)
        else:
            _paths(it, words)


def switch(it: Call) -> None:
    """The tree, unless the branch is made here."""
    options, words, _ = _split(it, "-c -C --create --force-create --orphan --conflict")
    if options.has("--orphan"):
        _all(it)  # unlike checkout's, it empties the tree
    elif words and not options.unclear:
        _go(it, words[0])


def _go(it: Call, target: Word) -> None:
    """To another commit."""
    if isinstance(target, Unknown):
        return
    there, here = _commit(it, target), _commit(it, "HEAD")
    if there is None or there != here:
        _all(it)


def _commit(it: Call, name: str) -> str | None:
    top = top_of(it.state.cwd or "/")
    folder = None if top is None else refs.folder(top)
    return None if folder is None or not name or name.startswith("/") else refs.commit(folder, name)


def _there(it: Call, word: Word) -> bool:
    path = it.path(word)
    return path is not None and os.path.lexists(path)


def restore(it: Call) -> None:
    """Paths, unless only of the index."""
    options, words, behind = _split(it, "-s --source --conflict --pathspec-from-file")
    staged, tree = options.has("-S", "--staged"), options.has("-W", "--worktree")
    if not options.unclear and not options.has("-p", "--patch") and (tree or not staged):
        _paths(it, words + (behind or []))


def stash(it: Call) -> None:
    """The tree for push, save, pop, apply and branch; for `push -- PATHS`, those."""
    options, words, behind = _split(it, "-m --message")
    verb = words[0] if words else "push"
    if options.unclear or options.has("-p", "--patch", "-S", "--staged"):
        return
    paths = (behind or []) + (words[1:] if verb == "push" else [])
    if verb == "push" and paths:
        _paths(it, paths)
    elif verb in ("push", "save", "pop", "apply", "branch"):
        _all(it)


def reset(it: Call) -> None:
    """The tree with --hard, --merge or --keep."""
    if sort(it.args, frozenset()).has("--hard", "--merge", "--keep"):
        _all(it)


def clean(it: Call) -> None:
    """What is below, with -f."""
    options = it.options("-e --exclude")
    if options.has("-f", "--force") and not options.has("-n", "--dry-run", "-i") and not options.unclear:
        if options.operands:
            _paths(it, options.operands)
        else:
            it.write(".", it.name, tree=True)


def remove(it: Call) -> None:
    """`git rm`."""
    options = it.options("--pathspec-from-file")
    if not options.has("--cached", "-n", "--dry-run") and not options.unclear:
        for word in options.operands:
            if isinstance(word, str) and not any(char in "*?[" for char in word):
                it.write(word, it.name, tree=options.has("-r") and it.is_folder(word))


def move(it: Call) -> None:
    """`git mv`, like mv."""
    options = it.options()
    if not options.has("-n", "--dry-run") and not options.unclear:
        files.mv(Call("git mv", options.operands, it.state, None, None, it.out, it.run, it.script))


def apply(it: Call) -> None:
    """The files of the diff, which are relative to the top of the tree."""
    options = it.options("-p -C --directory --exclude --include --whitespace --build-fake-ancestor")
    looks = options.has("--check", "--stat", "--numstat", "--summary") and not options.has("--apply")
    if looks or options.unclear or options.has("--cached", "--exclude", "--include"):
        return
    texts = [it.stdin if word == "-" else it.content(word) for word in options.operands]
    if not options.operands:
        texts = [it.stdin if it.stdin is not None else it.content(it.source)]
    top, folder = top_of(it.state.cwd or "/"), options.get("--directory") or ""
    base = top or it.state.cwd
    if base is None or not isinstance(folder, str):
        return
    for text in texts:
        for path in diffs.paths(text or "", options.get("-p") or "1"):
            it.write(os.path.join(base, folder, path), it.name)


def _tree_unless(*options: str) -> Callable[[Call], None]:
    """Verbs that bring in commits, and the options with which they leave the tree alone."""

    def rule(it: Call) -> None:
        if not any(word in options for word in it.args):
            _all(it)

    return rule


def bisect(it: Call) -> None:
    """Every step is a checkout."""
    if it.args and it.args[0] in ("good", "bad", "new", "old", "skip", "reset", "run"):
        _all(it)


def written(it: Call) -> None:
    """`--output=FILE` of log, diff and show; `-o FILE` of archive."""
    names = ("--output", "-o") if it.name == "git archive" else ("--output",)
    options = it.options("--output" + (" -o --prefix --format" if it.name == "git archive" else ""))
    if (word := options.get(*names)) is not None:
        it.write(word, it.name)


VERBS: dict[str, Callable[[Call], None]] = {
    "checkout": checkout,
    "switch": switch,
    "restore": restore,
    "stash": stash,
    "reset": reset,
    "clean": clean,
    "rm": remove,
    "mv": move,
    "apply": apply,
    "bisect": bisect,
    "merge": _tree_unless("--quit", "--continue"),
    "rebase": _tree_unless("--quit", "--show-current-patch", "--edit-todo"),
    "pull": _tree_unless("--dry-run"),
    "cherry-pick": _tree_unless("--quit"),
    "revert": _tree_unless("--quit"),
    "am": _tree_unless("--quit", "--show-current-patch"),
    **dict.fromkeys(("diff", "log", "show", "archive"), written),
}

RULES: dict[str, Callable[[Call], None]] = {"git": git}
