"""Sign-ins by a provider at the same moment as each other, and as its end."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from tests.api.openid.door import VALUES
from tests.desk import open_desk
from tests.proxy import soon
from tests.staff import QUICK, administrator, enter, holder
from waylight.domain.errors import SignInRefused
from waylight.services import accounts, identity_providers, keys, passwords

pytestmark = pytest.mark.commits

WAITING = (
    # In this database: the server is also that of other tests.
    "select from pg_locks where not granted"
    " and pid in (select pid from pg_stat_activity where datname = current_database())"
)


class Word:
    """A provider's word, as soon as everybody waits for it."""

    def __init__(self, people=1):
        self.together = threading.Barrier(people)
        self.asked = []

    def authorization_url(self, _party, asked, **_):
        self.asked.append(asked)
        return "https://id.police.example/authorize"

    def claims(self, _party, _asked, **_):
        self.together.wait(120)
        return {
            "sub": "robin",
            "email": "robin@police.example",
            "email_verified": True,
            "groups": ["desk"],
        }


@pytest.fixture
def desk(database, vault, settings, monkeypatch):
    monkeypatch.setattr(passwords, "HASHER", QUICK)
    return open_desk(database, vault, settings)


@pytest.fixture
def ada(desk):
    now = datetime.now(UTC)
    return holder(desk, enter(desk, administrator(desk, now=now), now=now).token, now=now)


@pytest.fixture
def provider(desk, ada):
    return identity_providers.create_provider(
        desk.database,
        desk.vault,
        ada,
        values={**VALUES, "issuer": "https://id.police.example"},
        loopback_ports=[],
        now=datetime.now(UTC),
    )


def begin(desk, word, provider):
    now = datetime.now(UTC)
    begun = accounts.begin_sign_in(
        desk.database,
        desk.vault,
        word,
        provider.id,
        redirect_uri=None,
        fresh=False,
        now=now,
    )
    return accounts.Answer(begun.sign_in, word.asked[-1].state, str(uuid4()))


def end(desk, word, answer):
    return accounts.sign_in_with_provider(
        desk.database,
        desk.vault,
        word,
        answer,
        session_s=3600,
        idle_s=600,
        now=datetime.now(UTC),
    )


def test_somebody_new_who_comes_several_times_at_once_is_one_person(desk, provider):
    word = Word(4)
    answers = [begin(desk, word, provider) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        sessions = list(pool.map(lambda one: end(desk, word, one), answers))
    assert len({session.token for session in sessions}) == 4
    assert len(desk.rows("select from identities")) == 1
    assert len(desk.rows("select from staff where name = 'robin'")) == 1
    assert len(desk.rows("select from sessions where identity_provider_id is not null")) == 4


def test_one_answer_that_is_brought_twice_at_once_opens_one_session(desk, provider):
    word = Word(1)
    answer = begin(desk, word, provider)

    def try_it(_):
        try:
            return end(desk, word, answer).token
        except SignInRefused:
            return None

    with ThreadPoolExecutor(4) as pool:
        opened = [token for token in pool.map(try_it, range(4)) if token]
    assert len(opened) == 1


def test_no_session_outlives_the_provider_that_ends_while_it_is_opened(desk, ada, provider):
    """Disabling holds the provider: whoever signs in waits for it, and is refused."""
    word, now = Word(1), datetime.now(UTC)
    answer = begin(desk, word, provider)
    with ThreadPoolExecutor(1) as pool:
        with desk.database.owner() as conn:
            conn.execute("select from identity_providers where id = %s for update", [provider.id])
            waiting = pool.submit(end, desk, word, answer)
            soon(lambda: desk.rows(WAITING))
            conn.execute("update identity_providers set enabled = false")
        with pytest.raises(SignInRefused):
            waiting.result(timeout=120)
    assert not desk.rows("select from sessions where identity_provider_id is not null")
    assert not desk.rows("select from identities")
    desk.do("update identity_providers set enabled = true")
    token = end(desk, word, begin(desk, word, provider)).token
    identity_providers.delete_provider(
        desk.database, desk.vault, ada, provider_id=provider.id, if_match=None, now=now
    )
    assert keys.authenticate(desk.database, desk.vault, token, now=now) is None
