"""Every command about other machines, killed before its file-system calls: here and on the board it is all or nothing.

The engine is one whose board is a file, so that a swap that happened before the kill has happened.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
from crash.killing import Snapshot, kill_before
from invariants import check_replay, check_store
from remote.cluster import Agent, Cluster
from remote.memory import FileHub
from rounds import LONG

from agentsync.core.lease import is_guest
from agentsync.core.progress import Says
from agentsync.ops import decisions, mail, remote, tasks

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class Scene:
    """Alice, whose commands are killed, and Bob on another machine."""

    def __init__(self, tmp_path: Path) -> None:
        self.board = tmp_path / "board"
        self.cluster = Cluster(tmp_path, FileHub(self.board))
        self.east, self.west = self.cluster.machine("east"), self.cluster.machine("west")
        self.bob, self.alice = self.west.agent("bob"), self.east.agent("alice")
        self.bob.takes("his.py")
        self.alice.takes("hers.py")
        self.alice.locks("local.py")

    @property
    def address(self) -> str:
        return f"memory:{self.east.root}"

    def shared(self) -> set[str]:
        """Paths that Alice's state says are hers on all machines."""
        return {lock.path for lock in self.east.locks() if lock.machine is not None and not is_guest(lock)}

    def on_board(self) -> set[str]:
        """Paths that the board says are hers."""
        return {path for path, holder in self.cluster.board().items() if holder.startswith("alice.")}


def lock(scene: Scene) -> None:
    assert scene.alice.takes("src/", "@db")


def take_over(scene: Scene) -> None:
    assert scene.alice.takes("local.py")


def be_refused(scene: Scene) -> None:
    assert not scene.alice.takes("his.py", "free.py")


def unlock(scene: Scene) -> None:
    scene.alice.unlocks("hers.py")


def force(scene: Scene) -> None:
    scene.alice.unlocks("his.py", force=True)


def sync(scene: Scene) -> None:
    scene.alice.syncs()


def rewound(scene: Scene) -> None:
    scene.alice.syncs()


def leave(scene: Scene) -> None:
    remote.remove(scene.alice.session)


def join(scene: Scene) -> None:
    remote.add(scene.alice.session, scene.address)


def before(scene: Scene, act: Callable[[Scene], None]) -> None:
    """What the act needs."""
    if act in (sync, force):
        scene.bob.locks("his.py", reason="still")
        scene.bob.takes("more.py")
    if act is force:
        scene.alice.syncs()
    if act is rewound:
        scene.alice.syncs()
        scene.cluster.hub.current = sorted(scene.cluster.hub.versions)[1]
        scene.cluster.hub.save()  # type: ignore[attr-defined]
    if act is join:
        remote.remove(scene.alice.session)


@pytest.mark.parametrize(
    "act", [lock, take_over, be_refused, unlock, force, sync, rewound, leave, join], ids=lambda act: act.__name__
)
def test_who_is_killed_leaves_what_the_next_sync_mends(act: Callable[[Scene], None], tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    before(scene, act)
    start, kept = Snapshot(scene.east.state), tmp_path / "kept"
    shutil.copy(scene.board, kept)
    for call in range(1, 2000):
        start.restore()
        shutil.copy(kept, scene.board)
        killed = kill_before(call, lambda: act(scene), only_changing=not LONG)
        held = {path: holder for path, holder in scene.cluster.board().items() if holder.startswith("bob.")}
        assert act is force or "his.py" in held or act is rewound, "nobody else's lock went"
        scene.alice.beats()  # whoever writes next finishes what was begun
        acknowledged = scene.shared()
        if remote.standing(scene.alice.session) is None:
            join(scene)
        scene.alice.syncs()
        assert scene.shared() == scene.on_board(), f"killed before call {call}"
        assert acknowledged <= scene.shared(), "what the record called confirmed was so"
        check_store(scene.east.state)
        check_replay(scene.east.state)
        if not killed:
            break
        if call % 8 == 0:
            spare = Agent(scene.west.agent("carol").runtime, None)
            assert spare.takes("somewhere/else")
            spare.unlocks("somewhere/else")
    assert call > 10
    if act is lock:
        assert {"src/", "@db"} <= scene.on_board()
    if act is rewound:
        assert {"his.py", "hers.py"} <= set(scene.cluster.board())


class Words(Scene):
    """The same with tasks, mail and decisions on both sides that the other has not heard of."""

    def __init__(self, tmp_path: Path) -> None:
        super().__init__(tmp_path)
        alice, bob = self.alice.session, self.bob.session
        self.task = tasks.create(alice, Says(title="Login form"))
        for agent in (self.alice, self.bob, self.alice):
            agent.syncs()
        tasks.claim(bob, self.task.id)
        tasks.edit(alice, self.task.id, Says(priority=7))
        tasks.create(bob, Says(title="Logo"))
        tasks.create(alice, Says(title="Footer"))
        for session, to in ((bob, "alice"), (alice, "bob")):
            mail.send(session, to, f"to {to}")
            mail.send(session, "all", f"to all, but {to} first")
            decisions.decide(session, f"told {to}")
        self.bob.syncs()


def test_no_word_is_lost_or_doubled_by_a_kill(tmp_path: Path) -> None:
    scene = Words(tmp_path)
    start, bobs, kept = Snapshot(scene.east.state), Snapshot(scene.west.state), tmp_path / "kept"
    shutil.copy(scene.board, kept)
    for call in range(1, 2000):
        start.restore()
        bobs.restore()
        shutil.copy(kept, scene.board)
        killed = kill_before(call, lambda: sync(scene), only_changing=not LONG)
        scene.alice.beats()
        for agent in (scene.alice, scene.bob, scene.alice):
            agent.syncs()
        for agent, other in ((scene.alice, "alice"), (scene.bob, "bob")):
            state = agent.session.store.state()
            said = sorted(message.body for message in state.messages())
            assert said == ["to alice", "to all, but alice first", "to all, but bob first", "to bob"], call
            waiting = [message.body for _, message in state.inbox(agent.id) if message.sender != "agent-sync"]
            assert sorted(waiting) == sorted([f"to {other}", f"to all, but {other} first"]), f"killed before {call}"
            assert sorted(one.text for one in state.decisions()) == ["told alice", "told bob"]
            found = {task.title: task for task in state.tasks()}
            assert found.keys() == {"Login form", "Logo", "Footer"}
            assert (found["Login form"].owner_name, found["Login form"].priority) == ("bob", 7)
        check_store(scene.east.state)
        check_replay(scene.east.state)
        if not killed:
            break
    assert call > 30
