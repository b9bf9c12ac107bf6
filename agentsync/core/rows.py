"""Cells of tables whose columns go by one of several names, and what people write into them.

Reading is tolerant: what is no time is no time, and whoever asked decides what stands for it.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

PRIORITY = {"lowest": -2, "low": -1, "normal": 0, "medium": 0, "high": 1, "urgent": 2, "highest": 2, "critical": 2}


class Row:
    """One row of a table. Which columns were ever of use is kept for all rows together."""

    def __init__(self, cells: Mapping[str, object], used: set[str]) -> None:
        """Take a row.

        Args:
            cells: By lower-case column names.
            used: Takes the names of columns that said something.
        """
        self._cells = cells
        self._used = used

    def text(self, *names: str) -> str | None:
        """What the first of some columns says that says something; bytes are no text."""
        for name in names:
            value = self._cells.get(name)
            if value is not None and not isinstance(value, bytes) and (text := str(value).strip()):
                self._used.add(name)
                return text
        return None

    def number(self, limit: int, *names: str) -> int | None:
        """A number from 1 to a limit."""
        text = self.text(*names)
        is_number = text is not None and text.isascii() and text.isdigit() and len(text) <= len(str(limit))
        return int(text) if text and is_number and 0 < int(text) <= limit else None

    def time(self, *names: str) -> datetime | None:
        """A time: ISO 8601 (without a zone: UTC, as SQLite has it), or seconds or milliseconds of the epoch."""
        text = self.text(*names)
        if text is None:
            return None
        try:
            if re.fullmatch(r"[0-9]{9,14}(\.[0-9]*)?", text):
                number = float(text)
                return datetime.fromtimestamp(0, UTC) + timedelta(seconds=number / 1000 if number > 10**11 else number)
            found = datetime.fromisoformat(text)
            return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
        except (ValueError, OverflowError):
            return None

    def words(self, *names: str) -> list[str]:
        """A list: JSON, or with commas."""
        text = self.text(*names)
        if text is None:
            return []
        try:
            found = msgspec.json.decode(text)
            return [str(word) for word in found] if isinstance(found, list) else [str(found)]
        except (msgspec.MsgspecError, UnicodeEncodeError, RecursionError):
            return [word.strip() for word in text.split(",") if word.strip()]

    def priority(self, limit: int) -> int:
        """A number from -limit to limit, or a word that stands for one; 0 when it is neither."""
        text = self.text("priority") or "0"
        try:
            number = PRIORITY[text.lower()] if text.lower() in PRIORITY else int(float(text))
        except (ValueError, OverflowError):
            return 0
        return max(min(number, limit), -limit)


def rows(cells: Iterable[Mapping[str, object]], used: set[str]) -> list[Row]:
    """The rows of a table."""
    return [Row(row, used) for row in cells]


def path_of(text: str | None) -> str | None:
    """A path as records have it; None for one that leads out of the repository, or nowhere."""
    text = (text or "").replace("\\", "/")
    parts = [part for part in text.split("/") if part not in ("", ".")]
    if not parts or ".." in parts or "\0" in text:
        return None
    return ("/" if text.startswith("/") else "") + "/".join(parts) + ("/" if text.endswith("/") else "")
