"""Mail counts as told when the answer that carries it has left, and only then."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from agentsync.mcp.handover import Handover
from agentsync.ops import mail

if TYPE_CHECKING:
    from world import Player, World


@pytest.fixture
def alice(world: World) -> Player:
    """Who has mail from bob."""
    alice, bob = world.agent("alice"), world.agent("bob")
    alice.registers()
    mail.send(bob.session, "alice", "use tabs")
    return alice


def hands_over(player: Player, end: str) -> str:
    """The text that an answer carries, and what becomes of the answer."""
    handover, texts, ready = Handover(player.session, is_inbox=False), [], threading.Event()

    def take(text: str) -> None:
        texts.append(text)
        ready.set()

    running = threading.Thread(target=handover.run, args=(take,))
    running.start()
    assert ready.wait(30)
    if end:
        getattr(handover, end)()
    running.join(30)
    assert not running.is_alive()
    (text,) = texts
    return text


def test_an_answer_that_left_has_told_it(alice: Player) -> None:
    assert "to you: use tabs" in hands_over(alice, "written")
    assert alice.was_told() == []
    assert hands_over(alice, "written") == ""


@pytest.mark.parametrize("end", ["dropped", ""], ids=["cancelled", "nobody reads"])
def test_an_answer_that_did_not_leave_has_told_nothing(end: str, alice: Player) -> None:
    assert "use tabs" in hands_over(alice, end)
    assert alice.was_told() == ["use tabs"]
    assert "use tabs" in hands_over(alice, "written")
    assert alice.was_told() == []


def test_who_is_not_on_the_board_has_no_mail(world: World) -> None:
    assert hands_over(world.agent("carol"), "") == ""
