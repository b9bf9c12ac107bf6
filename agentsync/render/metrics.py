"""Metrics as text that both OpenMetrics and the older Prometheus format allow."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agentsync.core.metrics import Family, Sample


def exposition(families: Sequence[Family]) -> str:
    """All families, as an exporter shows them."""
    lines = []
    for family in families:
        lines += [f"# HELP {family.name} {family.about}", f"# TYPE {family.name} {family.type}"]
        suffix = "_total" if family.type == "counter" else ""
        lines += [f"{family.name}{suffix}{_labels(sample)} {_number(sample.value)}" for sample in family.samples]
    return "\n".join([*lines, "# EOF"]) + "\n"


def _labels(sample: Sample) -> str:
    if not sample.labels:
        return ""
    return "{" + ",".join(f'{name}="{_quoted(value)}"' for name, value in sample.labels.items()) + "}"


def _quoted(value: str) -> str:
    """Values of records, which may be anybody's words."""
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    return f"{value:.3f}" if value % 1 else f"{int(value)}"
