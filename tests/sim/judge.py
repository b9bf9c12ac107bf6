"""What must be true, judged by a clock that no machine has: who was told that it holds what, and until when at least."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentsync.core.lease import is_guest
from agentsync.core.paths import Target, looks_like_glob, overlap

if TYPE_CHECKING:
    from collections.abc import Iterable

    from remote.cluster import Agent


def target(path: str) -> Target:
    scope = "glob" if looks_like_glob(path) else "dir" if path.endswith("/") else "file"
    return Target(scope=scope, path=path)


class Judge:
    """Promises, and the time of the last sign of life that certainly reached the board with each."""

    def __init__(self, ttl_s: float = 3600.0) -> None:
        self.ttl_s = ttl_s
        self.held: dict[tuple[int, str], float] = {}
        self.mail: dict[str, list[str]] = {}
        """By its reader: what was acknowledged as sent."""

    def granted(self, who: int, path: str, began: float, now: float) -> None:
        """Somebody was told that it has a lock, which it asked for at `began`.

        Raises:
            AssertionError: Somebody else was promised it for longer.
        """
        wanted = target(path)
        for (other, held), sign in list(self.held.items()):
            if other != who and overlap(target(held), wanted):
                until = sign + self.ttl_s
                assert now >= until, f"{path} is {who}'s at {now:.3f}, and {held} was promised to {other} until {until}"
                del self.held[other, held]
        self.held[who, path] = began

    def released(self, who: int, path: str) -> None:
        """Somebody begins to give a lock up."""
        self.held.pop((who, path), None)

    def synced(self, who: int, left: list[str], began: float, now: float) -> None:
        """Somebody told the board that it is alive, and was told what it still holds.

        Raises:
            AssertionError: Something is missing before its time.
        """
        for name, path in list(self.held):
            if name == who and path in left:
                self.held[who, path] = began
            elif name == who:
                until = self.held.pop((who, path)) + self.ttl_s
                assert now >= until, f"{path} of {who} was lost at {now:.3f}, and promised until {until}"

    def sent(self, body: str, readers: Iterable[str]) -> None:
        """Somebody was told that a message is on its way."""
        for reader in readers:
            self.mail.setdefault(reader, []).append(body)

    def heard(self, reader: str, told: list[str]) -> None:
        """Everything has arrived by now, says somebody.

        Raises:
            AssertionError: A message is missing, or came twice.
        """
        assert sorted(told) == sorted(self.mail.get(reader, []))

    def mine(self, who: int) -> list[str]:
        return [path for name, path in self.held if name == who]


def agree(board: dict[str, str], agents: dict[str, Agent]) -> None:
    """Whether all machines, and the board, say the same about who holds and does what.

    Args:
        board: Holders by path.
        agents: By the name of their machine.

    Raises:
        AssertionError: They do not.
    """
    for machine, agent in agents.items():
        live = {h.lock.path: h.lock for h in agent.session.store.state().locks() if h.live and h.lock.machine}
        mine = {path for path, holder in board.items() if holder == f"{agent.id}.{machine}"}
        assert mine == {path for path, lock in live.items() if not is_guest(lock)}
        for path, lock in live.items():
            assert board[path] == lock.holder if is_guest(lock) else f"{lock.holder}.{machine}"
    work = [
        {seen.task.title: (seen.task.status, seen.task.owner_name) for seen in agent.sees().values()}
        for agent in agents.values()
    ]
    assert all(seen == work[0] for seen in work)
