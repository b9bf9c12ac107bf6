"""Formatters and fixers: a row says when they write, and which names they touch in a folder."""

from __future__ import annotations

import os
from collections.abc import Callable

from msgspec import Struct

from agentsync.shell.call import Call
from agentsync.shell.words import Word


class Formatter(Struct, frozen=True):
    """One program, or one verb of it."""

    only: tuple[str, ...]
    """How the names end that it takes from a folder."""
    needs: tuple[str, ...] = ()
    """It writes only with one of these; empty: unless told otherwise."""
    never: tuple[str, ...] = ()
    """With one of these it only looks."""
    valued: str = ""
    """Options that take a value."""
    verb: str = ""
    """The first operand, where it has several modes."""
    here: bool = False
    """Without an operand it takes the folder it runs in."""
    quiet: tuple[str, ...] = ("--help", "--version", "-h")
    flat: bool = False
    """It does not take folders."""
    clusters: bool = True
    """`-ab` is `-a -b`."""


_PY = (".py", ".pyi", ".ipynb")
_JS = (".js", ".jsx", ".ts", ".tsx", ".mjs", ".cjs", ".mts", ".cts", ".vue", ".svelte")
_WEB = (*_JS, ".json", ".json5", ".css", ".scss", ".less", ".html", ".md", ".mdx", ".yaml", ".yml", ".graphql", ".hbs")
_C = (".c", ".h", ".cc", ".cpp", ".cxx", ".hpp", ".hh", ".m", ".mm", ".java", ".js", ".json", ".proto", ".cs")
_BLACK = (
    "-l -t -c -W --line-length --target-version --code --workers --config --exclude --include --extend-exclude "
    + ("--force-exclude --stdin-filename --required-version --line-ranges")
)
_RUFF = "-e --select --ignore --extend-select --exclude --config --line-length --target-version --output-format -o " + (
    "--extend-ignore --fixable --unfixable --cache-dir --output-file --stdin-filename --per-file-ignores --range"
)
_ESLINT = "-c --config -f --format --ext --rule --plugin -o --output-file --max-warnings --ignore-pattern --parser " + (
    "--parser-options --env --global --cache-location --cache-strategy --cache-file "
    "--resolve-plugins-relative-to --ignore-path"
)
_PRETTIER = "--config --ignore-path --parser --plugin --print-width --tab-width --loglevel --log-level --stdin-filepath"
_PEP8 = (
    "-j --jobs --select --ignore --max-line-length --exclude -p --indent-size --global-config --imports --style -e -l"
)
_ISORT = "-l -p -o --profile --line-length --settings-path --sp -s --skip --sg --skip-glob -w -m --multi-line --src -j"

FORMATTERS: dict[str, tuple[Formatter, ...]] = {
    "black": (Formatter(_PY, never=("--check", "--diff", "-c", "--code"), valued=_BLACK),),
    "isort": (
        Formatter(
            (".py", ".pyi"), never=("-c", "--check", "--check-only", "--diff", "-d"), valued=_ISORT, clusters=False
        ),
    ),
    "ruff": (
        Formatter(_PY, never=("--check", "--diff"), valued=_RUFF, verb="format", here=True),
        Formatter(_PY, ("--fix", "--fix-only"), ("--diff", "--no-fix"), _RUFF, verb="check", here=True),
    ),
    "autopep8": (Formatter((".py",), ("-i", "--in-place"), ("-d", "--diff"), _PEP8),),
    "yapf": (Formatter((".py",), ("-i", "--in-place"), ("-d", "--diff"), _PEP8),),
    "autoflake": (Formatter((".py",), ("-i", "--in-place"), ("-c", "--check", "-cd", "--check-diff"), _PEP8),),
    "docformatter": (Formatter((".py",), ("-i", "--in-place"), ("-c", "--check"), _PEP8),),
    "pyupgrade": (Formatter((".py",), flat=True),),
    "2to3": (Formatter((".py",), ("-w", "--write"), valued="-f -x -j -o --fix --nofix --output-dir"),),
    "prettier": (Formatter(_WEB, ("-w", "--write"), ("-c", "--check", "-l", "--list-different"), _PRETTIER),),
    "eslint": (Formatter(_JS, ("--fix",), ("--fix-dry-run",), _ESLINT),),
    "stylelint": (Formatter((".css", ".scss", ".less", ".sass"), ("--fix",), valued="-c --config -f --formatter"),),
    "standard": (Formatter(_JS, ("--fix",), valued="--global --plugin --env --parser", here=True),),
    "biome": (
        Formatter(_WEB, ("--write", "--fix"), valued="--config-path", verb="format", here=True),
        Formatter(_WEB, ("--write", "--fix", "--apply"), valued="--config-path", verb="check", here=True),
        Formatter(_WEB, ("--write", "--fix", "--apply"), valued="--config-path", verb="lint", here=True),
    ),
    "deno": (Formatter(_WEB, never=("--check",), valued="-c --config --ext --ignore", verb="fmt", here=True),),
    "gofmt": (Formatter((".go",), ("-w",), valued="-r"),),
    "gofumpt": (Formatter((".go",), ("-w",), valued="-r -lang -modpath"),),
    "goimports": (Formatter((".go",), ("-w",), valued="-local -srcdir"),),
    "rustfmt": (Formatter((".rs",), never=("--check",), valued="--edition --config --config-path --emit", flat=True),),
    "clang-format": (
        Formatter(_C, ("-i",), ("-n", "--dry-run"), "-style --style -lines --lines -assume-filename", flat=True),
    ),
    "shfmt": (
        Formatter((".sh", ".bash"), ("-w", "--write"), ("-d", "--diff", "-f"), "-i -ln --indent --language-dialect"),
    ),
    "rubocop": (
        Formatter(
            (".rb",),
            ("-a", "-A", "--autocorrect", "--autocorrect-all", "--auto-correct"),
            here=True,
            valued="-c -f -o --config --format --out --only --except --require -r",
        ),
    ),
    "terraform": (Formatter((".tf", ".tfvars"), never=("-check", "-write=false"), verb="fmt", flat=True),),
    "cmake-format": (Formatter((".cmake",), ("-i", "--in-place"), valued="-c --config-files -o", flat=True),),
    "stylua": (Formatter((".lua",), never=("-c", "--check"), valued="-f --config-path -g --glob"),),
    "dart": (Formatter((".dart",), never=("-o", "--output"), valued="-o --output -l --line-length", verb="format"),),
    "taplo": (Formatter((".toml",), never=("--check", "--diff"), valued="-c --config -o", verb="fmt"),),
    "ktlint": (Formatter((".kt", ".kts"), ("-F", "--format"), flat=True),),
    "google-java-format": (Formatter((".java",), ("-i", "--replace", "-r"), ("-n", "--dry-run"), flat=True),),
    "buildifier": (Formatter((".bzl", ".bazel"), never=("-mode=check", "-mode=diff", "--mode=check"), flat=True),),
    "nixfmt": (Formatter((".nix",), never=("-c", "--check"), flat=True),),
    "alejandra": (Formatter((".nix",), never=("-c", "--check")),),
    "dos2unix": (Formatter((), never=("-n", "-i", "--info", "-O"), flat=True),),
    "unix2dos": (Formatter((), never=("-n", "-i", "--info", "-O"), flat=True),),
    "yq": (Formatter((), ("-i", "--inplace", "-iy", "-Yi"), valued="-o -p --output-format --input-format", flat=True),),
}


def formatter(it: Call) -> None:
    """The operands, when the call writes."""
    for row in FORMATTERS[it.name]:
        options = it.options(row.valued)
        words = options.operands
        if row.verb:
            if words[:1] != [row.verb]:
                continue
            words = words[1:]
        if it.name == "yq":
            words = words[1:]
        given = {name for name in options.values if row.clusters or name.startswith("--")} | {
            word for word in it.args if isinstance(word, str)
        }
        if options.unclear or not given.isdisjoint(row.never + row.quiet) or "-" in words:
            return
        if row.needs and given.isdisjoint(row.needs):
            return
        how = " ".join((it.name, row.verb, row.needs[-1] if row.needs else "")).strip().replace("  ", " ")
        for word in words or (["."] if row.here else []):
            _note(it, word, how, row)
        return


def _note(it: Call, word: Word, how: str, row: Formatter) -> None:
    if it.is_folder(word):
        if not row.flat:
            it.write(word, how, tree=True, only=row.only)
    elif not (isinstance(word, str) and any(char in "*?[{!" for char in word)):
        it.write(word, how)


def cargo(it: Call) -> None:
    """`cargo fmt`, and the files of `cargo add` and its kin."""
    from agentsync.shell.programs import packages

    options = it.options("--manifest-path -p --package --config -Z --color")
    if options.operands[:1] != ["fmt"]:
        packages.package(it)
    elif "--check" not in it.args and not options.unclear and not options.has("--manifest-path", "-p", "--package"):
        top = packages.nearest(it, "Cargo.toml")
        if top is not None:
            it.write(os.path.dirname(top), "cargo fmt", tree=True, only=(".rs",))


RULES: dict[str, Callable[[Call], None]] = {**dict.fromkeys(FORMATTERS, formatter), "cargo": cargo}
