"""Who is there, and which locks bind: at the thresholds, to the second."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from world import NOON

from agentsync.core.lease import Held, Life, Presence, expiry, held, presence, visible_status
from agentsync.core.policy import DEFAULT, Config
from agentsync.core.records import Agent, Lock

AGENT = Agent(id="alice", name="backend", created_at=NOON, last_seen=NOON)
LOCK = Lock(
    path="src/a.py",
    scope="file",
    mode="exclusive",
    holder="alice",
    holder_name="backend",
    token="s:1",
    acquired_at=NOON,
    expires_at=NOON + timedelta(minutes=60),
    ttl_s=3600,
)
AUTO = replace(LOCK, auto=True, expires_at=NOON + timedelta(minutes=10), ttl_s=600)
SECOND = 1 / 60


def after(minutes: float) -> datetime:
    return NOON + timedelta(minutes=minutes)


def seen_after(silence: float, life: Life, config: Config = DEFAULT, agent: Agent = AGENT) -> Presence:
    return presence(agent, after(silence), life, config)


@pytest.mark.parametrize(
    ("silence", "life", "status"),
    [
        (0, "unknown", "active"),
        (14, "unknown", "active"),
        (15, "unknown", "active"),
        (15 + SECOND, "unknown", "stale"),
        (16, "unknown", "stale"),
        (119, "unknown", "stale"),
        (120, "unknown", "stale"),
        (121, "unknown", "offline"),
        (0, "alive", "active"),
        (14, "alive", "active"),
        (16, "alive", "idle"),
        (121, "alive", "idle"),
        (10_000, "alive", "idle"),
        (0, "dead", "dead"),
        (16, "dead", "dead"),
        (121, "dead", "dead"),
        (-5, "unknown", "active"),  # its clock is ahead of ours
    ],
)
def test_silence_and_the_process_say_how_an_agent_is(silence: float, life: Life, status: str) -> None:
    found = seen_after(silence, life)
    assert found.status == status
    assert not found.ended
    assert found.is_gone == (status in ("offline", "dead"))


@pytest.mark.parametrize("life", ["alive", "dead", "unknown"])
@pytest.mark.parametrize("silence", [0, 16, 121])
def test_who_said_goodbye_has_ended_whatever_the_process_does(silence: float, life: Life) -> None:
    found = seen_after(silence, life, agent=replace(AGENT, status="offline"))
    assert (found.status, found.ended, found.is_gone) == ("offline", True, True)


@pytest.mark.parametrize(("silence", "status"), [(1, "active"), (2, "stale"), (5, "stale"), (6, "offline")])
def test_the_thresholds_are_the_teams(silence: float, status: str) -> None:
    config = Config(stale_minutes=1, offline_minutes=5)
    assert seen_after(silence, "unknown", config).status == status


def test_only_people_are_told_that_an_agent_is_dead() -> None:
    assert visible_status(seen_after(0, "dead")) == "offline"
    assert visible_status(seen_after(16, "alive")) == "idle"


# ---------------------------------------------------------------- when a lock ends
@pytest.mark.parametrize(
    ("lock", "seen", "renewed", "until"),
    [
        (LOCK, 0, 0, 60),
        (LOCK, 30, 0, 90),  # by hand: from the holder's last sign of life
        (LOCK, 30, 45, 90),  # and its file's time says nothing
        (LOCK, -90, 0, 60),  # never less than was granted
        (AUTO, 0, 0, 10),
        (AUTO, 30, 0, 10),  # by an edit: from the last edit, however lively the holder
        (AUTO, 0, 8, 18),
        (AUTO, 0, -30, 10),
    ],
)
def test_a_lock_ends_its_time_after_the_last_sign(lock: Lock, seen: float, renewed: float, until: float) -> None:
    holder = Presence(replace(AGENT, last_seen=after(seen)), "active")
    assert expiry(lock, after(renewed), holder) == after(until)


@pytest.mark.parametrize(("lock", "renewed", "until"), [(LOCK, 30, 60), (AUTO, 8, 18)])
def test_a_lock_whose_holder_is_lost_ends_on_its_own(lock: Lock, renewed: float, until: float) -> None:
    assert expiry(lock, after(renewed), None) == after(until)


@given(st.integers(-500, 500), st.integers(-500, 500), st.booleans(), st.booleans())
def test_a_lock_never_ends_before_it_was_granted_until(seen: int, renewed: int, auto: bool, known: bool) -> None:
    lock = AUTO if auto else LOCK
    holder = Presence(replace(AGENT, last_seen=after(seen)), "active") if known else None
    assert expiry(lock, after(renewed), holder) >= lock.expires_at


# ---------------------------------------------------------------- which locks bind
def judged(minutes: float, life: Life, lock: Lock = LOCK, agent: Agent = AGENT) -> Held:
    """The lock of an agent that has been silent since it took it."""
    now = after(minutes)
    return held(lock, NOON, presence(agent, now, life, DEFAULT), now)


@pytest.mark.parametrize(
    ("minutes", "life", "live"),
    [
        (0, "unknown", True),
        (14, "unknown", True),
        (15, "unknown", True),
        (16, "unknown", False),  # stale: it does not protect any more
        (16, "alive", True),  # a model may think for an hour
        (59, "alive", True),
        (60 - SECOND, "alive", True),
        (60, "alive", False),
        (61, "alive", False),
        (0, "dead", False),
        (14, "dead", False),
        (121, "unknown", False),
    ],
)
def test_a_lock_by_hand_binds_while_its_holder_is_there(minutes: float, life: Life, live: bool) -> None:
    assert judged(minutes, life).live is live


@pytest.mark.parametrize(
    ("minutes", "life", "live"),
    [(0, "unknown", True), (9, "alive", True), (10 - SECOND, "alive", True), (10, "alive", False), (1, "dead", False)],
)
def test_a_lock_by_an_edit_binds_ten_minutes(minutes: float, life: Life, live: bool) -> None:
    assert judged(minutes, life, AUTO).live is live


def test_a_long_lock_of_a_silent_agent_binds_no_longer_than_the_agent_is_trusted() -> None:
    long = replace(LOCK, ttl_s=240 * 60, expires_at=after(240))
    assert judged(14, "unknown", long).live
    assert not judged(119, "unknown", long).live
    assert not judged(121, "unknown", long).live
    assert judged(121, "alive", long).live


@pytest.mark.parametrize(("minutes", "live"), [(0, True), (16, True), (59, True), (60, False), (121, False)])
@pytest.mark.parametrize("life", ["alive", "dead", "unknown"])
def test_a_lock_by_hand_outlives_the_session_that_ended(minutes: float, live: bool, life: Life) -> None:
    ended = replace(AGENT, status="offline")
    assert judged(minutes, life, agent=ended).live is live


@pytest.mark.parametrize(("minutes", "live"), [(0, True), (59, True), (60, False)])
def test_a_lock_whose_holder_is_lost_binds_until_it_expires(minutes: float, live: bool) -> None:
    found = held(LOCK, NOON, None, after(minutes))
    assert (found.live, found.until) == (live, after(60))


def test_a_sign_of_life_brings_a_stale_agents_lock_back() -> None:
    assert not judged(16, "unknown").live
    assert judged(16, "unknown", agent=replace(AGENT, last_seen=after(16))).live
