"""Who held what when, as the log tells it; the hottest files; a path added to the text of a configuration."""

from __future__ import annotations

import tomllib
from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from world import NOON

from agentsync.core import globs, keys
from agentsync.core.account import Account, Edit
from agentsync.core.contention import Ledger
from agentsync.core.hotspots import hotspots
from agentsync.core.listing import pattern_for, with_path
from agentsync.core.policy import DEFAULT, Config, from_table
from agentsync.core.records import Change, Event, Lock, Message, Record, Task, Waiter, Wanted
from agentsync.core.refusals import Refusal
from agentsync.errors import UsageError


def at(minutes: float) -> datetime:
    return NOON + timedelta(minutes=minutes)


def lock(path: str, holder: str, minutes: float, ttl_s: int = 3600, **more: Any) -> Lock:
    given = {"scope": "file", "mode": "exclusive", "token": "s:1", "holder_name": holder, **more}
    expires = at(minutes) + timedelta(seconds=ttl_s)
    return Lock(path=path, holder=holder, acquired_at=at(minutes), expires_at=expires, ttl_s=ttl_s, **given)


class Story:
    """A log in the making."""

    def __init__(self, since: float = 0, until: float = 1000, edits: tuple[Edit, ...] = ()) -> None:
        self.ledger = Ledger(at(since), at(until), edits)
        self.rev = 0

    def tell(self, minutes: float, actor: str, verb: str, *changes: Record | str, paths: tuple[str, ...] = ()) -> None:
        self.rev += 1
        put = {self.key(one): one for one in changes if not isinstance(one, str)}
        made = tuple(
            Change(drop=one) if isinstance(one, str) else Change(put=self.key(one), record=msgspec.Raw(b"{}"))
            for one in changes
        )
        event = Event(rev=self.rev, at=at(minutes), actor=actor, verb=verb, summary="", paths=paths, changes=made)
        self.ledger.follow(event, put)

    def key(self, record: Record) -> str:
        match record:
            case Lock():
                return keys.lock(record)
            case Task():
                return keys.task(record.id)
            case Waiter():
                return keys.waiter(int(record.id[2:]), record.agent)
            case Message():
                return keys.notice(record.to, self.rev)
        raise AssertionError(record)

    def account(self, *refusals: Refusal, bound: dict[str, datetime] | None = None) -> Account:
        return self.ledger.account(refusals, bound or {})


def spans(account: Account) -> list[tuple[str, str, float, float | None, str | None]]:
    def minutes(moment: datetime) -> float:
        return (moment - NOON).total_seconds() / 60

    return [(h.holder, h.path, minutes(h.since), h.until and minutes(h.until), h.ended) for h in account.holds]


def test_a_lock_lasts_from_its_grant_until_it_is_given_up() -> None:
    story = Story()
    story.tell(1, "al", "lock", lock("a", "al", 1), lock("b", "al", 1))
    story.tell(20, "al", "lock", lock("a", "al", 1, reason="more"))  # renewed: one hold
    story.tell(31, "al", "unlock", "locks/a.json")
    story.tell(32, "bo", "force-unlock", "locks/b.json")
    account = story.account()
    assert spans(account) == [("al", "a", 1, 31, "unlock"), ("al", "b", 1, 32, "force-unlock")]
    assert account.holds[0].reason == "more"


def test_one_that_others_swept_away_is_counted_until_it_lapsed() -> None:
    story = Story(edits=(Edit(at=at(15), agent="al", path="auto"),))
    story.tell(1, "al", "lock", lock("a", "al", 1), lock("auto", "al", 1, ttl_s=600, auto=True))
    story.tell(30, "al", "note")
    story.tell(500, "bo", "sweep", "locks/a.json", "locks/auto.json")
    story.tell(501, "bo", "lock", lock("a", "bo", 501))
    story.tell(510, "cy", "takeover", "locks/a.json", lock("a", "cy", 510))
    assert spans(story.account()) == [
        ("al", "a", 1, 90, "lapsed"),  # an hour after its last event
        ("al", "auto", 1, 25, "lapsed"),  # ten minutes after its last edit
        ("bo", "a", 501, 510, "takeover"),  # before its time: its holder was dead
        ("cy", "a", 510, 570, "lapsed"),
    ]


def test_what_is_on_disk_is_held_as_long_as_that_is_known_to_bind() -> None:
    story = Story(until=30)
    story.tell(1, "al", "lock", lock("a", "al", 1), lock("b", "al", 1))
    assert spans(story.account(bound={"locks/a.json": at(90), "locks/b.json": at(9)})) == [
        ("al", "a", 1, None, None),
        ("al", "b", 1, 9, "lapsed"),
    ]


def test_only_what_touches_the_span_is_told_and_its_parts_outside_do_not_count() -> None:
    story = Story(since=100, until=200)
    story.tell(1, "al", "lock", lock("old", "al", 1), lock("long", "al", 1))
    story.tell(50, "al", "unlock", "locks/old.json")
    story.tell(110, "al", "unlock", "locks/long.json")
    story.tell(190, "bo", "lock", lock("late", "bo", 190))
    story.tell(300, "bo", "unlock", "locks/late.json")
    account = story.account()
    assert [(hold.path, hold.until) for hold in account.holds] == [("long", at(110)), ("late", None)]
    assert {spot.path: spot.held_s for spot in hotspots(account, DEFAULT)} == {"long": 600, "late": 600}
    assert account.events == 2


@pytest.mark.parametrize(
    ("actor", "verb", "outcome"),
    [
        ("bo", "lock", "granted"),
        ("bo", "takeover", "granted"),
        ("bo", "give-up", "gave up"),
        ("al", "sweep", "gave up"),
    ],
)
def test_a_wait_ends_with_the_lock_or_without(actor: str, verb: str, outcome: str) -> None:
    story = Story()
    waiter = Waiter(
        id="w-1",
        wants="locks",
        agent="bo",
        agent_name="bo",
        targets=(Wanted(scope="file", path="a"),),
        created_at=at(5),
    )
    story.tell(5, "bo", "wait", waiter)
    story.tell(15, actor, verb, keys.waiter(1, "bo"))
    (wait,) = story.account().waits
    assert (wait.outcome, wait.paths, wait.until) == (outcome, ("a",), at(15))


def test_a_task_is_told_by_its_steps() -> None:
    story = Story()
    task = Task(id="t-1", title="T", created_by="al", created_at=at(1), updated_at=at(1))
    story.tell(1, "al", "create-task", task)
    taken = msgspec.structs.replace(task, status="in_progress", owner="bo", updated_at=at(2))
    story.tell(2, "bo", "claim-task", taken)
    story.tell(3, "bo", "note", msgspec.structs.replace(taken, note="n"))
    story.tell(4, "bo", "complete-task", msgspec.structs.replace(taken, status="done", updated_at=at(4)))
    (flow,) = story.account().tasks
    assert [(step.status, step.owner) for step in flow.steps] == [
        ("pending", None),
        ("in_progress", "bo"),
        ("done", "bo"),
    ]


def test_the_hottest_file_comes_first_and_each_is_told_what_may_cool_it() -> None:
    edits = tuple(Edit(at=at(i), agent="al" if i % 4 else "bo", path="src/own.py") for i in range(1, 9))
    edits += tuple(Edit(at=at(9), agent=name, path="src/all.py") for name in ("al", "bo", "cy"))
    story = Story(edits=edits)
    story.tell(1, "al", "lock", lock("src/", "al", 1, scope="dir"), lock("calm.py", "al", 1))
    story.tell(
        3,
        "bo",
        "breach",
        Message(id="n-2", sender="s", sender_name="s", to="al", body="", created_at=at(3)),
        paths=("src/own.py",),
    )
    story.tell(61, "al", "unlock", "locks/src%2F.json", "locks/calm.py.json")
    refused = [("src/all.py", 2), ("CHANGELOG.md", 1), ("@db", 1), ("src/own.py", 1)]
    account = story.account(*(Refusal(at=at(2), agent="bo", path=p, by="edit") for p, n in refused for _ in range(n)))
    found = hotspots(account, DEFAULT)
    assert account.breaches[0].holders == ("al",)
    assert [
        (spot.path, spot.heat, spot.suggestion and (spot.suggestion.kind, spot.suggestion.setting)) for spot in found
    ] == [
        ("src/own.py", 6.0, ("own", "required")),
        ("src/all.py", 2.0, ("split", None)),
        ("@db", 1.0, ("split", None)),
        ("CHANGELOG.md", 1.0, ("share", "shared")),
        ("calm.py", 0.0, None),
        ("src/", 0.0, None),
    ]
    assert found[0].agents == ("al", "bo")
    assert found[0].holders == {"al": 3600.0}, "the directory around it"
    assert all(
        spot.suggestion is None or spot.suggestion.setting is None for spot in hotspots(account, Config(ignore=("**",)))
    )


# ---------------------------------------------------------------- the text of a configuration
KEPT = "# ours\nauto_lock = true # yes\n"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", '[paths]\nshared = ["a.md"]\n'),
        (KEPT, f'{KEPT}\n[paths]\nshared = ["a.md"]\n'),
        (f"{KEPT}[paths]  # which\nignore = []\n", f'{KEPT}[paths]  # which\nshared = ["a.md"]\nignore = []\n'),
        ("[paths]", '[paths]\nshared = ["a.md"]\n'),
        ("[paths]\nshared = []\n", '[paths]\nshared = ["a.md"]\n'),
        ('[paths]\nshared = ["b"] # x\n', '[paths]\nshared = ["a.md", "b"] # x\n'),
        (
            '[paths]\nshared = [ # x\n  "b", # y\n  "c" # z\n]\n',
            '[paths]\nshared = [ # x\n  "a.md",\n  "b", # y\n  "c" # z\n]\n',
        ),
        ('[paths]\r\nshared = ["b"]\r\n', '[paths]\r\nshared = ["a.md", "b"]\r\n'),
        ("[paths]\r\nignore = []\r\n", '[paths]\r\nshared = ["a.md"]\r\nignore = []\r\n'),
        ('paths.shared = ["b"]\n', None),
        ('paths = { shared = ["b"] }\n', None),
        (
            '[other]\nshared = ["x"]\n[paths]\nshared = ["b"]\n',
            '[other]\nshared = ["x"]\n[paths]\nshared = ["a.md", "b"]\n',
        ),
        ('[paths]\nshared = ["a.md"]\n', '[paths]\nshared = ["a.md"]\n'),
    ],
)
def test_a_path_is_added_and_every_comment_stays(before: str, after: str | None) -> None:
    if after is None:
        with pytest.raises(UsageError, match="no program should change"):
            with_path(before, "shared", "a.md")
    else:
        assert with_path(before, "shared", "a.md") == after


@pytest.mark.parametrize("text", ["[paths", "paths = 3", '[paths]\nshared = "b"', "x = " + "[" * 5000])
def test_what_cannot_be_understood_is_left_alone(text: str) -> None:
    with pytest.raises(UsageError):
        with_path(text, "shared", "a.md")


@given(st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=12))
def test_any_name_means_itself_alone_once_it_is_added(name: str) -> None:
    path = f"src/{name}.md"
    config, warnings = from_table(tomllib.loads(with_path("[paths]\nignore = ['x']\n", "shared", path)))
    assert warnings == []
    assert config.class_of(path) == "shared"
    assert globs.literal_prefix(path) == path or config.class_of("src/other.md") == "plain"
    assert pattern_for(path) in config.shared
