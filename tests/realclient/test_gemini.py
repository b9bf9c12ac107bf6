"""What is Gemini's own: paths as the model types them, and that it reads no settings above its folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clients import DRIVERS, MARKS, turn

from agentsync.clients import gemini

if TYPE_CHECKING:
    from collections.abc import Callable

    from clients import Sessions

    Make = Callable[..., Sessions]

pytestmark = MARKS

OTHER = DRIVERS["gemini"].edit("other.txt", "other", "CLOBBERED")


def test_a_relative_path_is_judged_as_the_tool_takes_it(sessions: Make) -> None:
    world = sessions(clients=("gemini",))
    world.command("lock", "other.txt", "--reason", "rewriting it")
    seen: list[str] = []

    def look(_request: object) -> None:
        seen.extend(lock["path"] for lock in world.data("locks"))

    turns = [
        turn("write_file", {"file_path": "other.txt", "content": "CLOBBERED\n"}),
        turn("write_file", {"file_path": "sub/new.txt", "content": "n\n"}),
        {"text": "Done.", "call": look},
    ]
    world.run("a", turns)
    assert (world.repo / "other.txt").read_text() == "other\n"
    assert (world.repo / "sub/new.txt").read_text() == "n\n"
    assert seen == ["other.txt", "sub/new.txt"]


def test_below_the_root_it_runs_no_hooks_and_install_says_so(sessions: Make) -> None:
    """A limit of the client: when this fails, it has been lifted, and the table in hooks/README.md is out of date."""
    world = sessions(clients=("gemini",))
    (world.repo / "sub").mkdir()
    (world.repo / "sub/other.txt").write_text("other\n")
    world.command("lock", "sub/other.txt")
    world.run(
        "a", [turn("write_file", {"file_path": "other.txt", "content": "through\n"}), {"text": "Done."}], cwd="sub"
    )
    assert (world.repo / "sub/other.txt").read_text() == "through\n"
    assert "started in the root" in world.command("install", "--client", "gemini").stdout
    assert any("started in the root" in limit for limit in gemini.LIMITS)


def test_settings_that_were_there_are_kept_and_come_back_byte_for_byte(sessions: Make) -> None:
    world = sessions(clients=("gemini",))
    assert world.command("uninstall", "--client", "gemini").returncode == 0
    settings = world.repo / gemini.SETTINGS
    settings.parent.mkdir()
    mine = '{\n    "general": {"vimMode": false}\n}'
    settings.write_text(mine)
    assert world.command("install", "--client", "gemini").returncode == 0
    world.command("lock", "other.txt", "--reason", "rewriting it")
    world.run("a", [OTHER, {"text": "Done."}])
    assert (world.repo / "other.txt").read_text() == "other\n"
    assert world.command("uninstall", "--client", "gemini").returncode == 0
    assert settings.read_text() == mine
