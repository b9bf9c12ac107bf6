"""Making a repository at the forge. There is no forge here: a stand-in for `gh` writes down what it is asked.

So what these tests show is what we ask, in which order, and what we say; not what GitHub does with it.
"""

from __future__ import annotations

import json
import os
import pty
import sys
from pathlib import Path

import pytest
from repos import BIN, Committer, Shop
from world import git

GH = """#!/bin/sh
# Keeps bare repositories in $FORGE. A file `before` or `after` there names a command that fails, once.
printf '%s\\n' "$*" >>"$FORGE/asked"
env | grep -c '^GH_PROMPT_DISABLED=1$' >/dev/null || exit 90
verb="$1 $2"
fails() {
    [ "$(cat "$FORGE/$1" 2>/dev/null)" = "$verb" ] || return 0
    rm "$FORGE/$1"; echo "something broke ($1)" >&2; exit 1
}
fails before
case "$verb" in
"auth status") [ -e "$FORGE/logged-in" ] || { echo "You are not logged into any GitHub hosts." >&2; exit 1; } ;;
"config get") echo https ;;
"repo create")
    [ -e "$FORGE/$3.git" ] && { echo "GraphQL: Name already exists on this account (createRepository)" >&2; exit 1; }
    git init -q --bare "$FORGE/$3.git" && echo "$4" >"$FORGE/$3.git/kind"; echo "https://forge/you/$3" ;;
"repo view")
    name="$(basename "$3" .git)"; here="$FORGE/$name.git"
    [ -e "$here" ] || { echo "GraphQL: Could not resolve to a Repository with the name 'you/$3'. (repository)" >&2; exit 1; }
    private=false; [ "$(cat "$here/kind")" = --private ] && private=true
    empty=true; [ -n "$(git -C "$here" for-each-ref refs/heads)" ] && empty=false
    printf '{"nameWithOwner":"you/%s","url":"file://%s/%s","sshUrl":"git@forge:you/%s.git","isPrivate":%s,"isEmpty":%s}\\n' \\
        "$name" "$FORGE" "$name" "$name" "$private" "$empty" ;;
"api --silent") ;;
*) echo "unknown command" >&2; exit 1 ;;
esac
fails after
exit 0
"""


class Forge:
    """A person with `gh`, and what that keeps."""

    def __init__(self, tmp_path: Path) -> None:
        self.shop = Shop(tmp_path)
        self.folder = tmp_path / "forge"
        self.bin = tmp_path / "bin"
        for folder in (self.folder, self.bin):
            folder.mkdir()
        (self.bin / "gh").write_text(GH)
        (self.bin / "gh").chmod(0o755)
        (self.folder / "logged-in").touch()
        path = f"{self.bin}:{BIN}:/usr/local/bin:/usr/bin:/bin"
        self.alice: Committer = self.shop.agent("alice", PATH=path, FORGE=str(self.folder))

    def asked(self) -> list[str]:
        file = self.folder / "asked"
        return file.read_text().splitlines() if file.exists() else []

    def made(self) -> list[str]:
        """What was asked for that changes anything."""
        return [line for line in self.asked() if line.startswith(("repo create", "api"))]

    def refs(self, name: str = "shop") -> list[str]:
        return git("for-each-ref", "--format=%(refname)", cwd=self.folder / f"{name}.git").split()

    def remotes(self) -> str:
        return git("remote", "-v", cwd=self.shop.root)


@pytest.fixture
def forge(tmp_path: Path) -> Forge:
    return Forge(tmp_path)


def test_everything_in_one_go(forge: Forge) -> None:
    said = forge.alice.does("provision", "--push", "--invite", "bob", "--invite", "carol-x", "--yes")
    assert (said.code, said.err) == (0, "")
    address = f"file://{forge.folder}/shop.git"
    assert said.out.splitlines() == [
        "done: gh repo create shop --private",
        f"done: git remote add origin {address}",
        "done: git push -u origin main",
        "done: agent-sync remote add origin",
        "done: gh api --silent --method PUT repos/you/shop/collaborators/bob",
        "done: gh api --silent --method PUT repos/you/shop/collaborators/carol-x",
        "other clones take part with: agent-sync remote add origin",
    ]
    assert forge.refs() == ["refs/agentsync/state", "refs/heads/main"]
    assert forge.alice.must("rev-parse", "--abbrev-ref", "main@{upstream}") == "origin/main\n"
    assert forge.made() == [
        "repo create shop --private",
        "api --silent --method PUT repos/you/shop/collaborators/bob",
        "api --silent --method PUT repos/you/shop/collaborators/carol-x",
    ]
    assert forge.alice.answers("remote", "status")["link"]["remote"] == "origin"


def test_nothing_is_pushed_or_public_or_invited_unasked(forge: Forge) -> None:
    assert forge.alice.does("provision", "--yes").code == 0
    assert forge.refs() == ["refs/agentsync/state"]
    assert forge.made() == ["repo create shop --private"]


def test_public_and_named_only_when_said(forge: Forge) -> None:
    (forge.folder / "acme").mkdir()
    assert forge.alice.does("provision", "acme/tool", "--public", "--remote", "hub", "--dry-run").code == 0
    assert forge.alice.does("provision", "tool", "--public", "--remote", "hub", "--yes").code == 0
    assert forge.made() == ["repo create tool --public"]
    assert "hub\t" in forge.remotes()


def test_a_dry_run_changes_nothing(forge: Forge) -> None:
    said = forge.alice.does("provision", "--push", "--invite", "bob", "--dry-run")
    assert (said.code, said.err) == (0, "")
    assert said.out.splitlines() == [
        "would run: gh repo create shop --private",
        "would run: git remote add origin ADDRESS",
        "would run: git push -u origin main",
        "would run: agent-sync remote add origin",
        "would run: gh api --silent --method PUT repos/OWNER/shop/collaborators/bob",
    ]
    assert (forge.made(), forge.remotes()) == ([], "")
    assert not forge.shop.state.exists()
    answer = forge.alice.answers("provision", "--dry-run")
    assert (answer["kind"], answer["dry_run"]) == ("provision", True)
    assert [(step["what"], step["done"]) for step in answer["steps"]] == [
        ("create", False),
        ("remote", False),
        ("board", False),
    ]


@pytest.mark.parametrize("words", [(), ("--json",)])
def test_without_a_terminal_somebody_must_have_said_yes(forge: Forge, words: tuple[str, ...]) -> None:
    said = forge.alice.does("provision", *words)
    assert said.code == 2
    assert "nobody is here to ask" in (said.err or said.out)
    assert (forge.made(), forge.remotes()) == ([], "")


@pytest.mark.parametrize(("answer", "is_done"), [("y", True), ("n", False), ("", False), ("\x04", False)])
def test_on_a_terminal_one_is_asked(forge: Forge, answer: str, is_done: bool) -> None:
    pid, fd = pty.fork()
    if pid == 0:
        os.chdir(forge.shop.root)
        os.execve(sys.executable, [sys.executable, "-P", "-m", "agentsync", "provision"], forge.alice.env)
    seen = b""
    while b"[y/N]" not in seen:
        seen += os.read(fd, 4096)
    assert b"gh repo create shop --private" in seen
    assert forge.made() == []
    os.write(fd, f"{answer}\n".encode() if answer != "\x04" else b"\x04")
    try:
        while chunk := os.read(fd, 4096):
            seen += chunk
    except OSError:
        pass  # Linux: the other end has closed
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    os.close(fd)
    assert (code == 0, bool(forge.made())) == (is_done, is_done)
    assert (b"done:" in seen, b"nothing was done" in seen) == (is_done, not is_done)


# ---------------------------------------------------------------- without gh
@pytest.mark.parametrize("missing", ["program", "login"])
def test_without_gh_it_says_what_to_type(forge: Forge, missing: str) -> None:
    (forge.bin / "gh" if missing == "program" else forge.folder / "logged-in").unlink()
    for words in ((), ("--yes",), ("--dry-run",)):
        said = forge.alice.does("provision", *words)
        assert said.code == 1
        assert said.out.splitlines() == [
            "ssh HOST git init --bare shop.git",
            "git remote add origin HOST:shop.git",
            "git push -u origin main",
            "agent-sync remote add origin",
        ]
        assert {"program": "not installed", "login": "not logged in: You are not"}[missing] in said.err
    answer = forge.alice.answers("provision")
    assert (answer["code"], answer["commands"][0][0]) == (1, "ssh")
    assert (forge.made(), forge.remotes(), forge.shop.state.exists()) == ([], "", False)


def test_what_needs_no_gh_is_done_without_it(forge: Forge, tmp_path: Path) -> None:
    (forge.bin / "gh").unlink()
    git("init", "-q", "--bare", str(tmp_path / "hub.git"), cwd=tmp_path)
    git("remote", "add", "origin", str(tmp_path / "hub.git"), cwd=forge.shop.root)
    said = forge.alice.does("provision", "--yes")
    assert (said.code, said.out.splitlines()[0]) == (0, "done: agent-sync remote add origin")


# ---------------------------------------------------------------- after a failure
@pytest.mark.parametrize(
    ("verb", "when"),
    [
        *((verb, when) for verb in ("repo create", "api --silent") for when in ("before", "after")),
        ("repo view", "before"),
        ("git push", ""),
        ("board", ""),
    ],
)
def test_after_a_failure_the_same_command_goes_on(forge: Forge, verb: str, when: str, tmp_path: Path) -> None:
    words = ("provision", "--push", "--invite", "bob", "--yes")
    if verb in ("git push", "board"):
        broken = tmp_path / "hooks"
        broken.mkdir()
        ref = "refs/heads/main" if verb == "git push" else "refs/agentsync/state"
        (broken / "update").write_text(f'#!/bin/sh\n[ "$1" != {ref} ] || {{ echo no room >&2; exit 1; }}\n')
        (broken / "update").chmod(0o755)
        config = tmp_path / "global"
        config.write_text(f"[core]\n\thooksPath = {broken}\n")
        forge.alice.env["GIT_CONFIG_GLOBAL"] = str(config)
    else:
        (forge.folder / when).write_text(f"{verb}\n")
    said = forge.alice.does(*words)
    assert said.code != 0
    assert said.out.count("done: ") < 5
    if verb != "repo view":
        assert f"{said.out.count('done: ')} of 5 steps are done" in said.err
    forge.alice.env["GIT_CONFIG_GLOBAL"] = os.devnull
    again = forge.alice.does(*words)
    assert (again.code, again.err) == (0, "")
    assert forge.refs() == ["refs/agentsync/state", "refs/heads/main"]
    assert sum(line.startswith("repo create") for line in forge.made()) == (
        2 if (verb, when) == ("repo create", "before") else 1
    )
    assert forge.remotes().count("(fetch)") == 1


def test_a_second_run_finds_it_done(forge: Forge) -> None:
    forge.alice.does("provision", "--yes")
    said = forge.alice.does("provision")
    assert (said.code, said.err) == (0, "")
    assert [line.partition(":")[0] for line in said.out.splitlines()] == ["done already"] * 2
    assert len(forge.made()) == 1


def test_a_failure_in_json_names_what_was_done(forge: Forge) -> None:
    (forge.folder / "before").write_text("api --silent\n")
    answer = forge.alice.answers("provision", "--invite", "bob", "--yes")
    assert (answer["kind"], answer["code"]) == ("error", 1)
    assert [step["what"] for step in answer["done"]] == ["create", "remote", "board"]
    assert "3 of 4 steps are done, 1 left" in answer["message"]


@pytest.mark.parametrize("kind", ["public", "full"])
def test_somebody_elses_repository_of_that_name_is_not_taken(forge: Forge, kind: str) -> None:
    git("init", "-q", "--bare", str(forge.folder / "shop.git"), cwd=forge.folder)
    (forge.folder / "shop.git/kind").write_text("--public\n" if kind == "public" else "--private\n")
    if kind == "full":
        git("push", "-q", str(forge.folder / "shop.git"), "main", cwd=forge.shop.root)
    said = forge.alice.does("provision", "--yes")
    assert said.code == 3
    assert "you/shop exists already and is" in said.err
    assert (forge.made(), forge.remotes()) == ([], "")


@pytest.mark.parametrize(
    "words",
    [
        ("a b",),
        ("--", "-x"),
        ("a/b/c",),
        ("ok", "--remote=-x"),
        ("ok", "--remote", ""),
        ("ok", "--invite", "../x"),
        ("ok", "--invite", "x/y"),
        ("ok", "--invite=-x"),
    ],
)
def test_names_that_cannot_be_one(forge: Forge, words: tuple[str, ...]) -> None:
    said = forge.alice.does("provision", "--yes", *words)
    assert said.code == 2
    assert forge.asked() == []


def test_an_answer_of_another_shape_is_an_error_of_ours(forge: Forge) -> None:
    gh = forge.bin / "gh"
    gh.write_text('#!/bin/sh\n[ "$1" = repo ] && echo "{}"\nexit 0\n')
    said = forge.alice.does("provision", "--yes")
    assert said.code == 1
    assert "gh repo view answers otherwise than documented" in said.err
    assert json.loads(forge.alice.does("provision", "--yes", "--json").out)["code"] == 1
