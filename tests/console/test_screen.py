"""The screen, driven by keys without a terminal. What is under it has tests of its own; here is what only a screen does."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("textual")

from console.conftest import Desk, operator_at

from agentsync.console import live
from agentsync.console.app import Console
from agentsync.console.bars import fitted
from agentsync.console.steering import Operator
from agentsync.ops import mail

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from textual.pilot import Pilot
    from world import World

HOSTILE = "\x1b[31m[bold]evil[/] [@click=app.exit]x[/] \u202e"


@pytest.fixture(autouse=True)
def truecolour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)


def play(
    world: World,
    scene: Callable[[Console, Pilot[int]], Awaitable[None]],
    size: tuple[int, int] = (80, 24),
    folder: str = "",
) -> Console:
    """Run a scene on a screen."""

    async def run() -> Console:
        console = Console(Desk(world.clock, world.machine, {}, str(world.root)), "dark")
        console.steering = Operator(operator_at(world, folder))
        console.live.session = operator_at(world)
        try:
            async with console.run_test(size=size) as pilot:
                await pilot.pause()
                await scene(console, pilot)
        finally:
            console.close()
        assert console.problem is None, console.problem
        return console

    return asyncio.run(run())


def shown(console: Console) -> list[str]:
    """The lines of the screen."""
    width, height = console.size
    lines = console.screen._compositor.render_strips()
    assert len(lines) == height
    assert all(strip.cell_length == width for strip in lines)
    return [strip.text for strip in lines]


async def until(pilot: Pilot[int], console: Console, what: Callable[[str], bool]) -> str:
    end = time.monotonic() + 20
    while not what(text := "\n".join(shown(console))):
        assert time.monotonic() < end, text
        await pilot.pause(0.02)
    return text


async def typed(pilot: Pilot[int], text: str) -> None:
    """As if it were pasted: a key each would take a second."""
    console: Any = pilot.app
    console.screen.focused.insert_text_at_cursor(text)
    await pilot.pause(0)


def test_everything_is_there_at_80_by_24_and_what_happens_comes_by_itself(world: World) -> None:
    alice = world.agent("alice")
    alice.registers("backend")
    alice.locks("src/app.py", reason="the new endpoint")

    async def scene(console: Console, pilot: Pilot[int]) -> None:
        text = await until(pilot, console, lambda text: "backend" in text)
        for word in ("1 Agents 1", "2 Locks 1", "1 lock", "locked src/app.py", "? help", "q quit"):
            assert word in text, (word, text)
        await pilot.press("2")
        assert "the new endpoint" in "\n".join(shown(console))
        alice.locks("docs/")
        await until(pilot, console, lambda text: "2 Locks 2" in text and "docs/" in text)

    play(world, scene)


@pytest.mark.parametrize("size", [(80, 24), (200, 50)])
def test_every_view_and_every_story_is_drawn_and_hostile_text_is_text(size: tuple[int, int], world: World) -> None:
    eve = world.agent("eve")
    eve.registers(HOSTILE, HOSTILE)
    eve.makes(HOSTILE, description=HOSTILE)
    eve.claims(HOSTILE)
    eve.locks("[bold]x", reason=HOSTILE)
    mail.send(eve.session, "all", HOSTILE)

    async def scene(console: Console, pilot: Pilot[int]) -> None:
        for key in "12346":
            await pilot.press(key, "enter")
            await pilot.pause(0.05)
            text = "\n".join(shown(console))
            assert "\x1b" not in text
            assert "\u202e" not in text
            assert "[bold]" in text, text
            await pilot.press("escape", "escape", "t")
        await pilot.press("question_mark")
        assert "Keys" in "\n".join(shown(console))

    play(world, scene, size)


def test_a_filter_an_order_and_the_way_back(world: World) -> None:
    alice = world.agent("alice")
    alice.locks("src/a.py", "docs/b.md", "src/c.py")

    async def scene(console: Console, pilot: Pilot[int]) -> None:
        await pilot.press("2", "slash")
        await typed(pilot, "src")
        await pilot.press("enter")
        assert "docs/b.md" not in "\n".join(shown(console)[:18])
        await pilot.press("s", "S")
        first, second = (line for line in shown(console) if "src/" in line and "alice" in line and "locked" not in line)
        assert "src/c.py" in first
        assert "src/a.py" in second
        await pilot.press("escape")
        assert "docs/b.md" in "\n".join(shown(console)[:18])

    play(world, scene)


def test_the_selection_stays_on_its_thing_whatever_comes_before_it(world: World) -> None:
    alice = world.agent("alice")
    alice.locks("m.py")

    async def scene(console: Console, pilot: Pilot[int]) -> None:
        await pilot.press("2")
        alice.locks("a.py", "z.py")
        await until(pilot, console, lambda text: "2 Locks 3" in text)
        assert console.rows.selected is not None
        assert console.rows.selected.item.held.lock.path == "m.py"
        alice.unlocks("m.py")
        await until(pilot, console, lambda text: "2 Locks 2" in text)
        assert console.rows.selected.item.held.lock.path == "z.py", "what stands in its place"
        await pilot.press("6")
        alice.locks("b.py")
        await until(pilot, console, lambda text: "locked b.py" in text)
        assert console.rows.selected.item.summary.endswith("locked b.py"), "the feed flows past a cursor at its top"

    play(world, scene)


def test_what_hurts_is_done_only_when_it_is_meant(world: World) -> None:
    alice = world.agent("alice")
    alice.registers("backend")
    alice.locks("src/app.py")

    async def scene(console: Console, pilot: Pilot[int]) -> None:
        await pilot.press("f", "n")
        await pilot.pause(0.1)
        assert alice.holds() == ["src/app.py"]
        await pilot.press("f")
        assert "1 lock of 1 agent" in "\n".join(shown(console))
        await pilot.press("y")
        await until(pilot, console, lambda text: "FROZEN" in text)
        assert not alice.may_edit("src/app.py")
        await pilot.press("f")
        await until(pilot, console, lambda text: "FROZEN" not in text)
        alice.locks("src/app.py")
        await until(pilot, console, lambda text: "2 Locks 1" in text)
        await pilot.press("2", "u")
        assert "is held by backend (alice), active" in "\n".join(shown(console))
        await pilot.press("y")
        await until(pilot, console, lambda text: "2 Locks 0" in text)

    play(world, scene)
    assert alice.holds() == []
    assert world.agent("alice").session.is_alone(), "the operator has left"


def test_a_lock_that_others_hold_is_taken_after_another_question(world: World) -> None:
    alice = world.agent("alice")
    alice.locks("src/app.py")

    async def scene(console: Console, pilot: Pilot[int]) -> None:
        await pilot.press("l")
        await typed(pilot, "src/app.py")
        await pilot.press("enter", "enter")
        await until(pilot, console, lambda text: "Take it anyway?" in text)
        await pilot.press("y")
        await until(pilot, console, lambda text: "until this console ends" in text)
        assert alice.holds() == []

    play(world, scene)


def test_a_path_is_typed_as_it_is_shown_wherever_the_console_was_started(world: World) -> None:
    alice = world.agent("alice")
    alice.locks("docs/")

    async def scene(console: Console, pilot: Pilot[int]) -> None:
        await pilot.press("l")
        await typed(pilot, "src/*.py")
        await pilot.press("enter", "enter")
        await until(pilot, console, lambda text: "locked src/*.py until" in text)

    play(world, scene, folder="src")


def test_words_and_tasks_by_their_keys(world: World) -> None:
    alice = world.agent("alice")
    alice.registers("backend")

    async def scene(console: Console, pilot: Pilot[int]) -> None:
        await pilot.press("m")  # to whom the row is about
        await typed(pilot, "hello")
        await pilot.press("enter")
        await until(pilot, console, lambda text: "sent m-" in text)
        await pilot.press("n")
        await typed(pilot, "Login")
        await pilot.press("enter", "enter", "enter")
        await until(pilot, console, lambda text: "3 Tasks 1" in text)
        await pilot.press("3", "a")
        await typed(pilot, "alice")
        await pilot.press("enter")
        await until(pilot, console, lambda text: "in progress" in text)
        await pilot.press("b")
        await typed(pilot, "no key")
        await pilot.press("enter")
        await until(pilot, console, lambda text: "blocked" in text and "no key" in text)
        await pilot.press("c", "y")
        await until(pilot, console, lambda text: "cancelled" in text)
        await pilot.press("b")
        await typed(pilot, "again")
        await pilot.press("enter")
        await until(pilot, console, lambda text: "is cancelled" in text)  # an error of the operation, in the last line

    play(world, scene)
    assert "hello" in alice.was_told()


def test_mail_to_the_operator_counts_as_read_once_its_story_is_shown(world: World) -> None:
    alice = world.agent("alice")
    alice.registers()

    async def scene(console: Console, pilot: Pilot[int]) -> None:
        console.steering.send("alice", "who are you?")
        mail.send(alice.session, "operator", "backend")
        await until(pilot, console, lambda text: "1 for you" in text)
        await pilot.press("4", "enter")
        await until(pilot, console, lambda text: "for you" not in text)

    play(world, scene)


def test_a_board_that_is_made_anew_is_shown_anew(world: World) -> None:
    import shutil

    world.agent("alice").registers("first")

    async def scene(console: Console, pilot: Pilot[int]) -> None:
        await until(pilot, console, lambda text: "first" in text)
        shutil.rmtree(world.state)
        world.agent("bob").registers("second")
        console.live.look()  # which comes by itself within seconds: the revision is the same
        await until(pilot, console, lambda text: "second" in text and "first" not in text)

    play(world, scene)


def test_a_look_that_fails_is_told_and_the_next_one_that_works_too(world: World) -> None:
    world.agent("alice").registers("backend")

    async def scene(console: Console, pilot: Pilot[int]) -> None:
        hidden = world.state.rename(world.state.with_name("hidden"))
        world.state.write_text("no directory")
        console.live.look()
        await until(pilot, console, lambda text: "not a directory" in text)
        world.state.unlink()
        hidden.rename(world.state)
        console.live.look()
        await until(pilot, console, lambda text: "backend" in text and "not a directory" not in text)

    play(world, scene)


def test_a_dialog_stays_open_while_the_board_moves(world: World) -> None:
    alice = world.agent("alice")
    alice.registers("backend")

    async def scene(console: Console, pilot: Pilot[int]) -> None:
        await pilot.press("o")
        await typed(pilot, "utc")
        alice.locks("src/app.py")
        end = time.monotonic() + 20
        while console.seen.revision < 2 or not console.seen.locks:
            assert time.monotonic() < end
            await pilot.pause(0.02)
        await pilot.press("enter", "enter")
        await until(pilot, console, lambda text: "decided d-" in text)

    play(world, scene)


def test_no_thread_is_left_behind(world: World) -> None:
    import threading

    world.agent("alice").registers()

    async def scene(console: Console, pilot: Pilot[int]) -> None:
        await pilot.press("2")

    console = play(world, scene)
    console.live.join(10)
    assert not console.live.is_alive()
    assert not [thread for thread in threading.enumerate() if "inotify" in thread.name.casefold()]
    assert live.TICK_S > 1


@pytest.mark.parametrize(
    ("text", "width", "tail", "expected"),
    [
        ("abc", 5, False, "abc  "),
        ("abcdef", 4, False, "abc…"),
        ("src/api.py", 7, True, "…api.py"),
        ("審査審査", 5, False, "審査…"),
        ("審査審査", 4, True, "… 査"),
        ("abc", 1, False, "…"),
        ("abc", 0, False, ""),
    ],
)
def test_a_text_is_fitted(text: str, width: int, tail: bool, expected: str) -> None:
    from rich.cells import cell_len

    found: Any = fitted(text, width, tail)
    assert cell_len(found) == width
    if "査" not in expected or not tail:
        assert found == expected
