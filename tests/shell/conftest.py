"""A small repository that commands are read in. Nothing is run in it, except by the test that says so."""

from __future__ import annotations

from pathlib import Path

import pytest

FILES = [
    "README.md",
    "CHANGELOG.md",
    "Makefile",
    "package.json",
    "package-lock.json",
    "pyproject.toml",
    "go.mod",
    "go.sum",
    "Cargo.toml",
    "Cargo.lock",
    "src/app.py",
    "src/main.rs",
    "src/util.js",
    "src/style.css",
    "lib/core.js",
    "docs/index.md",
    "docs/conf.py",
    "tests/test_app.py",
    "tests/Dockerfile",
    "scripts/build.sh",
    "scripts/gen.js",
    "packages/a/package.json",
    "packages/a/index.js",
    "dist/out.js",
    "build/x.o",
    "coverage/lcov.info",
    "site/index.html",
    "cmd/main.go",
    "artifacts/jq-dist/jq-1.tar.gz",
    "requests/api.py",
    "web/ui/package.json",
    "release/notes.md",
]


@pytest.fixture(scope="session")
def repo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository, which nobody changes: on branch main, with a branch `other` at another commit and `same` at the same one."""
    root = tmp_path_factory.mktemp("shell") / "repo"
    for name in FILES:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("one\ntwo\n")
    heads = root / ".git/refs/heads"
    heads.mkdir(parents=True)
    (root / ".git/HEAD").write_text("ref: refs/heads/main\n")
    for branch, commit in (("main", "a" * 40), ("same", "a" * 40), ("other", "b" * 40)):
        (heads / branch).write_text(commit + "\n")
    return root
