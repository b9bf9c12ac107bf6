"""Package managers: the manifest and lock file, where a verb certainly writes them.

Left out on purpose: installing what the lock file says already (`npm ci`, `npm install`, `poetry install`), which may
or may not write it.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from msgspec import Struct

from agentsync.shell.call import Call
from agentsync.shell.words import Word


class Verb(Struct, frozen=True):
    """What one verb of a package manager writes."""

    files: tuple[str, ...]
    packages: bool = True
    """Only when packages are named."""
    never: tuple[str, ...] = ()
    """With one of these it writes nothing, or something else."""


_NPM = ("package.json", "package-lock.json")
_ELSEWHERE = ("-g", "--global", "--dry-run", "--help", "-h", "-w", "--workspace", "--prefix", "-C", "--cwd", "--dir")
_ELSE = (*_ELSEWHERE, "-p", "--package", "--manifest-path", "--project", "--directory", "-F", "--filter", "-r", "-P")


def _verbs(
    names: str, files: tuple[str, ...], *, packages: bool = True, never: tuple[str, ...] = _ELSE
) -> dict[str, Verb]:
    return dict.fromkeys(names.split(), Verb(files, packages, never))


PACKAGES: dict[str, dict[str, Verb]] = {
    "npm": _verbs("install i add uninstall remove rm un update up", _NPM, never=(*_ELSE, "--no-save"))
    | _verbs("init", ("package.json",), packages=False)
    | _verbs("dedupe", ("package-lock.json",), packages=False),
    "yarn": _verbs("add remove upgrade up", ("package.json", "yarn.lock"), never=tuple(set(_ELSE) - {"-P"})),
    "pnpm": _verbs("add remove rm update up", ("package.json", "pnpm-lock.yaml"), never=tuple(set(_ELSE) - {"-P"})),
    "bun": _verbs("add remove", ("package.json",)),
    "poetry": _verbs("add remove", ("pyproject.toml", "poetry.lock"))
    | _verbs("lock", ("poetry.lock",), packages=False, never=(*_ELSE, "--check")),
    "uv": _verbs("add remove", ("pyproject.toml",), never=(*_ELSE, "--script"))
    | _verbs("lock", ("uv.lock",), packages=False, never=(*_ELSE, "--check", "--locked", "--script")),
    "pdm": _verbs("add remove", ("pyproject.toml", "pdm.lock")),
    "pipenv": _verbs("install uninstall", ("Pipfile", "Pipfile.lock")),
    "cargo": _verbs("add remove rm", ("Cargo.toml",), never=tuple(set(_ELSE) - {"-F"}))
    | _verbs("update generate-lockfile", ("Cargo.lock",), packages=False, never=("--dry-run", "--manifest-path", "-n")),
    "go": _verbs("get", ("go.mod", "go.sum"), never=("-h", "-C")),
    "bundle": _verbs("add", ("Gemfile",)) | _verbs("update lock", ("Gemfile.lock",), packages=False),
    "composer": _verbs("require remove", ("composer.json", "composer.lock"), never=(*_ELSE, "-d", "--working-dir"))
    | _verbs("update", ("composer.lock",), packages=False, never=(*_ELSE, "-d", "--working-dir")),
}
"""By program and verb."""

_VALUED = (
    "--registry --tag --group -G --extra --optional --features --rename --branch --rev --git --path --source --index"
)


def package(it: Call) -> None:
    """The files of the verb, in the nearest folder that has the first of them."""
    options = it.options(_VALUED)
    if not options.operands or options.unclear:
        return
    verb, *names = options.operands
    row = PACKAGES.get(it.name, {}).get(verb) if isinstance(verb, str) else None
    if row is None or options.has(*row.never) or (row.packages and not names):
        return
    first = nearest(it, row.files[0])
    if first is None:
        return
    for name in row.files:
        it.write(os.path.join(os.path.dirname(first), name), f"{it.name} {verb}")


def nearest(it: Call, name: str) -> str | None:
    """The file of this name in the folder or the nearest one above; in the folder, when there is none."""
    here = it.state.cwd
    while here is not None and not os.path.isfile(os.path.join(here, name)):
        above = os.path.dirname(here)
        if above == here or os.path.lexists(os.path.join(here, ".git")):
            return it.path(name)
        here = above
    return None if here is None else os.path.join(here, name)


def go(it: Call) -> None:
    """`go get`, `go mod tidy|init|edit`, `go fmt`, `go build -o`."""
    options = it.options("-o -C -modfile -tags -ldflags -gcflags -mod")
    words = options.operands
    if options.unclear or options.has("-C", "-modfile", "-n"):
        return
    if words[:1] == ["mod"] and len(words) > 1 and words[1] in ("tidy", "init", "edit", "vendor"):
        names = {"init": ("go.mod",), "edit": ("go.mod",), "tidy": ("go.mod", "go.sum")}.get(str(words[1]), ())
        looks = not {"-json", "-print", "-diff"}.isdisjoint(str(word) for word in it.args)
        first = nearest(it, "go.mod")
        for name in names if first is not None and not looks else ():
            it.write(os.path.join(os.path.dirname(first or ""), name), f"go mod {words[1]}")
    elif words[:1] == ["fmt"]:
        for word in words[1:] or ["."]:
            folder: Word = word.removesuffix("/...") if isinstance(word, str) else word
            if it.is_folder(folder):
                it.write(folder, "go fmt", tree=True, only=(".go",))
    elif words[:1] == ["build"]:
        if (made := options.get("-o")) is not None and not it.is_folder(made):
            it.write(made, "go build -o")
    else:
        package(it)


def npm(it: Call) -> None:
    """`npm version`, `npm pkg set`, and the verbs of the table."""
    words = it.options(_VALUED).operands
    if words[:1] == ["version"] and len(words) > 1:
        for name in _NPM:
            it.write(nearest(it, name), "npm version")
    elif words[:1] == ["pkg"] and words[1:2] in (["set"], ["delete"]):
        it.write(nearest(it, "package.json"), "npm pkg")
    else:
        package(it)


RULES: dict[str, Callable[[Call], None]] = {
    **dict.fromkeys((name for name in PACKAGES if name not in ("cargo", "go", "npm")), package),
    "go": go,
    "npm": npm,
}
