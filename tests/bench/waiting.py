"""How long it takes a waiter to have the lock: from the commit of a release to the commit of the next grant.

    python tests/bench/waiting.py [--rounds N]

Real processes wait in line for one file; each is granted and lets go at once. Times are those of the log, in
milliseconds. Nothing is asserted.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from agentsync.board import open as board

WORKER = """
import os, sys
from agentsync.__main__ import main
os.chdir(sys.argv[1])
for words in (["lock", "the/file", "--wait=120"], ["unlock", "the/file"]):
    sys.argv = ["agent-sync", *words]
    assert main() == 0
"""


def wakes(count: int) -> list[float]:
    """Milliseconds between each release and the grant that follows it, with `count` in line."""
    with tempfile.TemporaryDirectory() as root:
        Path(root, ".git").mkdir()
        Path(root, ".git/HEAD").write_text("ref: refs/heads/main\n")
        holder = board(root, agent="holder")
        holder.lock("the/file")
        env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
        workers = [
            subprocess.Popen(
                [sys.executable, "-c", WORKER, root],
                env={**env, "AGENT_SYNC_ID": f"worker-{n:02}"},
                stdout=subprocess.DEVNULL,
            )
            for n in range(count)
        ]
        while len(list(Path(root, ".claude/coordination/queue").glob("*.json"))) < count:
            time.sleep(0.05)
        time.sleep(1.5)  # all of them watch
        after = holder.revision()
        holder.unlock("the/file")
        for worker in workers:
            assert worker.wait(120) == 0
        events = [event for event in holder.events(after, timeout=0.1) if event.verb in ("lock", "unlock")]
    grants = [event.actor for event in events if event.verb == "lock"]
    assert len(grants) == len(set(grants)) == count
    return [
        (after.at - before.at).total_seconds() * 1000
        for before, after in pairwise(events)
        if (before.verb, after.verb) == ("unlock", "lock")
    ]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="how often the line is played through")
    rounds = parser.parse_args().rounds
    print("in line   wakes   p50 ms   p99 ms   longest ms")
    for count in (4, 32):
        times = sorted(t for _ in range(rounds if count > 4 else rounds * 5) for t in wakes(count))
        cuts = statistics.quantiles(times, n=100, method="inclusive")
        print(f"{count:7} {len(times):7} {cuts[49]:8.1f} {cuts[98]:8.1f} {times[-1]:12.1f}")


if __name__ == "__main__":
    main()
