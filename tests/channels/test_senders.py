"""Who gets the threads of a channel when receivers that others named do not answer."""

import threading
from collections import Counter
from dataclasses import replace
from uuid import UUID, uuid4

import pytest

from tests.proxy import soon
from waylight.channels import senders as sending
from waylight.channels.senders import SENDERS, Senders, Sent
from waylight.domain.alerts import Message, Outcome, Result, Target

ENDS_AT = float("inf")
PATIENCE_S = 120
MESSAGE = Message(
    delivery_id=UUID(int=1),
    alert_id=None,
    attempt=1,
    channel="web_push",
    kind="alert.created",
    recipient="",
    priority=1,
    category_groups=(),
    exercise=False,
    link="",
)


class Pushes:
    """A channel whose tarpits hold on until the test is over."""

    def __init__(self):
        self.over = threading.Event()
        self.hanging: Counter[UUID] = Counter()
        self.most: Counter[UUID] = Counter()
        self.sent = []
        self._lock = threading.Lock()

    def send(self, message):
        if message.target.address["tarpit"]:
            whose = (message.target.person_id, message.target.organisation_id)
            with self._lock:
                self.hanging.update(whose)
                self.most |= self.hanging
            self.over.wait(PATIENCE_S)
            with self._lock:
                self.hanging.subtract(whose)
            return Outcome(Result.FAILED, "timed_out")
        self.sent.append(message.delivery_id)
        return Outcome(Result.SENT)


class Queue:
    """Messages in their order, given to senders as a worker does."""

    def __init__(self, senders, messages):
        self.senders = senders
        self.left = list(messages)

    def turn(self):
        room = self.senders.room(["web_push"])
        taken = []
        for lane, free in room.items():
            mine = [one for one in self.left if one.exercise == lane.exercise][:free]
            taken += mine
            self.left = [one for one in self.left if one not in mine]
        self.senders.take(taken, room, ends_at=ENDS_AT)
        self.left += self.senders.give_up_held()


def message(*, person=None, organisation=None, tarpit=False, **changes):
    target = Target(uuid4(), {"tarpit": tarpit}, person or uuid4(), organisation or uuid4())
    return replace(MESSAGE, delivery_id=uuid4(), target=target, **changes)


@pytest.fixture
def pushes():
    channel = Pushes()
    yield channel
    channel.over.set()


@pytest.fixture
def senders(pushes):
    made = Senders(
        {"web_push": pushes}, tried=lambda one: made.settle([one.message]), free=lambda: None
    )
    return made


def turn_until(queue, done):
    def look():
        queue.turn()
        return done()

    soon(look)


def test_devices_that_never_answer_leave_the_senders_to_a_colleague_and_to_others(pushes, senders):
    mallory, organisation = uuid4(), uuid4()
    tarpits = [message(person=mallory, organisation=organisation, tarpit=True) for _ in range(40)]
    colleague, other = message(organisation=organisation, priority=2), message(priority=3)
    queue = Queue(senders, [*tarpits, colleague, other])
    turn_until(queue, lambda: {colleague.delivery_id, other.delivery_id} <= set(pushes.sent))
    assert not pushes.over.is_set()
    soon(lambda: pushes.most[mallory] >= SENDERS // sending.OF_A_PERSON)
    assert pushes.most[mallory] == SENDERS // sending.OF_A_PERSON


def test_organisation_with_many_such_people_holds_half_of_the_senders(pushes, senders):
    organisation, other = uuid4(), message(priority=3)
    tarpits = [message(organisation=organisation, tarpit=True) for _ in range(40)]
    queue = Queue(senders, [*tarpits, other])
    turn_until(queue, lambda: other.delivery_id in pushes.sent)
    soon(lambda: pushes.most[organisation] >= SENDERS // sending.OF_AN_ORGANISATION)
    assert pushes.most[organisation] == SENDERS // sending.OF_AN_ORGANISATION


def test_drills_to_such_devices_leave_one_sender_to_the_drills_of_others(pushes, senders):
    mallory = uuid4()
    tarpits = [message(person=mallory, tarpit=True, exercise=True) for _ in range(9)]
    other = message(exercise=True)
    queue = Queue(senders, [*tarpits, other])
    turn_until(queue, lambda: other.delivery_id in pushes.sent)
    assert pushes.most[mallory] == 1


def test_whoever_answers_at_once_has_every_message_sent_by_the_first_turns(pushes, senders):
    organisation = uuid4()
    queue = Queue(senders, [message(organisation=organisation) for _ in range(200)])
    turn_until(queue, lambda: not queue.left)
    assert senders.wait(PATIENCE_S)
    assert len(pushes.sent) == 200


def test_what_is_held_is_given_back_only_once_its_owner_is_known_to_be_slow(
    pushes, senders, monkeypatch
):
    mallory = uuid4()
    now = [0.0]
    monkeypatch.setattr(sending, "monotonic", lambda: now[0])
    room = senders.room(["web_push"])
    senders.take([message(person=mallory, tarpit=True) for _ in range(3)], room, ends_at=ENDS_AT)
    soon(lambda: pushes.hanging[mallory] == 2)
    assert senders.give_up_held() == []
    now[0] += sending.SLOW_S + 1
    assert len(senders.give_up_held()) == 1
    # From then on it is known: the next one is not waited for.
    pushes.over.set()
    assert senders.wait(PATIENCE_S)
    assert mallory in next(iter(senders._lanes.values())).slow
    pushes.over.clear()
    senders.take([message(person=mallory, tarpit=True) for _ in range(3)], room, ends_at=ENDS_AT)
    soon(lambda: pushes.hanging[mallory] == 2)
    assert len(senders.give_up_held()) == 1


def test_device_that_rests_is_not_called_and_comes_back_when_it_has_rested(pushes):
    tried: list[Sent] = []
    senders = Senders({"web_push": pushes}, tried=tried.append, free=lambda: None)
    resting = message(tarpit=True, rests_s=42.0)
    senders.take([resting], senders.room(["web_push"]), ends_at=ENDS_AT)
    soon(lambda: tried)
    assert tried[0].outcome == Outcome(Result.FAILED, "address_rests", retry_after_s=42.0)
    assert pushes.most.total() == 0
