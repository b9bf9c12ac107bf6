"""How many machines one board carries: `python tests/sim/scale.py`.

Virtual machines run the real commands in virtual time (`clones.py` says what is real) against a hub that takes 30 ms (a
network of one's own) or 400 ms (a forge) for a question, there and back, in the median. Reported is what a lock costs
the one who waits for it, and how often it was pushed until it was there; releases are pushes as well, and compete, but are
not counted. `fair` is Jain's index of the locks that each machine got: 100 % = all as many, near 0 = one has all.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from sim.clones import Crowd
from sim.network import Latency
from sim.workload import HEAD, LOADS, Load, Run

SIZES = (8, 64, 512)


def show(crowd: Crowd, load: Load, told: argparse.Namespace, spans: bool = False) -> None:
    """Rows of one crowd at one load."""
    for parts in told.parts:
        for push_ms in told.push:
            run = Run(crowd, parts, load, Latency(push_ms / 1e3))
            run.go(told.seconds, told.cpu, spans)
            row = run.spanning.row(1, run.seconds) if spans else run.tally.row(crowd.count, run.seconds)
            what = f"{crowd.count:8} {load.name:<12} {parts:4} {push_ms:3} ms"
            print(f"{what}{row} {run.seconds:6.0f} s", flush=True)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--parts", type=int, nargs="+", default=(1, 4, 16))
    parser.add_argument("--loads", nargs="+", choices=list(LOADS), default=list(LOADS), help="a lock how often")
    parser.add_argument("--push", type=int, nargs="+", default=(30, 400), help="how long a question takes, in ms")
    parser.add_argument("--seconds", type=float, default=300.0, help="of virtual time")
    parser.add_argument("--cpu", type=float, default=60.0, help="seconds of processor after which a row ends early")
    told = parser.parse_args()
    columns = f"{'machines':>8} {'a lock':<12} {'refs':>4} {'push':>6}{HEAD} {'run':>8}"
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
        crowds = {size: Crowd(Path(folder) / f"{size}", size) for size in told.sizes}
        print(f"A lock on one path\n{columns}")
        for size in told.sizes:
            for load in told.loads:
                show(crowds[size], LOADS[load], told)
        print(f"\nA lock that touches every ref, while the others lock paths\n{columns}")
        for size in told.sizes:
            show(crowds[size], LOADS["10s"], told, spans=True)


if __name__ == "__main__":
    main()
