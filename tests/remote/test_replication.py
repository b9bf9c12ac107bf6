"""Tasks, mail and decisions of several machines: each comes once, and of two versions one stands on all."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from remote.cluster import Agent, Cluster

from agentsync.core import delivery
from agentsync.core.progress import Says
from agentsync.core.tasks import Changed, Refused
from agentsync.ops import care, decisions, engines, mail, remote, requests, status, tasks

if TYPE_CHECKING:
    from agentsync.core.records import Task


@pytest.fixture
def pair(cluster: Cluster) -> tuple[Agent, Agent]:
    """Alice in the east, Bob in the west, each known to the other."""
    alice, bob = cluster.machine("east").agent("alice"), cluster.machine("west").agent("bob")
    alice.registers(), bob.registers()
    meet(alice, bob, alice)
    return alice, bob


def meet(*agents: Agent) -> None:
    """Each tells, then hears, in this order."""
    for agent in agents:
        agent.syncs()


def board_of(agent: Agent) -> dict[str, Task]:
    return {task.title: task for task in agent.session.store.state().tasks()}


def abroad(agent: Agent, cluster: Cluster, machine: str) -> str:
    return f"{agent.id}.{cluster.machines[machine].name}"


# ---------------------------------------------------------------- tasks
def test_a_task_is_on_all_machines_under_one_id(cluster: Cluster, pair: tuple[Agent, Agent]) -> None:
    alice, bob = pair
    made = tasks.create(alice.session, Says(title="Login form", files=("src/login.py",), priority=3))
    meet(alice, bob)
    there = board_of(bob)["Login form"]
    assert there == made.__class__(**{**_fields(made), "created_by": abroad(alice, cluster, "east")})


def _fields(task: Task) -> dict[str, object]:
    return {name: getattr(task, name) for name in task.__struct_fields__}


def test_who_claims_one_is_its_owner_everywhere(cluster: Cluster, pair: tuple[Agent, Agent]) -> None:
    alice, bob = pair
    made = tasks.create(alice.session, Says(title="Login form"))
    meet(alice, bob)
    assert isinstance(tasks.claim(bob.session, made.id), Changed)
    meet(bob, alice)
    assert board_of(alice)["Login form"].owner == abroad(bob, cluster, "west")
    refused = tasks.claim(alice.session, made.id)
    assert isinstance(refused, Refused)
    assert abroad(bob, cluster, "west") in refused.why
    tasks.complete(bob.session, made.id)
    meet(bob, alice)
    assert board_of(alice)["Login form"].status == "done"


def test_of_two_who_claim_at_once_the_first_on_the_board_has_it(pair: tuple[Agent, Agent]) -> None:
    alice, bob = pair
    made = tasks.create(alice.session, Says(title="Login form"))
    meet(alice, bob)
    tasks.claim(alice.session, made.id)
    tasks.claim(bob.session, made.id)
    bob.syncs()
    assert [task.id for task in alice.syncs().brought.lost] == [made.id], "and who typed it sees that"
    bob.syncs()
    assert board_of(bob)["Login form"].owner == "bob"
    assert board_of(alice)["Login form"].owner_name == "bob"
    assert any("who was first: do not go on with it" in told for told in alice.was_told())
    assert not bob.was_told()


def test_what_only_one_side_changed_is_changed(pair: tuple[Agent, Agent]) -> None:
    alice, bob = pair
    made = tasks.create(alice.session, Says(title="Login form"))
    meet(alice, bob)
    tasks.claim(bob.session, made.id)
    tasks.edit(alice.session, made.id, Says(priority=7, description="with a logo"))
    tasks.note(alice.session, made.id, "the logo is in assets/")
    meet(bob, alice, bob)
    for agent in pair:
        task = board_of(agent)["Login form"]
        assert (task.priority, task.description, task.note) == (7, "with a logo", "the logo is in assets/")
        assert task.owner_name == "bob"


def test_what_was_done_without_the_network_is_told_later(cluster: Cluster, pair: tuple[Agent, Agent]) -> None:
    alice, bob = pair
    made = tasks.create(alice.session, Says(title="Login form"))
    meet(alice, bob)
    cluster.machines["west"].line.is_cut = True
    tasks.claim(bob.session, made.id)
    tasks.complete(bob.session, made.id)
    tasks.note(alice.session, made.id, "hurry")
    alice.syncs()
    cluster.machines["west"].line.is_cut = False
    meet(bob, alice)
    assert [(board_of(agent)["Login form"].status, board_of(agent)["Login form"].note) for agent in pair] == [
        ("done", "hurry")
    ] * 2


def test_a_push_that_was_not_heard_of_is_no_change_of_somebody_else(
    cluster: Cluster, pair: tuple[Agent, Agent]
) -> None:
    alice, bob = pair
    made = tasks.create(alice.session, Says(title="Login form"))
    tasks.claim(alice.session, made.id)
    cluster.machines["east"].line.loses_answer = True
    with pytest.raises(Exception, match="could not be reached"):
        alice.syncs()
    tasks.release(alice.session, made.id)
    meet(alice, bob)
    assert [board_of(agent)["Login form"].status for agent in pair] == ["pending", "pending"]
    assert not alice.was_told()


def test_a_task_of_a_machine_that_fell_silent_is_up_for_grabs(cluster: Cluster, pair: tuple[Agent, Agent]) -> None:
    alice, bob = pair
    made = tasks.create(alice.session, Says(title="Login form"))
    tasks.claim(alice.session, made.id)
    tasks.checkpoint(alice.session, made.id, "half of it")
    meet(alice, bob)
    cluster.advance(minutes=60)
    assert tasks.claim_next(bob.session) is None, "machines tell now and then: an hour of silence is nothing"
    cluster.advance(minutes=70)
    taken = tasks.claim_next(bob.session)
    assert taken is not None
    assert taken.task.checkpoint == "half of it"


def test_a_dependency_holds_across_machines(pair: tuple[Agent, Agent]) -> None:
    alice, bob = pair
    first = tasks.create(alice.session, Says(title="Schema"))
    meet(alice, bob)
    tasks.create(bob.session, Says(title="Queries", depends_on=(first.id,)))
    assert isinstance(tasks.claim(bob.session, "Queries"), Refused)
    tasks.claim(alice.session, first.id)
    tasks.complete(alice.session, first.id)
    meet(alice, bob)
    assert isinstance(tasks.claim(bob.session, "Queries"), Changed)


def test_a_task_cannot_be_handed_to_another_machine(cluster: Cluster, pair: tuple[Agent, Agent]) -> None:
    alice, _ = pair
    made = tasks.create(alice.session, Says(title="Login form"))
    tasks.claim(alice.session, made.id)
    refused = tasks.handoff(alice.session, made.id, "bob")
    assert isinstance(refused, Refused)
    assert "another machine" in refused.why


def test_what_is_outside_of_the_repository_stays_here(pair: tuple[Agent, Agent]) -> None:
    alice, bob = pair
    made = tasks.create(alice.session, Says(title="Login form", files=("/etc/hosts", "a.py")))
    meet(alice, bob)
    assert board_of(bob)["Login form"].files == ("a.py",)
    tasks.note(bob.session, made.id, "seen")
    meet(bob, alice)
    assert set(board_of(alice)["Login form"].files) == {"/etc/hosts", "a.py"}
    assert alice.syncs().put == ()


def test_finished_tasks_that_one_machine_clears_away_go_everywhere(
    pair: tuple[Agent, Agent], monkeypatch: pytest.MonkeyPatch
) -> None:
    from agentsync.core import tasks as rules

    alice, bob = pair
    for number in range(3):
        made = tasks.create(alice.session, Says(title=f"task {number}"))
        tasks.cancel(alice.session, made.id)
    meet(alice, bob)
    assert len(board_of(bob)) == 3
    monkeypatch.setattr(rules, "KEPT", 1)
    care.gc(alice.session)
    meet(alice, bob)
    assert len(board_of(alice)) == len(board_of(bob)) == 1


def test_who_comes_back_after_it_was_forgotten_has_its_task_still(cluster: Cluster, pair: tuple[Agent, Agent]) -> None:
    alice, bob = pair
    made = tasks.create(bob.session, Says(title="Login form"))
    tasks.claim(bob.session, made.id)
    meet(bob, alice)
    cluster.advance(minutes=31 * 24 * 60)
    alice.beats()
    meet(alice, alice)
    assert f"machines/{cluster.machines['west'].name}.json" not in cluster.files()
    tasks.note(alice.session, made.id, "where is bob?")
    alice.syncs()
    bob.beats()
    meet(bob, alice)
    there = board_of(alice)["Login form"]
    assert there.owner == there.created_by == abroad(bob, cluster, "west")
    assert board_of(bob)["Login form"].owner == "bob"


# ---------------------------------------------------------------- claims that ask first
REMOTE = 'reach = "remote"\n'


def test_where_all_is_for_all_machines_a_claim_is_asked_for_on_the_board(cluster: Cluster) -> None:
    alice, bob = (
        cluster.machine("east", config=REMOTE).agent("alice"),
        cluster.machine("west", config=REMOTE).agent("bob"),
    )
    tasks.create(alice.session, Says(title="Login form", files=("src/login.py",)))
    tasks.create(alice.session, Says(title="Logo"))
    meet(alice, bob)
    assert isinstance(tasks.claim(alice.session, "Login form", lock=True), Changed)
    assert cluster.board() == {"src/login.py": f"alice.{cluster.machines['east'].name}"}
    refused = tasks.claim(bob.session, "Login form", lock=True)
    assert isinstance(refused, Refused)
    assert "another machine was first" in refused.why
    assert bob.holds() == []
    other = tasks.claim_next(bob.session)
    assert other is not None
    assert other.task.title == "Logo"


def test_of_its_files_those_that_another_machine_holds_are_named(cluster: Cluster) -> None:
    alice, bob = (
        cluster.machine("east", config=REMOTE).agent("alice"),
        cluster.machine("west", config=REMOTE).agent("bob"),
    )
    alice.takes("b.py")
    tasks.create(bob.session, Says(title="Login form", files=("a.py", "b.py")))
    claimed = tasks.claim(bob.session, "Login form", lock=True)
    assert isinstance(claimed, Changed)
    assert [lock.path for lock in claimed.locks] == bob.holds() == ["a.py"]
    assert [blocked.held.lock.path for blocked in claimed.busy] == ["b.py"]


@pytest.mark.parametrize(("policy", "is_claimed"), [("", False), ('unconfirmed = "warn"\n', True)])
def test_a_claim_that_cannot_be_confirmed_is_refused_or_warned_of(
    cluster: Cluster, policy: str, is_claimed: bool
) -> None:
    machine = cluster.machine("east", config=REMOTE + policy)
    alice = machine.agent("alice")
    made = tasks.create(alice.session, Says(title="Login form", files=("a.py",)))
    machine.line.is_cut = True
    if is_claimed:
        session = alice.session
        assert isinstance(tasks.claim(session, made.id, lock=True), Changed)
        assert "not confirmed" in session.store.warnings[0]
    else:
        with pytest.raises(engines.UnreachableError):
            tasks.claim(alice.session, made.id, lock=True)
    assert (board_of(alice)["Login form"].owner, alice.holds()) == (("alice", ["a.py"]) if is_claimed else (None, []))


# ---------------------------------------------------------------- mail
def told(agent: Agent) -> list[str]:
    """What mail a hook would tell it with its next prompt."""
    with mail.delivery(agent.session, "prompt", lambda _: 1, 100) as found:
        return [message.body for message in found.messages if message.sender != "agent-sync"]


def test_mail_to_an_agent_elsewhere_reaches_it_once(cluster: Cluster, pair: tuple[Agent, Agent]) -> None:
    alice, bob = pair
    sent = mail.send(alice.session, abroad(bob, cluster, "west"), "the schema has changed")
    meet(alice, bob)
    assert told(bob) == ["the schema has changed"]
    meet(bob, alice, bob)
    assert told(bob) == []
    (message,) = mail.sent(alice.session)
    assert message.id == sent.id
    assert [reader.delivered_at is not None for reader in message.readers] == [True]


def test_a_name_is_enough_and_an_answer_comes_back_into_the_conversation(pair: tuple[Agent, Agent]) -> None:
    alice, bob = pair
    question = mail.send(alice.session, "bob", "tabs?")
    meet(alice, bob)
    (message,) = mail.inbox(bob.session)
    mail.send(bob.session, message.sender, "spaces", reply_to=message.id)
    meet(bob, alice)
    assert [m.body for m in mail.thread(alice.session, question.id)] == ["tabs?", "spaces"]
    assert [m.body for m in mail.thread(bob.session, message.id)] == ["tabs?", "spaces"]


def test_a_broadcast_reaches_who_joined_elsewhere_meanwhile(cluster: Cluster, pair: tuple[Agent, Agent]) -> None:
    alice, bob = pair
    carol = cluster.machines["west"].agent("carol")
    carol.registers()
    mail.send(alice.session, "all", "we use tabs")
    meet(alice, bob)
    assert told(bob) == told(carol) == ["we use tabs"]
    dave = cluster.machines["west"].agent("dave")
    dave.registers()
    assert told(dave) == ["we use tabs"], "as if it had been written here"


def test_an_old_broadcast_is_no_news(cluster: Cluster, pair: tuple[Agent, Agent]) -> None:
    alice, bob = pair
    mail.send(alice.session, "all", "we use tabs")
    cluster.advance(minutes=delivery.LATE / timedelta(minutes=1) + 1)
    bob.beats()
    meet(alice, bob)
    assert told(bob) == []


def test_what_is_between_two_here_stays_here(cluster: Cluster, pair: tuple[Agent, Agent]) -> None:
    alice, bob = pair
    carol = cluster.machines["east"].agent("carol")
    carol.registers()
    mail.send(alice.session, "carol", "a secret")
    meet(alice, bob)
    assert not any(b"a secret" in data for data in cluster.files().values())


def test_mail_to_one_machine_is_no_other_ones_business(cluster: Cluster, pair: tuple[Agent, Agent]) -> None:
    alice, bob = pair
    carol = cluster.machine("north").agent("carol")
    mail.send(alice.session, "bob", "hello")
    meet(alice, bob, carol)
    assert told(bob) == ["hello"]
    assert carol.session.store.state().messages() == []


def test_mail_to_a_session_that_was_cleared_reaches_the_one_that_follows(
    cluster: Cluster, pair: tuple[Agent, Agent]
) -> None:
    alice, _ = pair
    west = cluster.machines["west"]
    west.machine.start(4242)
    first = west.client("11111111-1111-4222-8333-0123456789ab", pid=4242)
    first.registers()
    meet(cluster.machines["west"].agent("bob"), alice)
    mail.send(alice.session, f"{first.id}.{west.name}", "hello")
    first.ends(continues=True)
    second = west.client("22222222-1111-4222-8333-0123456789cd", pid=4242)
    second.registers()
    meet(alice, west.agent("bob"))
    assert [message.body for _, message in second.session.store.state().inbox(second.id)] == ["hello"]


def test_the_receipt_of_a_session_that_was_cleared_is_that_of_its_heir(
    cluster: Cluster, pair: tuple[Agent, Agent]
) -> None:
    alice, bob = pair
    west = cluster.machines["west"]
    west.machine.start(4242)
    first = west.client("11111111-1111-4222-8333-0123456789ab", pid=4242)
    first.registers()
    meet(bob, alice)
    mail.send(alice.session, f"{first.id}.{west.name}", "hello")
    meet(alice, bob)
    first.ends(continues=True)
    second = west.client("22222222-1111-4222-8333-0123456789cd", pid=4242)
    second.registers()
    assert told(second) == ["hello"]
    meet(bob, alice, bob, alice)
    (message,) = mail.sent(alice.session)
    assert [(r.agent, r.delivered_at is not None) for r in message.readers] == [(f"{second.id}.{west.name}", True)]
    serial = cluster.hub.current
    meet(bob, alice)
    assert cluster.hub.current == serial


def test_mail_that_was_cleared_away_does_not_come_again(
    cluster: Cluster, pair: tuple[Agent, Agent], monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, bob = pair
    mail.send(alice.session, "bob", "hello")
    meet(alice, bob)
    assert told(bob) == ["hello"]
    monkeypatch.setattr(delivery, "KEPT", 0)
    care.gc(bob.session)
    assert bob.session.store.state().messages(), "its machine does not know yet that it was told"
    monkeypatch.setattr(delivery, "MAX_AGE", timedelta(0))
    cluster.advance(minutes=1)
    care.gc(bob.session)
    assert not bob.session.store.state().messages()
    meet(bob, alice, bob)
    assert told(bob) == []


def test_its_own_machine_clears_mail_away_once_it_was_told(
    cluster: Cluster, pair: tuple[Agent, Agent], monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, bob = pair
    mail.send(alice.session, "bob", "hello")
    monkeypatch.setattr(delivery, "KEPT", 0)
    care.gc(alice.session)
    meet(alice, bob)
    assert told(bob) == ["hello"]
    meet(bob, alice)
    care.gc(alice.session)
    alice.syncs()
    assert not [key for key in cluster.files() if key.startswith("messages/")]


def test_a_crash_between_two_messages_loses_and_doubles_nothing(
    pair: tuple[Agent, Agent], monkeypatch: pytest.MonkeyPatch
) -> None:
    from agentsync.store.transaction import Transaction

    alice, bob = pair
    for number in range(4):
        mail.send(alice.session, "bob", f"message {number}")
    alice.syncs()
    commit, left = Transaction.commit, [3]

    def failing(self: Transaction, verb: str, *args: object, **options: object) -> object:
        if verb == "send" and (left.append(left.pop() - 1) or left[0] < 0):
            raise KeyboardInterrupt
        return commit(self, verb, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Transaction, "commit", failing)
    with pytest.raises(KeyboardInterrupt):
        bob.syncs()
    monkeypatch.undo()
    bob.syncs()
    assert told(bob) == [f"message {number}" for number in range(4)]


def test_a_request_goes_to_the_other_machine_and_its_answer_comes_back(pair: tuple[Agent, Agent]) -> None:
    alice, bob = pair
    alice.takes("a.py")
    bob.syncs()
    assert isinstance(requests.request(bob.session, "a.py"), requests.Asked)
    meet(bob, alice)
    (asked,) = told(alice)
    assert "a.py" in asked
    alice.unlocks("a.py")
    bob.syncs()
    assert any("a.py" in line for line in bob.was_told())


def test_who_was_written_to_is_called_the_same_after_its_machine_left(
    cluster: Cluster, pair: tuple[Agent, Agent]
) -> None:
    alice, bob = pair
    carol = cluster.machine("north").agent("carol")
    carol.registers()
    meet(carol, alice)
    mail.send(alice.session, "all", "we use tabs")
    meet(alice, carol)
    remote.remove(bob.session)
    meet(carol, alice, carol, alice)
    (message,) = mail.sent(alice.session)
    names = {abroad(bob, cluster, "west"), abroad(carol, cluster, "north")}
    assert {reader.agent for reader in message.readers} == names


# ---------------------------------------------------------------- decisions
def test_a_decision_holds_everywhere_and_is_told_once(cluster: Cluster, pair: tuple[Agent, Agent]) -> None:
    alice, bob = pair
    decisions.decide(alice.session, "we use tabs")
    meet(alice, bob, alice, bob)
    (here,) = decisions.listing(bob.session)
    assert (here.text, here.by) == ("we use tabs", abroad(alice, cluster, "east"))
    assert sum("we use tabs" in line for line in bob.was_told()) == 1
    decisions.decide(bob.session, "we use spaces", supersedes=here.id)
    meet(bob, alice)
    assert [decision.text for decision in decisions.listing(alice.session)] == ["we use spaces"]


def test_who_joins_later_knows_what_took_whose_place(cluster: Cluster, pair: tuple[Agent, Agent]) -> None:
    alice, bob = pair
    for number in range(20):  # her revisions are ahead of his
        tasks.create(alice.session, Says(title=f"task {number}"))
    decisions.decide(alice.session, "we use tabs")
    mail.send(alice.session, "all", "tabs?")
    meet(alice, bob)
    (here,) = decisions.listing(bob.session)
    decisions.decide(bob.session, "we use spaces", supersedes=here.id)
    (message,) = (found for found in mail.inbox(bob.session) if found.body == "tabs?")
    mail.send(bob.session, "all", "no", reply_to=message.id)
    bob.syncs()
    carol = cluster.machine("north").agent("carol")
    carol.syncs()
    assert [decision.text for decision in decisions.listing(carol.session)] == ["we use spaces"]
    heard = {found.body: found for found in carol.session.store.state().messages()}
    assert heard["no"].reply_to == heard["tabs?"].id


def test_what_cannot_be_read_here_stays_on_the_board(cluster: Cluster, pair: tuple[Agent, Agent]) -> None:
    alice, _ = pair
    decisions.decide(alice.session, "we use tabs")
    mail.send(alice.session, "all", "tabs!")
    alice.syncs()
    state = cluster.machines["east"].state
    kept = [next((state / folder).glob("*.json")) for folder in ("decisions", "messages")]
    texts = [path.read_text() for path in kept]
    for path in kept:
        path.write_text("{")
    alice.syncs()
    for path, text in zip(kept, texts, strict=True):
        path.write_text(text)
    assert {key.partition("/")[0] for key in cluster.files()} >= {"decisions", "messages"}


def test_what_was_superseded_before_it_came_does_not_hold(cluster: Cluster, pair: tuple[Agent, Agent]) -> None:
    alice, bob = pair
    carol = cluster.machine("north").agent("carol")
    before = cluster.hub.current
    decisions.decide(alice.session, "we use tabs")
    meet(alice, bob)
    (here,) = decisions.listing(bob.session)
    decisions.decide(bob.session, "we use spaces", supersedes=here.id)
    cluster.hub.current = before
    meet(bob, carol, alice, carol)
    assert [decision.text for decision in decisions.listing(carol.session)] == ["we use spaces"]
    assert len(carol.session.store.state().decisions()) == 2


# ---------------------------------------------------------------- who is there
def test_who_takes_part_again_is_who_it_was(cluster: Cluster, pair: tuple[Agent, Agent]) -> None:
    alice, bob = pair
    made = tasks.create(alice.session, Says(title="Login form"))
    tasks.claim(alice.session, made.id)
    decisions.decide(alice.session, "we use tabs")
    mail.send(alice.session, "all", "hello")
    meet(alice, bob)
    assert told(bob) == ["hello"]
    remote.remove(alice.session)
    bob.syncs()
    again = remote.add(alice.session, f"memory:{cluster.machines['east'].root}")
    assert again.link.machine == cluster.machines["east"].name
    meet(alice, bob, alice, bob)
    assert told(bob) == told(alice) == []
    assert [len(decisions.listing(agent.session)) for agent in pair] == [1, 1]
    assert board_of(alice)["Login form"].owner == "alice"
    assert board_of(bob)["Login form"].owner == abroad(alice, cluster, "east")


def test_the_agents_of_other_machines_are_on_the_board(cluster: Cluster, pair: tuple[Agent, Agent]) -> None:
    alice, bob = pair
    there = {presence.agent.id: presence.agent for presence in status.overview(alice.session).agents}
    assert there[abroad(bob, cluster, "west")].machine == cluster.machines["west"].name
    assert alice.session.is_alone(), "but while they hold nothing, the gate need not look"


def test_a_sync_without_news_writes_nothing(cluster: Cluster, pair: tuple[Agent, Agent]) -> None:
    alice, bob = pair
    tasks.create(alice.session, Says(title="Login form"))
    mail.send(alice.session, "all", "we use tabs")
    decisions.decide(bob.session, "we use tabs")
    meet(alice, bob, alice, bob)
    serial, revisions = cluster.hub.current, [agent.session.store.revision() for agent in pair]
    meet(alice, bob)
    assert cluster.hub.current == serial
    assert [agent.session.store.revision() for agent in pair] == revisions


def test_a_dry_run_tells_what_the_sync_then_does(pair: tuple[Agent, Agent]) -> None:
    alice, bob = pair
    for title in ("Login form", "Logo", "Schema"):
        tasks.create(alice.session, Says(title=title))
    meet(alice, bob)
    tasks.create(bob.session, Says(title="Queries"))
    for title in ("Login form", "Logo"):
        tasks.claim(bob.session, title)
    bob.syncs()
    for title in ("Login form", "Schema"):
        tasks.note(alice.session, title, "hurry")
    told_of, done = alice.syncs(dry_run=True), alice.syncs()
    assert (told_of.put, told_of.dropped) == (done.put, done.dropped)
    assert len(done.put) == 2


def test_a_rewound_board_gets_back_what_it_lost(cluster: Cluster, pair: tuple[Agent, Agent]) -> None:
    alice, bob = pair
    before = cluster.hub.current
    made = tasks.create(alice.session, Says(title="Login form"))
    mail.send(alice.session, "bob", "hello")
    decisions.decide(alice.session, "we use tabs")
    meet(alice, bob)
    cluster.advance(minutes=1)
    tasks.claim(bob.session, made.id)
    bob.syncs()
    cluster.hub.current = before
    meet(alice, bob, alice)
    for agent in pair:
        assert board_of(agent)["Login form"].owner_name == "bob"
        assert [decision.text for decision in decisions.listing(agent.session)] == ["we use tabs"]
    assert told(bob) == ["hello"]
    assert {key.partition("/")[0] for key in cluster.files()} >= {"tasks", "messages", "decisions"}
