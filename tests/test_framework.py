"""Under `pre-commit` the framework: the real one, installing this very repository as a hook."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from repos import Committer, Shop
from world import git

TOP = Path(__file__).resolve().parent.parent
STAGES = ("pre-commit", "pre-merge-commit", "post-commit", "post-merge", "pre-push")
IDS = ("agent-sync", "agent-sync-merge", "agent-sync-release", "agent-sync-release-merged", "agent-sync-push")


@pytest.fixture(scope="module")
def framework(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The framework's command, from here or installed for this test."""
    found = shutil.which("pre-commit", path=str(Path(sys.executable).parent)) or shutil.which("pre-commit")
    if found:
        return found
    place = tmp_path_factory.mktemp("framework")
    for command in (
        [sys.executable, "-m", "venv", place / "v"],
        [place / "v/bin/pip", "install", "-q", "pre-commit>=3.2"],
    ):
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"pre-commit cannot be installed: {done.stderr.strip()[-200:]}")
    return str(place / "v/bin/pre-commit")


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """This repository as it stands, committed, as the framework wants it."""
    root = tmp_path_factory.mktemp("product") / "agentsync"
    root.mkdir()
    for name in ("agentsync", "hooks", "schema"):
        shutil.copytree(TOP / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "CHANGELOG.md", "LICENSE", ".pre-commit-hooks.yaml"):
        shutil.copy(TOP / name, root / name)
    git("init", "-q", ".", cwd=root)
    git("add", "-A", cwd=root)
    git("commit", "-q", "-m", "x", cwd=root)
    return root, git("rev-parse", "HEAD", cwd=root).strip()


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, framework: str, product: tuple[Path, str]) -> Shop:
    made = Shop(tmp_path_factory.mktemp("framed"))
    root, revision = product
    hooks = "\n".join(f"      - id: {name}" for name in IDS)
    config = f"repos:\n  - repo: {root}\n    rev: {revision}\n    hooks:\n{hooks}\n"
    (made.root / ".pre-commit-config.yaml").write_text(config)
    git("add", "-A", cwd=made.root)
    git("commit", "-q", "-m", "config", cwd=made.root)
    installer = committer(made, "installer", product)
    words = [word for stage in STAGES for word in ("--hook-type", stage)]
    said = installer.runs(framework, "install", "--install-hooks", *words)
    if said.code:
        pytest.skip(f"the framework cannot install this package here: {(said.out + said.err).strip()[-300:]}")
    return made


def committer(shop: Shop, name: str, product: tuple[Path, str]) -> Committer:
    safe = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": "*"}
    return shop.agent(name, PRE_COMMIT_HOME=str(product[0].parent / "cache"), **safe)


@pytest.mark.slow
def test_the_framework_refuses_releases_and_warns(shop: Shop, product: tuple[Path, str], tmp_path: Path) -> None:
    alice, bob = (committer(shop, name, product) for name in ("alice", "bob"))
    alice.does("lock", "other.py", "--reason", "new login")
    bob.writes("other.py")
    said = bob.git("commit", "-am", "x")
    assert said.code == 1
    assert "path: other.py" in said.err
    assert "reason: new login" in said.err
    alice.must("commit", "-qam", "x")
    assert shop.locks() == {}

    git("init", "-q", "--bare", str(tmp_path / "origin.git"), cwd=tmp_path)
    bob.must("remote", "add", "origin", str(tmp_path / "origin.git"))
    bob.must("push", "-q", "origin", "main")
    alice.does("lock", "README")
    (shop.root / ".claude/agent-sync.toml").write_text('pre_push = "enforce"\n')
    bob.must("commit", "-q", "--allow-empty", "-m", "nothing of hers")
    bob.must("push", "-q", "origin", "main")
    alice.writes("README")
    alice.must("commit", "-qm", "y", "README")
    alice.does("lock", "README")
    said = bob.git("push", "origin", "main")
    assert said.code == 1
    assert "path: README" in said.err + said.out
    alice.does("unlock", "--all")

    bob.must("checkout", "-qb", "side", "HEAD~1")
    bob.writes("src/db.py")
    bob.must("commit", "-qm", "z", "src/db.py")
    bob.must("checkout", "-q", "main")
    alice.does("lock", "src/db.py")
    assert bob.git("merge", "--no-ff", "-m", "m", "side").code != 0
    alice.must("commit", "-qm", "m")
    assert shop.locks() == {}, "the merge is hers now, and with it the file"


@pytest.mark.slow
def test_ours_goes_in_beside_the_framework_and_out_again(shop: Shop, framework: str, product: tuple[Path, str]) -> None:
    hooks = shop.root / ".git/hooks"
    before = {path.name: path.read_bytes() for path in hooks.iterdir()}
    alice, bob = (committer(shop, name, product) for name in ("alice", "bob"))
    bob.does("install", "--git")
    alice.does("lock", "src/app.py")
    bob.writes("src/app.py")
    assert bob.git("commit", "-qm", "x", "src/app.py").code == 1
    alice.must("commit", "-qm", "x", "src/app.py")
    bob.does("uninstall", "--git")
    assert {path.name: path.read_bytes() for path in hooks.iterdir()} == before

    words = [word for stage in STAGES for word in ("--hook-type", stage)]
    bob.runs(framework, "uninstall", *words)
    bob.does("install", "--git")
    assert bob.runs(framework, "install", *words).code == 0, "which moves ours aside and runs it"
    assert (hooks / "pre-commit.legacy").exists()
    alice.does("lock", "src/app.py")
    bob.writes("src/app.py", "again\n")
    assert bob.git("commit", "-qm", "x", "src/app.py").code == 1
    bob.does("uninstall", "--git")
    assert not [path.name for path in hooks.iterdir() if path.suffix == ".legacy"]
