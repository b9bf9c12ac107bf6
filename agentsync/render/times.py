"""Times as people say them."""

from __future__ import annotations

from datetime import datetime, timedelta


def span(length: timedelta) -> str:
    """`12 s`, `3 min`, `2 h`, `4 d`."""
    seconds = max(int(length.total_seconds()), 0)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min"
    if seconds < 48 * 3600:
        return f"{seconds // 3600} h"
    return f"{seconds // 86400} d"


def ago(then: datetime, now: datetime) -> str:
    """`12 s ago`."""
    return f"{span(now - then)} ago"


def clock(then: datetime, now: datetime) -> str:
    """`14:05 UTC`, with the date when it is another day."""
    return f"{then:%H:%M} UTC" if then.date() == now.date() else f"{then:%Y-%m-%d %H:%M} UTC"


def moment(then: datetime, now: datetime) -> str:
    """`14:05:09 UTC`, with the date when it is another day."""
    return f"{then:%H:%M:%S} UTC" if then.date() == now.date() else f"{then:%Y-%m-%d %H:%M:%S} UTC"
