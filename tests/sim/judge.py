"""What must be true, judged by a clock that no machine has: who was told that it holds what, and until when at least."""

from __future__ import annotations

from agentsync.core.paths import Target, looks_like_glob, overlap


def target(path: str) -> Target:
    scope = "glob" if looks_like_glob(path) else "dir" if path.endswith("/") else "file"
    return Target(scope=scope, path=path)


class Judge:
    """Promises, and the time of the last sign of life that certainly reached the board with each."""

    def __init__(self, ttl_s: float = 3600.0) -> None:
        self.ttl_s = ttl_s
        self.held: dict[tuple[int, str], float] = {}

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

    def mine(self, who: int) -> list[str]:
        return [path for name, path in self.held if name == who]
