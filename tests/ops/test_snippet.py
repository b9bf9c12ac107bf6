"""The lines for agents: into the files that are there, and out again so that every byte is as it was."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from world import World

from agentsync.cli.main import main
from agentsync.errors import AgentSyncError, NotFoundError, UsageError
from agentsync.ops import snippet
from agentsync.ops.snippet import BEGIN, END, LINES, with_lines, without_lines

if TYPE_CHECKING:
    from world import Player

TEXTS = st.lists(st.sampled_from(["# Rules", "", " ", "ü", "\t", "\ufeff", "\r", "\n", "\n", "\r\n"]), max_size=12).map(
    "".join
)


# ---------------------------------------------------------------- texts
@given(TEXTS | st.text())
@example("")
@example("\n")
@example("no newline at the end")
@example("dos\r\n")
@example("dos\r\nwithout")
@example("\r")
def test_out_again_every_character_is_as_it_was(text: str) -> None:
    made = with_lines(text)
    assert without_lines(made) == text
    assert with_lines(made) == made
    assert made.startswith(text)
    assert made.count(BEGIN) == made.count(END) == 1
    assert bool(text) is False or made.endswith("\n") is text.endswith("\n")


def test_a_file_that_was_not_there_is_not_there_again() -> None:
    made = with_lines(None)
    assert made.splitlines() == list(LINES)
    assert without_lines(made) is None
    assert without_lines(None) is None


def test_there_are_eight_lines_at_most_and_none_is_long() -> None:
    assert len(LINES) <= 8
    assert len("\n".join(LINES)) < 1000


def test_they_have_the_line_ends_of_the_file() -> None:
    made = with_lines("# Rules\r\n")
    assert made.count("\n") == made.count("\r\n")


@given(TEXTS, TEXTS)
def test_what_others_wrote_around_them_stays(before: str, after: str) -> None:
    made = with_lines(before)
    if not made.endswith("\n"):
        made += "\n"
    end = "\r\n" if "\r\n" in made else "\n"
    left = without_lines(f"{made}{end}MORE{after}")
    assert left is not None
    assert left.startswith(before)
    assert left.endswith(f"MORE{after}")
    assert BEGIN not in left


def test_lines_of_an_earlier_version_are_replaced_where_they_are() -> None:
    old = f"# Rules\n\n{BEGIN}\nold words\n{END}\n\n# More\n"
    new = with_lines(old)
    assert "old words" not in new
    assert new.startswith("# Rules\n\n" + BEGIN)
    assert new.endswith(END + "\n\n# More\n")
    assert without_lines(new) == without_lines(old) == "# Rules\n\n# More\n"


@pytest.mark.parametrize(
    "text", [BEGIN, END, f"{END}\n{BEGIN}\n", f"{BEGIN}\n{BEGIN}\n{END}\n", f"{BEGIN}\n{END}\n" * 2]
)
def test_half_a_pair_of_markers_is_left_for_a_person(text: str) -> None:
    for edit in (with_lines, without_lines):
        with pytest.raises(ValueError, match="once each"):
            edit(text)


# ---------------------------------------------------------------- files
@pytest.fixture
def alice(world: World) -> Player:
    return world.agent("alice")


def adds(player: Player, file: str | None = None) -> list[str]:
    changes = snippet.added(player.session, file)
    snippet.apply(changes)
    return [Path(change.path).name for change in changes]


def removes(player: Player, file: str | None = None) -> list[str]:
    changes = snippet.removed(player.session, file)
    snippet.apply(changes)
    return [Path(change.path).name for change in changes]


def test_where_no_file_is_there_agents_md_is_made_and_goes_again(world: World, alice: Player) -> None:
    assert adds(alice) == ["AGENTS.md"]
    assert adds(alice) == []
    assert removes(alice) == ["AGENTS.md"]
    assert not (world.root / "AGENTS.md").exists()
    assert removes(alice) == []


def test_only_files_that_are_there_get_them(world: World, alice: Player) -> None:
    old = {"CLAUDE.md": b"\xef\xbb\xbf# Rules\r\n", "GEMINI.md": b""}
    for name, content in old.items():
        (world.root / name).write_bytes(content)
    (world.root / "CLAUDE.md").chmod(0o600)
    assert adds(alice) == ["CLAUDE.md", "GEMINI.md"]
    assert not (world.root / "AGENTS.md").exists()
    assert (world.root / "CLAUDE.md").stat().st_mode & 0o777 == 0o600
    assert removes(alice) == ["CLAUDE.md", "GEMINI.md"]
    assert {name: (world.root / name).read_bytes() for name in old} == old


def test_a_link_to_another_of_them_and_a_file_that_reads_another_say_it_once(world: World, alice: Player) -> None:
    (world.root / "AGENTS.md").write_text("# Rules\n")
    (world.root / "CLAUDE.md").symlink_to("AGENTS.md")
    (world.root / "GEMINI.md").write_text("# Gemini\n@./AGENTS.md\n")
    assert adds(alice) == ["AGENTS.md"]
    assert (world.root / "CLAUDE.md").is_symlink()
    assert (world.root / "CLAUDE.md").read_text().count(BEGIN) == 1
    assert removes(alice) == ["AGENTS.md"]
    assert (world.root / "AGENTS.md").read_text() == "# Rules\n"


def test_one_file_by_name_is_relative_to_where_one_is(world: World) -> None:
    player = world.agent("alice", cwd=world.root / "src")
    assert adds(player, "RULES.md") == ["RULES.md"]
    assert (world.root / "src/RULES.md").exists()
    assert removes(player) == [], "only the three known names are looked at unasked"
    assert removes(player, "RULES.md") == ["RULES.md"]
    assert not (world.root / "src/RULES.md").exists()


def test_nothing_outside_of_the_working_tree_is_touched(world: World, alice: Player, tmp_path: Path) -> None:
    outside = tmp_path / "shared.md"
    outside.write_text("theirs\n")
    (world.root / "CLAUDE.md").symlink_to(outside)
    assert adds(alice) == ["AGENTS.md"]
    for file in ("../shared.md", "CLAUDE.md", str(outside)):
        with pytest.raises(UsageError, match="not in the working tree"):
            adds(alice, file)
    with pytest.raises(NotFoundError):
        adds(alice, "no/such/folder.md")
    with pytest.raises(NotFoundError):
        removes(alice, "nothing.md")
    assert outside.read_text() == "theirs\n"


@pytest.mark.parametrize("content", [b"\xff\xfe", f"{BEGIN}\n".encode()])
def test_what_cannot_be_understood_is_left_untouched(content: bytes, world: World, alice: Player) -> None:
    (world.root / "AGENTS.md").write_bytes(content)
    with pytest.raises(AgentSyncError, match="left untouched"):
        adds(alice)
    assert (world.root / "AGENTS.md").read_bytes() == content


# ---------------------------------------------------------------- the command
def types(*words: str) -> int:
    return main(words)


def test_the_flag_adds_them_to_the_hooks_and_uninstall_takes_both(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(world.root)
    (world.root / "AGENTS.md").write_bytes(b"# Rules")
    assert types("install", "--client", "claude", "--agents-md", "--dry-run") == 0
    assert f"+{BEGIN}" in capsys.readouterr().out
    assert (world.root / "AGENTS.md").read_bytes() == b"# Rules"
    assert types("install", "--client", "claude", "--agents-md") == 0
    assert f"changed {world.root}/AGENTS.md\n" in capsys.readouterr().out
    assert types("install", "--client", "claude", "--agents-md") == 0
    assert "the lines for agents: no change" in capsys.readouterr().out
    assert types("uninstall", "--client", "claude") == 0
    assert BEGIN in (world.root / "AGENTS.md").read_text(), "of one client; the lines are for all"
    assert types("uninstall") == 0
    assert (world.root / "AGENTS.md").read_bytes() == b"# Rules"
    assert not (world.root / ".claude/settings.json").exists()


def test_when_they_are_refused_no_hooks_go_in_either(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(world.root)
    assert types("install", "--client", "claude", "--agents-md", "/etc/nothing.md") == 2
    assert "not in the working tree" in capsys.readouterr().err
    assert not (world.root / ".claude/settings.json").exists()


def test_without_the_flag_a_plain_uninstall_says_nothing_of_them(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(world.root)
    (world.root / "AGENTS.md").write_bytes(b"\xff")
    assert types("uninstall", "--json") == 0
    assert '"agents-md"' not in capsys.readouterr().out
