"""Is there an order in which this history makes sense? A linearizability checker (Wing and Gong, with Lowe's memory).

A history is a list of operations with the times of call and answer. It is linearizable with respect to a sequential
model iff each operation can be given an instant between the two such that the model, taking the operations in the
order of these instants, gives the answers that were given. An operation whose process was killed has the answer
`MAYBE`: it took effect in its interval or not at all.

The search takes operations in the order of their calls and goes back when it meets an answer it cannot explain. What
was tried is remembered as (operations taken, state), so nothing is tried twice. The objects of a history are
independent when no operation concerns two of them; check each by itself, or it takes for ever.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Iterator, Sequence

NEVER = float("inf")

MAYBE = "maybe"
"""The answer of an operation whose process did not live to give one."""

LIMIT = 3_000_000
"""Steps after which the search gives up: the history is too long, or concerns more than one object."""


class Op(NamedTuple):
    """One operation."""

    process: str
    verb: str
    words: tuple[Any, ...]
    answer: Any
    called: float
    answered: float
    """For one whose process was killed: when everybody had to see its effect, if it had one."""


class Model(Protocol):
    """What is right when one thing happens after the other."""

    @property
    def start(self) -> Hashable:
        """The state in which it begins."""
        ...

    def step(self, state: Any, op: Op) -> Iterable[Hashable]:
        """The states after an operation that gave this answer; none when it cannot have given it here.

        For `MAYBE`: those after it took effect; that it took none the checker thinks of by itself.
        """
        ...


class Unexplained(NamedTuple):
    """A history that has no such order."""

    taken: int
    """Operations that the best attempt could explain."""
    op: Op
    """The one whose answer it could not."""
    states: list[Any]
    """In which states it was tried there."""
    before: list[Op]
    """What was taken last before it."""

    def __str__(self) -> str:
        told = "\n".join(f"  {op.called:.6f}-{op.answered:.6f} {op[:4]}" for op in (*self.before, self.op))
        return f"after {self.taken} operations no order explains the last of these:\n{told}\n  in {self.states[:3]}"


def check(ops: Sequence[Op], model: Model) -> Unexplained | None:
    """None when the history is linearizable; otherwise where the best attempt got stuck.

    Raises:
        TimeoutError: It could not be decided in `LIMIT` steps.
    """
    ops = sorted(ops, key=lambda op: op.called)
    following, preceding, call_at, answer_at, at = _events(ops)
    end = len(at)

    def take_out(event: int) -> None:
        following[preceding[event]], preceding[following[event]] = following[event], preceding[event]

    def put_back(event: int) -> None:
        following[preceding[event]] = preceding[following[event]] = event

    state, taken, here = model.start, 0, following[end]
    tries: Iterator[Any] | None = None
    trail: list[tuple[int, Any, int, Iterator[Any]]] = []
    known: set[tuple[int, Any]] = set()
    stuck: Unexplained | None = None
    for _ in range(LIMIT):
        if following[end] == end:
            return None
        index, is_answer = at[here]
        if not is_answer:
            tries = _outcomes(model, state, ops[index]) if tries is None else tries
            after = next((after for after in tries if (taken | 1 << index, after) not in known), None)
            if after is None:
                here, tries = following[here], None
                continue
            trail.append((index, state, taken, tries))
            state, taken = after, taken | 1 << index
            known.add((taken, state))
            take_out(call_at[index])
            take_out(answer_at[index])
            here, tries = following[end], None
            continue
        if stuck is None or len(trail) > stuck.taken:
            stuck = Unexplained(len(trail), ops[index], [state], [ops[entry[0]] for entry in trail[-12:]])
        elif len(trail) == stuck.taken and len(stuck.states) < 3:
            stuck.states.append(state)
        if not trail:
            return stuck
        index, state, taken, tries = trail.pop()
        put_back(answer_at[index])
        put_back(call_at[index])
        here = call_at[index]
    raise TimeoutError(f"{len(ops)} operations could not be judged in {LIMIT} steps")


def _outcomes(model: Model, state: Any, op: Op) -> Iterator[Any]:
    yield from model.step(state, op)
    if op.answer == MAYBE:
        yield state


def _events(
    ops: Sequence[Op],
) -> tuple[list[int], list[int], list[int], list[int], list[tuple[int, bool]]]:
    """Calls and answers in their order, as a ring of numbers from which any can be taken out and put back.

    Returns:
        The next and the previous of each, with the ring's head as the last number; where the call and the answer of
        each operation are; and of each event, whose it is and whether it is an answer.
    """
    order = [(op.called, False, index) for index, op in enumerate(ops)]
    order += [(op.answered, True, index) for index, op in enumerate(ops)]
    order.sort()
    call_at, answer_at = [0] * len(ops), [0] * len(ops)
    for number, (_, is_answer, index) in enumerate(order):
        (answer_at if is_answer else call_at)[index] = number
    size = len(order) + 1
    following = [(number + 1) % size for number in range(size)]
    preceding = [(number - 1) % size for number in range(size)]
    return following, preceding, call_at, answer_at, [(index, is_answer) for _, is_answer, index in order]
