"""What a report of a long past costs: `python tests/bench/report.py [--python PYTHON] [--rounds N] [--directory DIR]`.

Fifty thousand events of twelve agents. Making the page: the floor is `agent-sync log --since 0 --agent nobody`, which
reads the same events and prints none. Opening it, where there is a Chromium: the floor is an empty page there.
"""

from __future__ import annotations

import statistics
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import browser
import past
from measure import Command, Repository, compare, options, playground, show

EVENTS = 50_000
PAINTED = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime"
READY = "document.documentElement.dataset.ready"


def opened(page: browser.Browser, url: str, ready: str) -> tuple[float, float]:
    """Milliseconds from the navigation to the first paint, and until everything is there."""
    page.ask("Page.navigate", url="about:blank")
    page.ask("Page.navigate", url=url)
    page.until(f"({PAINTED}) && ({ready})")
    return float(page.run(PAINTED)), float(page.run(ready))


def main() -> None:
    """Print the tables."""
    given = options(9, __doc__)
    with playground(given.directory) as folder:
        repository = Repository(folder / "repo", given.python)
        past.make(repository.state, EVENTS)
        program, env = (given.python, "-P", "-m", "agentsync"), {**repository.env, "AGENT_SYNC_ID": "reader"}

        def command(*words: str) -> Command:
            return Command(*program, *words, env=env, cwd=repository.root)

        page = folder / "report.html"
        cases = {
            "report": (command("report", "--since", "0", "--output", str(page)), None),
            "report --json": (command("report", "--since", "0", "--json"), None),
            "hotspots": (command("hotspots", "--since", "0"), None),
        }
        floor = command("log", "--since", "0", "--agent", "nobody")
        show(f"{EVENTS} events", "log --since 0 --agent nobody", compare(floor, cases, given.rounds))
        print(f"  the page has {page.stat().st_size / 1e6:.1f} MB")
        if browser.find() is None:
            print("no Chromium is installed, so the page was not opened")
            return
        empty = folder / "empty.html"
        empty.write_text("<!doctype html><title>empty</title><p>nothing")
        times: dict[str, list[float]] = {"empty": [], "paint": [], "ready": []}
        with browser.Browser(folder / "browser") as chromium:
            for turn in range(given.rounds + 2):
                nothing, _ = opened(chromium, empty.as_uri(), "1")
                paint, ready = opened(chromium, page.as_uri(), READY)
                if turn >= 2:
                    for name, took in (("empty", nothing), ("paint", paint), ("ready", ready)):
                        times[name].append(took)
            assert chromium.complaints == []
        base = statistics.median(times["empty"])
        print(f"\nopening it  (1.00 = first paint of an empty page: {base:.0f} ms)")
        for name, label in (("paint", "first paint"), ("ready", "all tables filled")):
            took = statistics.median(times[name])
            print(f"  {label:<20}{took / base:6.2f}  {took:8.0f} ms")


if __name__ == "__main__":
    main()
