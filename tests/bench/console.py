"""What the console costs: its first paint, an idle one's CPU and memory, and how long a big board keeps it from drawing.

    python tests/bench/console.py [--rounds N] [--directory DIR]

First paints are of the real program on a pseudo-terminal, in turns with the smallest Textual application that paints
two lists, as a ratio to that. Frames are measured inside of one, without a terminal: while another thread commits,
a coroutine that wants to run every 5 ms notes by how much it was late. Nothing is asserted.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import pty
import select
import signal
import statistics
import struct
import subprocess
import sys
import termios
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from measure import compare, options, playground, show

from agentsync.core.progress import Says
from agentsync.ops import agents, decisions, feed, locks, mail, survey, tasks
from agentsync.ops.operator import open_operator
from agentsync.ops.session import Session, open_session
from agentsync.runtime import Runtime

BARE = """
from rich.segment import Segment
from textual.app import App
from textual.scroll_view import ScrollView
from textual.strip import Strip

class Rows(ScrollView):
    def render_line(self, y):
        return Strip([Segment(f"AGENT {y}")])

class Bare(App):
    CSS = "Rows { height: 1fr; }"
    def compose(self):
        yield Rows()
        yield Rows()

Bare().run()
"""

IDLE_S, BURST = 15.0, 300


# ---------------------------------------------------------------- boards
def fill(root: Path, count: int, held: int, events: int) -> list[Session]:
    """A board with so many agents, locks and events."""
    (root / ".git").mkdir(parents=True)
    (root / ".git/HEAD").write_text("ref: refs/heads/main\n")
    sessions = []
    for i in range(count):
        session = open_session(Runtime({"AGENT_SYNC_ID": f"agent-{i:02}", "PATH": os.environ["PATH"]}, str(root)))
        session.store._durable = False
        agents.register(session, ("backend", "frontend", "tests", "docs")[i % 4] + f"-{i}")
        sessions.append(session)
    for i, session in enumerate(sessions):
        paths = [f"src/part{i:02}/module_{k:03}.py" for k in range(held // count)]
        locks.lock(session, paths, reason="the storage layer moves")
        task = tasks.create(session, Says(title=f"Task {i}: make it work", priority=i % 5))
        if i % 3 == 0:
            tasks.claim(session, task.id)
        mail.send(session, "all" if i % 5 == 0 else sessions[i - 1].me.id, f"src/part{i:02} is nearly done")
    decisions.decide(sessions[0], "All times are UTC")
    for i in range(events - sessions[0].store.revision()):
        feed.record(sessions[i % count], f"step {i} is done", "build" if i % 5 == 0 else None)
    return sessions


# ---------------------------------------------------------------- the program on a terminal
class Terminal:
    """A program on a pseudo-terminal of 24 by 80."""

    def __init__(self, words: list[str], cwd: Path) -> None:
        self.started = time.perf_counter()
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.environ["TERM"] = "xterm-256color"
            os.chdir(cwd)
            os.execv(words[0], words)
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))

    def until(self, sought: bytes | None, seconds: float) -> float:
        """Read until something is painted, or for so many seconds; the time since the start."""
        got, end = b"", time.perf_counter() + seconds
        while time.perf_counter() < end:
            if select.select([self.fd], [], [], 0.05)[0]:
                try:
                    got += os.read(self.fd, 1 << 16)
                except OSError:  # it has ended
                    break
                if sought is not None and sought in got:
                    break
        return time.perf_counter() - self.started

    def cpu(self) -> float:
        """Seconds that it has computed."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory(self) -> float:
        """The most memory that it has had, in MB."""
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024

    def end(self) -> None:
        """Stop it."""
        os.kill(self.pid, signal.SIGTERM)
        self.until(None, 0.5)
        os.waitpid(self.pid, 0)
        os.close(self.fd)


def painted(words: list[str], cwd: Path) -> float:
    """Seconds until it has painted."""
    terminal = Terminal(words, cwd)
    took = terminal.until(b"AGENT", 20)
    terminal.end()
    return took


def at_rest(words: list[str], cwd: Path) -> None:
    """CPU and memory of one that nobody touches, on a board where nothing happens."""
    terminal = Terminal(words, cwd)
    terminal.until(None, 4)
    before = terminal.cpu()
    terminal.until(None, IDLE_S)
    share = (terminal.cpu() - before) / IDLE_S * 100
    print(f"  idle: {share:.2f} % of a CPU (wanted: under 1), {terminal.memory():.0f} MB at most (wanted: under 120)")
    terminal.end()


# ---------------------------------------------------------------- frames
async def frames(root: Path, sessions: list[Session]) -> None:
    """How long keys and looks keep a wide screen from drawing, and how late the loop is while others commit."""
    from agentsync.console.app import Console
    from agentsync.console.live import News

    late: list[float] = []
    stop = threading.Event()

    async def beat() -> None:
        while not stop.is_set():
            started = time.perf_counter()
            await asyncio.sleep(0.005)
            late.append((time.perf_counter() - started - 0.005) * 1000)

    console = Console(Runtime(cwd=str(root)), "dark")
    async with console.run_test(size=(160, 48)) as pilot:
        await pilot.pause(2)  # the events before are told
        beats = asyncio.create_task(beat())
        for key, name in (("1", "agents"), ("2", "locks"), ("6", "feed")):
            await pilot.press(key)
            await pilot.pause(0.3)
            taken = []
            late.clear()
            for _ in range(20):
                started = time.perf_counter()
                console._take(News(console.seen, [], [], anew=False))
                taken.append((time.perf_counter() - started) * 1000)
                await asyncio.sleep(0.05)
            looks, late[:] = middle(late), []
            for _ in range(60):
                console.rows.action_move(1)
                await asyncio.sleep(0.02)
            print(
                f"  {name} ({len(console.tables[name])} rows): a look is taken in {middle(taken)} ms (p50, p95, most)"
            )
            print(f"    the loop is late by {looks} ms while looks come, by {middle(late)} ms while keys do")
        late.clear()
        await asyncio.sleep(2)
        idle, late[:] = middle(late), []
        started = time.perf_counter()
        burst = threading.Thread(target=commits, args=(sessions,))
        burst.start()
        while burst.is_alive():
            await asyncio.sleep(0.05)
        took = time.perf_counter() - started
        stop.set()
        await beats
        print(f"  the loop is late by {idle} ms at rest, by {middle(late)} ms in {BURST} commits within {took:.1f} s")
    console.close()


def commits(sessions: list[Session]) -> None:
    """What others do meanwhile: real commits, some sixty a second, in another process as in life."""
    script = (
        "import sys, time\n"
        "from agentsync.board import open as board\n"
        "from agentsync.ops import feed\n"
        "one = board(sys.argv[1], agent='agent-00')\n"
        f"for i in range({BURST}):\n"
        "    feed.record(one._session, f'commit {i}')\n"
        "    time.sleep(0.012)\n"
    )
    root = sessions[0].place.base
    subprocess.run(
        [sys.executable, "-c", script, root], env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    )


def middle(times: list[float]) -> str:
    """Median, 95th percentile and maximum."""
    if len(times) < 2:
        return "-"
    return f"{statistics.median(times):.1f}, {statistics.quantiles(times, n=20)[-1]:.1f}, {max(times):.1f}"


def main() -> None:
    """Measure all of it."""
    chosen = options(9, __doc__)
    program = [chosen.python, "-P", "-m", "agentsync", "console"]
    with playground(chosen.directory) as folder:
        bare = folder / "bare.py"
        bare.write_text(BARE)
        fill(folder / "small", 6, 20, 120)
        big = fill(folder / "big", 60, 2000, 10_000)
        cases = {
            "console, 6 agents, 20 locks (wanted: under 400 ms)": (lambda: painted(program, folder / "small"), None),
            "console, 60 agents, 2,000 locks": (lambda: painted(program, folder / "big"), None),
        }
        rows = compare(lambda: painted([chosen.python, str(bare)], folder), cases, chosen.rounds)
        show("first paint", "the smallest Textual application", rows)
        for name in ("small", "big"):
            print(f"\n{name} board")
            at_rest(program, folder / name)
        started = time.perf_counter()
        survey.survey(open_operator(Runtime(cwd=str(folder / "big"))))
        print(f"  a look takes {(time.perf_counter() - started) * 1000:.0f} ms, in a thread of its own")
        asyncio.run(frames(folder / "big", big))


if __name__ == "__main__":
    main()
