"""Coverage-guided fuzzing of every reader of bytes, where atheris can be had. Not part of the test suite.

    pip install atheris
    python tests/fuzz/atheris_readers.py record -max_total_time=600        one reader; options are libFuzzer's
    python tests/fuzz/atheris_readers.py all -max_total_time=60            each in turn, in a process of its own

New inputs that reach new code are kept in a directory of the system's for temporary files, whose name is printed. One
that breaks a law stops the run; put it into `corpus/found/<reader>/`, where `test_readers.py` runs it from then on.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]


def main() -> int:
    """Fuzz one reader, or each in turn."""
    if len(sys.argv) < 2:
        print(__doc__)
        return 2
    if sys.argv[1] == "all":
        from fuzz.readers import READERS

        return max(
            subprocess.run([sys.executable, __file__, name, *sys.argv[2:]], check=False).returncode for name in READERS
        )
    return fuzz(sys.argv[1], sys.argv[2:])


def fuzz(name: str, options: list[str]) -> int:
    """Let libFuzzer choose the bytes; returns when its time is over, or does not return."""
    import atheris

    with atheris.instrument_imports(include=["agentsync"]):
        from fuzz.readers import READERS
    from fuzz.test_readers import seeds

    reached = tempfile.mkdtemp(prefix=f"agent-sync-fuzz-{name}-")
    begin = tempfile.mkdtemp(prefix="agent-sync-seeds-")
    kept = Path(__file__).parent / "corpus/found" / name
    for number, data in enumerate([*seeds(name), *(path.read_bytes() for path in kept.glob("*"))]):
        Path(begin, str(number)).write_bytes(data)
    print(f"{name}: what reaches new code is kept in {reached}", flush=True)
    atheris.Setup([sys.argv[0], *options, f"-artifact_prefix={reached}/crash-", reached, begin], READERS[name])
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())
