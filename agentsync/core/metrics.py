"""Numbers about a board, as monitoring systems take them: families of samples.

Only gauges and counters, which every reader of Prometheus text knows, also those that know nothing of OpenMetrics.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Literal

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

PREFIX = "agentsync_"

AGES = ((60, "0-1m"), (600, "1m-10m"), (3600, "10m-1h"), (float("inf"), "1h+"))
"""Seconds below which a lock's age falls into a bucket, and what the bucket is called."""


class Sample(Struct, frozen=True, gc=False):
    """One number."""

    value: float
    labels: dict[str, str] = {}


class Family(Struct, frozen=True, gc=False):
    """What a number means, and the number for each combination of labels."""

    name: str
    """With `PREFIX`; a counter's samples have the suffix `_total` besides."""
    type: Literal["gauge", "counter"]
    about: str
    samples: tuple[Sample, ...]


def gauge(name: str, about: str, value: float | None) -> Family:
    """A number that goes up and down; None = not known now."""
    return Family(PREFIX + name, "gauge", about, () if value is None else (Sample(value),))


def counter(name: str, about: str, value: float) -> Family:
    """A number that only grows."""
    return Family(PREFIX + name, "counter", about, (Sample(value),))


def counted(name: str, about: str, label: str, values: Iterable[str], known: Sequence[str]) -> Family:
    """How many there are of each value of a label.

    Args:
        name: Of the family.
        about: What is counted.
        label: Its only label.
        values: One for each thing that is counted.
        known: Values that are there even when nothing has them, so that a graph has no holes.
    """
    count = Counter(values)
    names = dict.fromkeys((*known, *sorted(count)))
    return Family(PREFIX + name, "gauge", about, tuple(Sample(count[value], {label: value}) for value in names))


def bucket(since: datetime, now: datetime) -> str:
    """The bucket of `AGES` that something of that age falls into."""
    age = (now - since).total_seconds()
    return next(name for limit, name in AGES if age < limit)
