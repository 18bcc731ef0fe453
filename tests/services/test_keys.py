from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from tests.tokens import token
from waylight.domain.errors import InvalidRequest, NotFound
from waylight.domain.principals import Kind
from waylight.services import keys, packs

NOW = datetime(2026, 11, 21, 23, 41, tzinfo=UTC)
DATA = Path(__file__).parents[1] / "data"


@pytest.fixture
def town(database):
    """A database with a small city in it."""
    packs.load_pack(database, DATA / "tinytown", now=NOW, progress=lambda _: None)
    return database


def staff_key(database, vault, **changes):
    asked: dict[str, Any] = {
        "organisation": "tiny-police",
        "person": "Ada Ling",
        "role": "officer",
        "scopes": ["alerts:read", "alerts:act"],
        "now": NOW,
    }
    return keys.create_staff_key(database, vault, **(asked | changes))


def client_key(database, vault, **changes):
    asked: dict[str, Any] = {"name": "Night app", "scopes": ["exercise"], "now": NOW}
    return keys.create_client_key(database, vault, **(asked | changes))


def stored(database, column, key_id):
    with database.owner() as conn:
        row = conn.execute(
            f"select {column} from api_keys where id = %s",  # noqa: S608 - a word of this file
            [key_id],
        ).fetchone()
        return row[0]


def test_a_staff_key_speaks_for_a_person_of_an_organisation(town, vault):
    issued = staff_key(town, vault)
    caller = keys.authenticate(town, vault, issued.token, now=NOW)
    assert caller is not None
    assert (caller.kind, caller.key_id) == (Kind.STAFF, issued.id)
    assert (caller.name, caller.role) == ("Ada Ling", "officer")
    assert caller.scopes == {"alerts:read", "alerts:act"}
    assert caller.staff_id is not None
    with town.owner() as conn:
        assert conn.execute(
            "select key from organisations where id = %s", [caller.organisation_id]
        ).fetchone() == ("tiny-police",)


def test_a_client_key_speaks_for_a_program(town, vault):
    issued = client_key(town, vault)
    caller = keys.authenticate(town, vault, issued.token, now=NOW)
    assert caller is not None
    assert (caller.kind, caller.name) == (Kind.CLIENT, "Night app")
    assert (caller.organisation_id, caller.staff_id, caller.role) == (None, None, None)
    owned = client_key(town, vault, organisation="tiny-transit")
    found = keys.authenticate(town, vault, owned.token, now=NOW)
    assert found is not None
    assert found.organisation_id is not None


def test_two_keys_of_one_person_name_the_same_person(town, vault):
    asked: list[dict[str, Any]] = [
        {},
        {"scopes": []},
        {"role": "supervisor"},
        {"organisation": "tiny-transit"},
    ]
    callers = [
        keys.authenticate(town, vault, staff_key(town, vault, **changes).token, now=NOW)
        for changes in asked
    ]
    people = [caller.staff_id for caller in callers if caller]
    assert people[0] == people[1]
    assert len(set(people)) == 3


def test_the_token_is_stored_nowhere(town, vault):
    issued = staff_key(town, vault)
    with town.owner() as conn:
        (row,) = conn.execute("select api_keys::text from api_keys").fetchone()
    assert issued.token not in row
    assert issued.token.encode().hex() not in row
    assert stored(town, "token_hash", issued.id) == vault.hash_token(issued.token)


@pytest.mark.parametrize(
    "said",
    [
        "",
        "waylight_sk_",
        "waylight_sk_" + "A" * 43,
        "waylight_sk_" + "A" * 49,
        token("staff", "nobody"),
        "\x00",
        "é" * 50,
    ],
)
def test_what_is_no_key_is_nobody(town, vault, said):
    staff_key(town, vault)
    assert keys.authenticate(town, vault, said, now=NOW) is None


def test_the_words_of_a_token_must_fit_to_the_last_letter(town, vault):
    good = staff_key(town, vault).token
    for changed in (
        good + "\n",
        good[:-1],
        good.swapcase(),
        good.replace("_sk_", "_ck_"),
        f" {good}",
    ):
        assert keys.authenticate(town, vault, changed, now=NOW) is None


def test_an_ended_key_is_nobody_from_that_moment_on(town, vault):
    ends = NOW + timedelta(days=1)
    issued = client_key(town, vault, expires_at=ends)
    moment = timedelta(microseconds=1)
    assert keys.authenticate(town, vault, issued.token, now=ends - moment) is not None
    assert keys.authenticate(town, vault, issued.token, now=ends) is None


def test_a_revoked_key_is_nobody_at_once_and_stays_revoked(town, vault):
    issued, other = staff_key(town, vault), staff_key(town, vault)
    keys.revoke_key(town, vault, issued.id, now=NOW)
    keys.revoke_key(town, vault, issued.id, now=NOW + timedelta(days=1))
    assert keys.authenticate(town, vault, issued.token, now=NOW) is None
    assert keys.authenticate(town, vault, other.token, now=NOW) is not None
    assert stored(town, "revoked_at", issued.id) == NOW
    with pytest.raises(NotFound):
        keys.revoke_key(town, vault, uuid4(), now=NOW)


def test_the_others_of_a_person_end_but_nobody_elses(town, vault):
    old, new = staff_key(town, vault), staff_key(town, vault)
    colleague = staff_key(town, vault, person="Bo Ling")
    client = client_key(town, vault)
    keys.revoke_others(town, vault, new.id, now=NOW)
    live = {
        issued.id
        for issued in (old, new, colleague, client)
        if keys.authenticate(town, vault, issued.token, now=NOW)
    }
    assert live == {new.id, colleague.id, client.id}


def test_the_day_of_use_is_noted_once_a_day_and_not_for_a_wrong_token(town, vault):
    issued, unused = staff_key(town, vault), staff_key(town, vault)
    assert stored(town, "last_used_on", issued.id) is None
    keys.authenticate(town, vault, issued.token, now=NOW)
    assert stored(town, "last_used_on", issued.id) == NOW.date()
    version = stored(town, "ctid::text", issued.id)
    keys.authenticate(town, vault, issued.token, now=NOW)
    assert stored(town, "ctid::text", issued.id) == version
    keys.authenticate(town, vault, issued.token, now=NOW + timedelta(days=1))
    assert stored(town, "last_used_on", issued.id) == NOW.date() + timedelta(days=1)
    assert stored(town, "last_used_on", unused.id) is None


def test_a_right_and_a_wrong_token_cost_one_and_the_same_statement(town, vault, monkeypatch):
    good = staff_key(town, vault).token
    run: list[object] = []
    execute = psycopg.Cursor.execute

    def counting(self, query, *args, **kwargs):
        run.append(query)
        return execute(self, query, *args, **kwargs)

    monkeypatch.setattr(psycopg.Cursor, "execute", counting)
    keys.authenticate(town, vault, good, now=NOW)
    right, run[:] = list(run), []
    keys.authenticate(town, vault, token("staff", "nobody"), now=NOW)
    assert run == right
    assert sum("api_keys" in str(statement) for statement in right) == 1


def test_an_unknown_scope_is_refused_by_name(town, vault):
    with pytest.raises(InvalidRequest) as caught:
        staff_key(town, vault, scopes=["alerts:read", "all", "root"])
    assert [problem.detail for problem in caught.value.problems] == ["all", "root"]
    with pytest.raises(InvalidRequest):
        client_key(town, vault, scopes=["everything"])


def test_an_unknown_organisation_is_refused_with_those_there_are(town, vault):
    with pytest.raises(NotFound, match=r"tiny-control, tiny-police, tiny-transit"):
        staff_key(town, vault, organisation="police")
    with pytest.raises(NotFound, match="No city"):
        staff_key(town, vault, city="elsewhere")


def test_an_organisation_of_two_cities_needs_the_city(town, vault):
    with town.owner() as conn:
        conn.execute(
            "insert into cities select (jsonb_populate_record(c, jsonb_build_object("
            "'id', uuid_v7(), 'slug', 'twintown', 'control_room_id', null))).* from cities c"
        )
        conn.execute(
            "insert into organisations (city_id, key, name, kind)"
            " select id, 'tiny-police', 'Twintown police', 'police' from cities"
            " where slug = 'twintown'"
        )
    with pytest.raises(NotFound, match="say which city"):
        staff_key(town, vault)
    issued = staff_key(town, vault, city="twintown")
    (record,) = keys.list_keys(town)
    assert (record.id, record.organisation) == (issued.id, "Twintown police")


def test_every_key_is_listed_with_all_but_its_token(town, vault):
    first = staff_key(town, vault, expires_at=NOW + timedelta(days=3))
    second = client_key(town, vault)
    keys.revoke_key(town, vault, second.id, now=NOW)
    staff, client = keys.list_keys(town)
    assert (staff.id, staff.kind, staff.person, staff.role) == (
        first.id,
        Kind.STAFF,
        "Ada Ling",
        "officer",
    )
    assert staff.organisation == "Tinytown police (demo)"
    assert staff.scopes == ("alerts:act", "alerts:read")
    assert staff.expires_at == NOW + timedelta(days=3)
    assert (client.id, client.kind, client.revoked_at) == (second.id, Kind.CLIENT, NOW)


def test_making_and_revoking_a_key_is_in_the_audit_log_of_its_organisation(town, vault):
    issued = staff_key(town, vault)
    for _ in range(2):
        keys.revoke_key(town, vault, issued.id, now=NOW)
    with town.owner() as conn:
        entries = conn.execute(
            "select action, subject_id, staff_id, organisation_id is not null from audit_entries"
            " order by id"
        ).fetchall()
    assert entries == [
        ("key.created", issued.id, None, True),
        ("key.revoked", issued.id, None, True),
    ]
