"""The protocol as models for spin: all interleavings of a few processes, instead of the many that a machine happens on.

Each model must hold, with its search complete; each variant that is broken on purpose must fail, and for the reason
given. `README.md` beside this file tells what is modelled. AGENTSYNC_ROUNDS beyond its default makes the models larger.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest
from rounds import LONG

HERE = Path(__file__).parent

PATIENCE_S = 1800 if LONG else 120
MEMORY_MB = 8000 if LONG else 1000

pytestmark = pytest.mark.skipif(
    not (shutil.which("spin") and shutil.which("cc")), reason="needs spin and a C compiler: apt install spin gcc"
)


class Result(NamedTuple):
    """What the search found."""

    errors: int
    reason: str
    """The first error, as pan words it; empty when there is none."""
    states: int
    complete: bool


def search(directory: Path, model: str, *defines: str) -> Result:
    """Search all states of a model; with a fairness property, all fair cycles."""
    liveness = model == "line" and "CIRCLE" not in defines
    source = f"{model}.pml"
    shutil.copy(HERE / source, directory)

    def run(*command: str) -> str:
        done = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=PATIENCE_S)
        assert done.returncode == 0, f"{command}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
        return done.stdout

    run("spin", "-a", *(f"-D{define}" for define in defines), source)
    kind = ("-DNFAIR=3",) if liveness else ("-DSAFETY",)
    run("cc", "-O2" if LONG else "-O0", "-w", "-DCOLLAPSE", f"-DMEMLIM={MEMORY_MB}", *kind, "-o", "pan", "pan.c")
    out = run("./pan", "-m500000", "-w25" if LONG else "-w20", *(("-a", "-f") if liveness else ()))
    errors, states = re.search(r"errors: (\d+)", out), re.search(r"(\d+) states, stored", out)
    assert errors, out
    assert states, out
    reason = re.search(r"pan:1: (.*) \(at depth", out)
    complete = "Search not completed" not in out and "max search depth too small" not in out
    return Result(int(errors[1]), reason[1] if reason else "", int(states[1]), complete)


GOOD = [
    ("transaction", "EVENTS=3"),
    ("transaction", "EVENTS=2", "CALM"),
    ("reading", "FOLLOW"),
    ("reading", "BACKWARDS"),
    ("reading", "MOMENT", "EVENTS=4"),
    ("line",),
    ("line", "CIRCLE"),
    ("remade",),
]

LARGER = [
    ("transaction", "EVENTS=4"),
    ("transaction", "EVENTS=2", "AGENTS=3"),
    ("reading", "FOLLOW", "EVENTS=8"),
    ("reading", "FOLLOW", "EVENTS=8", "KEEP=2"),
    ("reading", "BACKWARDS", "EVENTS=7", "KEEP=2"),
    ("reading", "MOMENT", "EVENTS=7"),
    ("remade", "EVENTS=3", "STORES=4"),
]


@pytest.mark.parametrize("model", GOOD + LARGER * LONG, ids=" ".join)
def test_the_protocol_keeps_its_promises_in_every_state(
    model: tuple[str, ...], tmp_path: Path, record_property: pytest.RecordProperty
) -> None:
    result = search(tmp_path, *model)
    print(f"{' '.join(model)}: {result.states} states")
    record_property("states", result.states)
    assert (result.errors, result.reason) == (0, "")
    assert result.complete, "the search was cut short"
    assert result.states > 100


NEVER_SERVED = "acceptance cycle"
BROKEN = [
    # the transaction
    ("log[event.rev])&&(intent.rev==0)", "transaction", "EVENTS=2", "NO_GUARD"),
    ("locks[0].holder==should[0].holder", "transaction", "EVENTS=2", "NO_INTENT"),
    ("locks[0].holder==should[0].holder", "transaction", "EVENTS=2", "LOG_FIRST"),
    ("log[event.rev])&&(intent.rev==0)", "transaction", "EVENTS=2", "NO_RECOVERY"),
    ("log[event.rev])&&(intent.rev==0)", "transaction", "EVENTS=2", "LISTED_HEAD"),
    ("locks[0].holder!=locks[1].holder", "transaction", "EVENTS=2", "NO_DROP"),
    ("locks[0].holder!=locks[1].holder", "transaction", "EVENTS=2", "PUT_FIRST"),
    ("event.token>greatest", "transaction", "EVENTS=2", "OLD_TOKEN"),
    ("answered&(1<<rev)", "transaction", "EVENTS=2", "EARLY_ANSWER"),
    ("invalid end state", "transaction", "EVENTS=2", "CALM", "KEPT_GUARD"),
    # reading beside compaction
    ("log|archive", "reading", "FOLLOW", "UNLINK_FIRST"),
    ("log|archive", "reading", "FOLLOW", "LISTED_FOLD"),
    ("in_log||in_archive", "reading", "FOLLOW", "NO_SECOND_LOOK"),
    ("in_log||in_archive", "reading", "FOLLOW", "LOG_LAST"),
    ("first==second", "reading", "MOMENT", "EVENTS=4", "NO_SECOND_LOOK"),
    # the line
    ("holder==0", "line", "NO_RECHECK"),
    ("ended[me]", "line", "NOT_LEFT"),
    (NEVER_SERVED, "line", "PASSES"),
    (NEVER_SERVED, "line", "NO_TIMER"),
    (NEVER_SERVED, "line", "DEAD_COUNT"),
    ("invalid end state", "line", "CIRCLE", "NO_CIRCLE_CHECK"),
    # a state that is deleted and made anew
    ("known==format", "remade", "KEPT_FORMAT"),
    ("known==format", "remade", "ANY_MOMENT"),
    ("of_store>=last_of", "remade", "ONE_LOOK"),
    ("of_store>=last_of", "remade", "OLD_LOOK"),
]


@pytest.mark.parametrize("variant", BROKEN, ids=lambda variant: " ".join(variant[1:]))
def test_what_is_broken_on_purpose_is_found(variant: tuple[str, ...], tmp_path: Path) -> None:
    reason, *model = variant
    result = search(tmp_path, *model)
    assert result.errors > 0, "nobody would notice"
    assert reason in result.reason


def test_every_variant_that_a_model_names_is_tried() -> None:
    tried = {define for _, *model in BROKEN for define in model} | {define for _, *model in GOOD for define in model}
    for source in HERE.glob("*.pml"):
        switches = set(re.findall(r"^#ifn?def (\w+)", source.read_text(), re.MULTILINE))
        sizes = {"AGENTS", "EVENTS", "KEEP", "WAITERS", "DEATHS", "STORES"}
        assert switches - sizes <= tried, source.name
