"""The checker itself: histories of which one knows whether they make sense, and the same verdict as trying all orders."""

from __future__ import annotations

import random
from itertools import permutations
from typing import TYPE_CHECKING, Any

import pytest
from histories.checker import MAYBE, NEVER, Op, check
from histories.models import Board, Line, Locks, Mail

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PATHS = Locks({"a": {"a"}, "b": {"b"}, "all/": {"a", "b"}})
BOARD = Board(((), (0,), ()))


def op(who: str, verb: str, *words: Any, answer: Any, at: tuple[float, float]) -> Op:
    return Op(who, verb, (who, *words), answer, *at)


def lock(who: str, target: str, answer: Any, at: tuple[float, float], mode: str = "exclusive") -> Op:
    told = answer if answer == MAYBE or isinstance(answer, tuple) else ("granted", ((target, answer),))
    return op(who, "lock", (target,), mode, answer=told, at=at)


def unlock(who: str, target: str, answer: Any, at: tuple[float, float]) -> Op:
    return op(who, "unlock", (target,), False, answer=("granted", answer), at=at)


def die(who: str, at: tuple[float, float]) -> Op:
    return op(who, "die", answer=None, at=at)


LOCKS = {
    "one after the other": [lock("al", "a", 1, (0, 1)), unlock("al", "a", (1,), (2, 3)), lock("bo", "a", 3, (4, 5))],
    "released while the other asks": [lock("al", "a", 1, (0, 1)), unlock("al", "a", (1,), (2, 6)), lock("bo", "a", 3, (4, 5))],
    "refused by its holder": [lock("al", "a", 1, (0, 1)), lock("bo", "all/", ("refused", (1,)), (2, 3))],
    "both share": [lock("al", "a", 1, (0, 1), "shared"), lock("bo", "a", 2, (0, 1), "shared")],
    "renewed with its token": [lock("al", "a", 1, (0, 1)), lock("al", "a", 1, (2, 3))],
    "taken over from the dead": [lock("al", "a", 1, (0, 1)), die("al", (2, 4)), lock("bo", "all/", 2, (3, 5))],
    "perhaps taken by the dead": [lock("al", "a", MAYBE, (0, 3)), lock("bo", "a", ("refused", (1,)), (1, 2)), die("al", (2, 3))],
    "perhaps not": [lock("al", "a", MAYBE, (0, 3)), lock("bo", "a", 1, (1, 2)), die("al", (2, 3))],
    "the dead comes back": [
        lock("al", "a", 1, (0, 1)), die("al", (2, 3)), op("al", "wake", answer=0, at=(4, 5)), lock("al", "a", 1, (6, 7))
    ],
}  # fmt: skip

NO_LOCKS = {
    "two at once": [lock("al", "a", 1, (0, 1)), lock("bo", "a", 2, (2, 3))],
    "two at once, one of them all": [lock("al", "a", 1, (0, 3)), lock("bo", "all/", 2, (0, 3))],
    "a token that does not grow": [lock("al", "a", 5, (0, 1)), unlock("al", "a", (5,), (2, 3)), lock("bo", "a", 4, (4, 5))],
    "another token for a lock one has": [lock("al", "a", 1, (0, 1)), lock("al", "a", 2, (2, 3))],
    "refused by nobody": [lock("al", "a", ("refused", (1,)), (0, 1))],
    "refused by the dead": [lock("al", "a", 1, (0, 1)), die("al", (2, 3)), lock("bo", "a", ("refused", (1,)), (4, 5))],
    "taken over from the living": [lock("al", "a", 1, (0, 1)), lock("bo", "a", 2, (2, 3)), die("al", (4, 5))],
    "released twice": [lock("al", "a", 1, (0, 1)), unlock("al", "a", (1,), (2, 3)), unlock("al", "a", (1,), (4, 5))],
    "the dead takes effect late": [lock("al", "a", MAYBE, (0, 2)), die("al", (1, 2)), lock("bo", "a", ("refused", (1,)), (3, 4))],
}  # fmt: skip


def stand(who: str, answer: str, at: tuple[float, float], priority: int = 0) -> Op:
    return op(who, "stand", priority, answer=answer, at=at)


def get(who: str, answer: str, at: tuple[float, float]) -> Op:
    return op(who, "get", answer=answer, at=at)


def leave(who: str, at: tuple[float, float]) -> Op:
    return op(who, "unlock", answer=None, at=at)


FIRST = [
    stand("al", "granted", (0, 1)),
    stand("bo", "waits", (2, 3)),
    stand("cy", "waits", (4, 5)),
    leave("al", (6, 7)),
]
LINES = {
    "in order": [*FIRST, get("cy", "granted", (5, 12)), get("bo", "granted", (3, 8)), leave("bo", (9, 10))],
    "the dead are skipped": [*FIRST, get("bo", MAYBE, (3, 5.5)), die("bo", (5.2, 5.5)), get("cy", "granted", (5, 8))],
    "who gave up": [*FIRST, get("bo", "nothing", (3, 5)), get("cy", "granted", (5, 8))],
    "the important first": [
        *FIRST[:3],
        stand("di", "waits", (5, 6), 2),
        leave("al", (6, 7)),
        get("di", "granted", (7, 8)),
    ],
}
NO_LINES = {
    "overtaken": [*FIRST, get("cy", "granted", (5, 8)), leave("cy", (9, 10)), get("bo", "granted", (3, 12))],
    "granted while held": [*FIRST[:3], get("bo", "granted", (3, 5)), leave("al", (6, 7))],
    "granted twice": [*FIRST, get("bo", "granted", (3, 8)), leave("bo", (9, 10)), get("bo", "granted", (11, 12))],
    "passed by somebody who did not wait": [*FIRST, op("di", "lock", answer="granted", at=(8, 9))],
    "made to wait for nobody": [stand("al", "waits", (0, 1))],
}


def claim(who: str, answer: Any, at: tuple[float, float]) -> Op:
    return op(who, "claim-next", answer=answer, at=at)


def does(who: str, verb: str, *words: Any, answer: str, at: tuple[float, float]) -> Op:
    return op(who, verb, *words, answer=answer, at=at)


BOARDS = {
    "each another": [claim("al", 0, (0, 3)), claim("bo", 2, (1, 2)), claim("cy", "nothing", (4, 5))],
    "a dependency done": [claim("al", 0, (0, 1)), does("al", "complete", 0, answer="granted", at=(2, 3)), claim("bo", 1, (4, 5))],
    "inherited": [claim("al", 0, (0, 1)), die("al", (2, 3)), claim("bo", 0, (4, 5))],
    "handed on": [
        claim("al", 0, (0, 1)),
        does("al", "handoff", 0, "bo", answer="granted", at=(2, 3)),
        does("bo", "complete", 0, answer="granted", at=(4, 5)),
    ],
}  # fmt: skip
NO_BOARDS = {
    "one for two": [claim("al", 0, (0, 3)), claim("bo", 0, (1, 2))],
    "not ready": [claim("al", 0, (0, 1)), claim("bo", 1, (2, 3))],
    "nothing although there is": [claim("al", "nothing", (0, 1))],
    "not the best": [claim("al", 2, (0, 1))],
    "stolen in a handoff": [
        claim("al", 0, (0, 1)),
        does("al", "handoff", 0, "bo", answer="granted", at=(2, 5)),
        claim("cy", 0, (3, 4)),
    ],
    "from the living": [claim("al", 0, (0, 1)), does("bo", "complete", 0, answer="granted", at=(2, 3))],
}  # fmt: skip


def send(body: str, number: Any, at: tuple[float, float], kind: str = "directed") -> Op:
    return op("al", "send", body, kind, answer=number, at=at)


def hear(*bodies: str, at: tuple[float, float], when: str = "prompt", left: int = 0, verb: str = "hear") -> Op:
    return op("bo", verb, when, answer=(bodies, left), at=at)


MAILS = {
    "once, in order": [send("1", 1, (0, 1)), send("2", 2, (2, 3)), hear("1", "2", at=(4, 5)), hear(at=(6, 7))],
    "two hooks at once": [send("1", 1, (0, 1)), hear("1", at=(2, 5)), hear(at=(3, 4))],
    "told again after a kill": [send("1", 1, (0, 1)), hear("1", at=(2, 3), verb="hear-killed"), hear("1", at=(4, 5))],
    "not told again after a kill": [send("1", 1, (0, 1)), hear("1", at=(2, 3), verb="hear-killed"), hear(at=(4, 5))],
    "a sender killed": [send("1", MAYBE, (0, 1)), hear("1", at=(2, 3))],
    "broadcasts wait": [send("1", 1, (0, 1), "cast"), hear(at=(2, 3), when="within"), hear("1", at=(4, 5))],
    "directed first when there is no room": [
        send("1", 1, (0, 1), "cast"), send("2", 2, (2, 3)), hear("2", at=(4, 5), left=1), hear("1", at=(6, 7))
    ],
}  # fmt: skip
NO_MAILS = {
    "lost": [send("1", 1, (0, 1)), hear(at=(2, 3))],
    "twice": [send("1", 1, (0, 1)), hear("1", at=(2, 3)), hear("1", at=(4, 5))],
    "twice at once": [send("1", 1, (0, 1)), hear("1", at=(2, 5)), hear("1", at=(3, 4))],
    "out of order": [send("1", 1, (0, 1)), send("2", 2, (2, 3)), hear("2", "1", at=(4, 5))],
    "told before it was printed": [send("1", 1, (0, 1)), hear(at=(2, 3), verb="hear-killed"), hear(at=(4, 5))],
    "a number that does not grow": [send("1", 2, (0, 1)), send("2", 1, (2, 3)), hear("1", "2", at=(4, 5))],
}

KNOWN = [
    (model, history, is_right, name)
    for model, is_right, histories in (
        (PATHS, True, LOCKS), (PATHS, False, NO_LOCKS), (Line(), True, LINES), (Line(), False, NO_LINES),
        (BOARD, True, BOARDS), (BOARD, False, NO_BOARDS), (Mail(), True, MAILS), (Mail(), False, NO_MAILS),
    )
    for name, history in histories.items()
]  # fmt: skip


@pytest.mark.parametrize(("model", "history", "is_right", "name"), KNOWN, ids=[known[3] for known in KNOWN])
def test_what_is_known(model: Any, history: list[Op], is_right: bool, name: str) -> None:
    assert (check(history, model) is None) == is_right
    assert by_trying_all(history, model) == is_right


def by_trying_all(history: Sequence[Op], model: Any) -> bool:
    """The same verdict, by trying every order."""
    return any(_makes_sense(order, model) for order in permutations(history))


def _makes_sense(order: Sequence[Op], model: Any) -> bool:
    if any(later.answered < earlier.called for n, later in enumerate(order) for earlier in order[:n]):
        return False
    states = {model.start}
    for one in order:
        states = {after for state in states for after in model.step(state, one)} | (
            states if one.answer == MAYBE else set()
        )
    return bool(states)


def some_history(chance: random.Random) -> Iterator[Op]:
    for number in range(chance.randint(2, 6)):
        called = chance.random() * 10
        at = (called, NEVER if chance.random() < 0.1 else called + chance.random() * 5)
        who, target = chance.choice("abc"), chance.choice(["a", "b", "all/"])
        answer = chance.choice([number + 1, number + 1, MAYBE, ("refused", (chance.randint(1, 4),))])
        if chance.random() < 0.2:
            yield die(who, at)
        elif chance.random() < 0.3:
            yield unlock(who, target, (chance.randint(1, 4),), at)
        else:
            yield lock(who, target, answer, at, chance.choice(["exclusive", "exclusive", "shared"]))


def test_the_same_verdict_as_trying_all_orders() -> None:
    chance = random.Random(1)
    right = 0
    for _ in range(600):
        history = list(some_history(chance))
        verdict = check(history, PATHS) is None
        assert verdict == by_trying_all(history, PATHS), history
        right += verdict
    assert 100 < right < 500, "both kinds must be among them"


def test_a_long_history_is_judged_quickly() -> None:
    ops = []
    for number in range(1000):
        at = number * 10.0
        ops.append(lock(f"w{number % 5}", "a", number + 1, (at, at + 12)))
        ops.append(unlock(f"w{number % 5}", "a", (number + 1,), (at + 3, at + 14)))
    assert check(ops, PATHS) is None
    stuck = check(
        [*ops, lock("late", "a", 9999, (20_000, 20_001)), lock("later", "a", 10_000, (20_002, 20_003))], PATHS
    )
    assert stuck is not None
    assert stuck.op.process == "later"
    assert "no order explains" in str(stuck)
