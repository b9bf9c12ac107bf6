"""How long it takes from a commit to the line that `watch` prints, and whether a burst arrives whole.

    python tests/bench/watch.py [--rounds N] [--burst N]

Events are committed one by one, with pauses, and the printed line is waited for: milliseconds from when the commit had
returned. The floor is `cat`: a line into a pipe, the same line out of another one, with the same pauses. Then two
processes commit as fast as they can, and compact as they go. Nothing is asserted but that nothing is lost or doubled.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))
sys.path.insert(0, str(Path(__file__).parents[1]))

from processes.test_watch import writers

from agentsync.board import open as board

ROOT = Path(__file__).parents[2]
PAUSE_S = 0.02
WATCH = [sys.executable, "-m", "agentsync", "watch", "--json", "--since", "0"]


def environment() -> dict[str, str]:
    """What the command is started with."""
    return {**os.environ, "PYTHONPATH": str(ROOT), "AGENT_SYNC_ID": "watcher"}


def repository(top: str) -> Path:
    """A repository with one event."""
    root = Path(top)
    (root / ".git").mkdir()
    (root / ".git/HEAD").write_text("ref: refs/heads/main\n")
    board(root, agent="alice").register()
    return root


def floor(rounds: int) -> list[float]:
    """Milliseconds of a line through `cat`."""
    process = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
    assert process.stdin is not None
    assert process.stdout is not None
    times = []
    for _ in range(rounds):
        time.sleep(PAUSE_S)
        start = time.perf_counter()
        process.stdin.write(b"line\n")
        process.stdout.readline()
        times.append((time.perf_counter() - start) * 1000)
    process.stdin.close()
    process.wait()
    return times


def printed(rounds: int) -> list[float]:
    """Milliseconds from the return of a commit to its line."""
    with tempfile.TemporaryDirectory() as top:
        root = repository(top)
        process = subprocess.Popen(WATCH, cwd=root, env=environment(), stdout=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(1)  # by now it watches
        store = board(root, agent="alice")._session.store
        times = []
        for number in range(rounds):
            time.sleep(PAUSE_S)
            with store.transaction("alice") as tx:
                tx.commit("note", f"note {number}", (), entry=True)
                start = time.perf_counter()
            assert json.loads(process.stdout.readline())["summary"] == f"note {number}"
            times.append((time.perf_counter() - start) * 1000)
        process.kill()
        process.wait()
    return times


def burst(count: int) -> float:
    """Seconds until so many events of two writers are printed, their start included."""
    with tempfile.TemporaryDirectory() as top:
        root = repository(top)
        process = subprocess.Popen(WATCH, cwd=root, env=environment(), stdout=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()
        start = time.perf_counter()
        busy = writers(root, count // 2)
        said = [json.loads(process.stdout.readline())["rev"] for _ in range(count)]
        took = time.perf_counter() - start
        assert [writer.wait() for writer in busy] == [0, 0]
        process.kill()
        process.wait()
    assert said == list(range(2, count + 2)), "lost or doubled"
    return took


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=200, help="events that are committed one by one")
    parser.add_argument("--burst", type=int, default=20_000, help="events that are committed at once")
    options = parser.parse_args()
    lines, base = printed(options.rounds), statistics.median(floor(options.rounds))
    cuts = statistics.quantiles(lines, n=100, method="inclusive")
    print(f"commit to printed line: p50 {cuts[49]:.2f} ms, p99 {cuts[98]:.2f} ms (wanted: p50 <= 10 ms)")
    print(f"a line through cat:     p50 {base:.2f} ms, ratio {cuts[49] / base:.1f}")
    took = burst(options.burst)
    print(f"a burst of {options.burst} events by two processes: all printed once, in order, in {took:.1f} s")


if __name__ == "__main__":
    main()
