"""Several committers at once in one working tree: nobody's file goes into another's commit, and no lock is forgotten."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from repos import Committer, Shop

ROUNDS = 6


def commits(who: Committer, number: int) -> int:
    """Lock, change and commit one's own file, again when git is busy with somebody else's commit."""
    path = f"{who.name}.txt"
    assert who.does("lock", path).code == 0
    who.writes(path, f"{number}\n")
    for tries in range(200):
        if who.git("add", path).code == 0:
            said = who.git("commit", "-qm", f"{who.name} {number}", "-o", path)
            if said.code == 0:
                return tries
            assert "index.lock" in said.err or "cannot lock ref" in said.err, said
        time.sleep(0.01)
    raise AssertionError("git was busy all the time")


def test_two_committers_at_once_commit_and_release_each_their_own(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    shop.hooked()
    agents = [shop.agent(name) for name in ("alice", "bob")]

    def works(who: Committer) -> int:
        return sum(commits(who, number) for number in range(ROUNDS))

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(works, agents))
    assert shop.locks() == {}
    for who in agents:
        log = who.must("log", "--format=%an", "--name-only", "--", f"{who.name}.txt").split()
        assert set(log) == {who.name, f"{who.name}.txt"}
        assert log.count(who.name) == ROUNDS


def test_who_sweeps_up_everything_at_the_same_time_gets_nothing_of_it(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    shop.hooked()
    alice, bob = shop.agent("alice"), shop.agent("bob")
    alice.does("lock", "other.py")
    alice.writes("other.py")

    def sweeps(number: int) -> int:
        bob.writes("README", f"{number}\n")
        return bob.git("commit", "-qam", "all").code

    def keeps(number: int) -> int:
        return alice.does("heartbeat").code

    with ThreadPoolExecutor(2) as pool:
        swept, _ = pool.map(lambda job: [job(n) for n in range(ROUNDS)], (sweeps, keeps))
    assert 0 not in swept
    assert alice.must("log", "--format=%an", "--", "other.py").split() == ["t"]
