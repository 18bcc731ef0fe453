"""Grants of every kind but consent: listed, taken back, told to whom it concerns, and locked."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import psycopg
import pytest

from schemas.common import WireId
from tests.by_hand import by_hand
from tests.desk import NOW, P2, SCOPES, headers_for, open_desk
from waylight.db.events import give_numbers
from waylight.domain.errors import StateConflict
from waylight.domain.reports import ShareWith, Want
from waylight.services import audit, events
from waylight.services.reports import grants

STORY = replace(
    P2, narrative="He got on at King's Cross.", wants=(Want.HELP, Want.POLICE, Want.HUB)
)
WHY = {"reason": "It was handed to the wrong council."}
MINE = {"incidents:manage", "organisation:manage", "audit:read", "reports:original"}


@pytest.fixture
def desk(database, vault, settings):
    return open_desk(database, vault, settings)


@pytest.fixture
def who(desk):
    return headers_for(desk, SCOPES | MINE)


@pytest.fixture
def report(desk):
    """A report that the police's first team was told of, the hub too, and the control room sees."""
    return desk.report(STORY)


def path(report, organisation_id=None):
    grants = f"/v1/reports/{WireId.of('report', report.id)}/grants"
    if organisation_id is None:
        return grants
    return f"{grants}/{WireId.of('organisation', organisation_id)}/revoke"


@pytest.fixture
def listed(client, who, report):
    def listed(name):
        answer = client.get(path(report), headers=who[name])
        assert answer.status_code == 200, answer.text
        return answer.json["items"]

    return listed


@pytest.fixture
def revoke(client, who, report):
    def revoke(name, person, body=WHY):
        return client.post(path(report, person.organisation_id), headers=who[name], json=body)

    return revoke


@pytest.fixture
def looked(desk):
    """Who is in the audit log as having looked at who reads a report."""

    def looked():
        rows = desk.rows(
            "select report_id, staff_id from audit_entries where action = 'grants.read' order by id"
        )
        return [(row["report_id"], row["staff_id"]) for row in rows]

    return looked


@pytest.fixture
def post(client, who):
    def post(name, alert_id, step, body=None):
        url = f"/v1/alerts/{WireId.of('alert', alert_id)}/{step}"
        return client.post(url, headers=who[name], json=body)

    return post


@pytest.fixture
def declined(desk, report):
    """Both teams of the police said no: the operator's is asked."""
    alert = desk.alert_of(desk.first)
    desk.decline(desk.police, alert)
    desk.decline(desk.police, desk.alert_of(desk.third))
    assert desk.states()[desk.second] == "pending"
    return alert


@pytest.fixture
def handed(desk, post, report):
    """The police's first team handed it over to the operator's, who closed it."""
    alert = desk.alert_of(desk.first)
    desk.acknowledge(desk.police, alert)
    body = {"to_team": WireId.of("team", desk.second), "reason": "Nearer."}
    assert post("Robin", alert, "hand-over", body).status_code == 200
    asked = desk.alert_of(desk.second)
    desk.acknowledge(desk.operator, asked)
    assert post("Ali", asked, "close", {"outcome": "resolved"}).status_code == 200
    return asked


def why(answer, status=409):
    assert answer.status_code == status, answer.text
    return answer.json["errors"][0]["code"]


def live(desk, person):
    return {
        row["cause"]
        for row in desk.rows(
            "select cause from grants where organisation_id = %s and revoked_at is null",
            person.organisation_id,
        )
    }


@pytest.fixture
def reads(client, who, report):
    def reads(name):
        original = f"/v1/reports/{WireId.of('report', report.id)}/original"
        return client.get(original, headers=who[name]).status_code

    return reads


@pytest.fixture
def read_alert(client, who):
    def read_alert(name, alert_id):
        answer = client.get(f"/v1/alerts/{WireId.of('alert', alert_id)}", headers=who[name])
        assert answer.status_code == 200, answer.text
        return answer.json["reports"]

    return read_alert


@pytest.fixture
def consent(client, report):
    def consent(recipient):
        headers = {"Authorization": f"Receipt {report.receipt}"}
        answer = client.put(f"/v1/reports/mine/consents/{recipient}", headers=headers)
        assert answer.status_code == 200, answer.text

    return consent


@pytest.fixture
def reopen(desk, client, who):
    def reopen(name):
        url = f"/v1/incidents/{WireId.of('incident', desk.incident()['id'])}/reopen"
        return client.post(url, headers=who[name], json={"reason": "He is back."})

    return reopen


@pytest.fixture
def timeline(client, report):
    def timeline(language="en"):
        headers = {"Authorization": f"Receipt {report.receipt}", "Accept-Language": language}
        return client.get("/v1/reports/mine", headers=headers).json["timeline"]

    return timeline


def number_events(desk):
    with desk.database.intake() as conn:
        while give_numbers(conn, limit=500):
            pass


def test_control_room_lists_who_reads_a_report_why_by_whom_and_since_when(desk, listed, handed):
    found = {(one["organisation"], one["cause"]): one for one in listed("Casey")}
    assert found[("Police", "routing")]["given_by"]["who"] == "routing"
    given = found[("Operator", "hand_over")]
    assert given["given_by"] == {
        "who": "staff",
        "organisation_id": WireId.of("organisation", desk.police.organisation_id),
        "organisation": "Police",
        "person": None,
    }
    assert (given["level"], given["revoked_at"], given["revocable"]) == ("full", None, True)
    assert {one["level"] for one in listed("Casey")} == {"full", "heads_up"}


def test_organisation_lists_its_own_and_what_it_gave_and_reads_names_of_its_own_alone(
    listed, handed
):
    own = [(one["organisation"], one["cause"]) for one in listed("Robin")]
    assert own == [("Police", "routing"), ("Operator", "hand_over")]
    assert listed("Robin")[1]["given_by"]["person"] == "Robin"
    (theirs,) = listed("Ali")
    assert (theirs["cause"], theirs["given_by"]["person"]) == ("hand_over", None)


def test_whoever_was_granted_nothing_finds_neither_the_list_nor_a_way_to_end_it(
    desk, client, who, report, revoke
):
    nobodys = path(report).replace(
        WireId.of("report", report.id), "report_01jdw2s4x0e6qv3t8k5n7b9c1d"
    )
    theirs, none = (client.get(url, headers=who["Ali"]) for url in (path(report), nobodys))
    assert (theirs.status_code, theirs.json) == (none.status_code, none.json)
    assert theirs.status_code == 404
    assert revoke("Ali", desk.police).status_code == 404
    assert live(desk, desk.police) == {"routing"}


def test_nobody_on_the_way_loses_the_report(desk, reads, revoke, post):
    alert = desk.alert_of(desk.first)
    for step in (None, "acknowledge", "en-route", "on-scene"):
        if step is not None:
            assert post("Robin", alert, step).status_code == 200
        for name in ("Casey", "Robin"):
            refused = revoke(name, desk.police)
            assert why(refused) == "at_work"
            assert "close, decline or hand over" in refused.json["detail"]
    assert why(revoke("Casey", desk.hub_host)) == "at_work"
    assert reads("Robin") == 200


@pytest.mark.usefixtures("handed")
def test_hand_over_is_taken_back_by_who_gave_it_and_closes_the_report_at_once(
    desk, reads, read_alert, listed, revoke
):
    assert reads("Ali") == 200
    answer = revoke("Robin", desk.operator)
    assert answer.status_code == 200, answer.text
    ended = answer.json["items"][1]
    assert ended["revoked_by"]["person"] == "Robin"
    assert (ended["revoked_at"] is None, ended["revocable"]) == (False, False)
    assert reads("Ali") == 404
    assert live(desk, desk.operator) == set()
    for table in ("reports", "report_secrets"):
        assert by_hand(desk, desk.operator, f"select from {table}") == []
    assert read_alert("Ali", desk.alert_of(desk.second)) == []
    assert revoke("Robin", desk.operator).json["items"] == listed("Robin")
    assert len(desk.rows("select from audit_entries where action = 'grant.revoked'")) == 1


@pytest.mark.usefixtures("declined")
def test_giver_takes_back_what_it_gave_and_nothing_else(desk, revoke):
    # The operator was told by routing, the police gave it nothing.
    desk.decline(desk.operator, desk.alert_of(desk.second))
    assert revoke("Robin", desk.operator).status_code == 404
    assert live(desk, desk.operator) == {"routing"}
    assert revoke("Casey", desk.operator).status_code == 200
    assert live(desk, desk.operator) == set()


@pytest.mark.usefixtures("declined")
def test_organisation_gives_up_its_own_grant(desk, client, who, revoke, reads):
    assert revoke("Robin", desk.police).status_code == 200
    assert reads("Robin") == 404
    (entry,) = [
        one
        for one in client.get("/v1/audit", headers=who["Robin"]).json["items"]
        if one["action"] == "grant.revoked"
    ]
    assert entry["report"] is not None
    (row,) = desk.rows("select subject_id from audit_entries where action = 'grant.revoked'")
    assert row["subject_id"] == desk.police.organisation_id
    assert audit.verify(desk.database, desk.vault, now=NOW).broken is None


@pytest.mark.usefixtures("handed")
def test_oversight_is_given_up_by_who_has_it_once_the_incident_is_closed(desk, revoke, reads):
    desk.do("update incidents set state = 'open'")
    assert why(revoke("Casey", desk.control)) == "watches"
    desk.do("update incidents set state = 'closed'")
    assert revoke("Robin", desk.control).status_code == 404
    assert revoke("Casey", desk.control).status_code == 200
    assert reads("Casey") == 404


@pytest.mark.usefixtures("handed")
def test_incident_that_is_opened_again_is_watched_over_again(desk, revoke, reopen):
    assert revoke("Casey", desk.control).status_code == 200
    reopened = reopen("Ali")
    assert reopened.status_code == 200, reopened.text
    assert "oversight" in live(desk, desk.control)


@pytest.mark.usefixtures("declined")
def test_open_incident_keeps_its_last_reader(desk, revoke):
    desk.do("update grants set revoked_at = now() where cause = 'oversight'")
    desk.do("delete from alerts where team_id = %s", desk.second)
    desk.do("delete from grants where organisation_id = %s", desk.operator.organisation_id)
    assert why(revoke("Robin", desk.police)) == "last_reader"
    desk.do("update incidents set state = 'closed'")
    assert revoke("Robin", desk.police).status_code == 200


@pytest.mark.usefixtures("handed")
def test_consent_is_neither_taken_nor_touched_by_staff(desk, consent, revoke, reads, timeline):
    consent("operator")
    assert revoke("Casey", desk.operator).status_code == 200
    assert live(desk, desk.operator) == {"consent"}
    for name in ("Casey", "Ali"):
        answer = revoke(name, desk.operator)
        assert (answer.status_code, "passenger" in answer.json["detail"]) == (403, True)
    assert live(desk, desk.operator) == {"consent"}
    assert reads("Ali") == 200
    assert "grant_ended" not in [one["code"] for one in timeline()]


def test_control_room_does_not_learn_of_a_passenger_s_support_service(desk, consent, listed):
    desk.do(
        "update organisations set kind = 'support_service' where id = %s",
        desk.operator.organisation_id,
    )
    consent("support")
    assert live(desk, desk.operator) == {"consent"}
    assert "Operator" not in [one["organisation"] for one in listed("Casey")]
    assert [one["given_by"]["who"] for one in listed("Ali")] == ["passenger"]


@pytest.mark.parametrize(
    ("language", "words"),
    [("en", "can no longer read"), ("es", "ya no puede leer"), ("ar", "لم يعد بإمكان")],
)
@pytest.mark.usefixtures("handed")
def test_passenger_is_told_once_who_reads_it_no_more(desk, revoke, timeline, language, words):
    desk.do(
        "insert into grants select report_id, organisation_id, 'routing', level, created_at,"
        " 'routing' from grants where cause = 'hand_over'"
    )
    assert revoke("Casey", desk.operator).status_code == 200
    (said,) = [one for one in timeline(language) if one["code"] == "grant_ended"]
    assert words in said["text"]
    assert "Operator" in said["text"]


def test_only_the_organisation_that_lost_it_is_told_by_ids_alone(desk, revoke, report, handed):
    assert revoke("Casey", desk.operator).status_code == 200
    number_events(desk)
    batch = events.read_after(desk.database, 0)
    (told,) = [one for one in batch.events if one.type == "grant.revoked"]
    assert told.audience == {desk.operator.organisation_id}
    assert WHY["reason"] not in str(told)


def test_reason_is_a_sealed_note_that_the_control_room_reads(desk, client, who, revoke, handed):
    assert revoke("Casey", desk.operator).status_code == 200
    assert desk.rows("select from incident_notes where kind = 'revocation'")
    incident = WireId.of("incident", desk.incident()["id"])
    line = f"/v1/incidents/{incident}/timeline?limit=200"
    assert WHY["reason"] in client.get(line, headers=who["Casey"]).text
    # Whoever was shut out reads no note of others any more.
    shut_out = client.get(line, headers=who["Ali"])
    assert shut_out.status_code == 200
    assert WHY["reason"] not in shut_out.text
    assert "Nearer." not in shut_out.text
    seen = by_hand(desk, desk.operator, "select kind from incident_notes")
    assert [row for row in seen if row[0] == "revocation"] == []


@pytest.mark.parametrize("body", [{}, {"reason": ""}, {"reason": " "}, {"reason": "x", "all": 1}])
def test_revocation_says_why_and_nothing_else(desk, revoke, handed, body):
    assert revoke("Casey", desk.operator, body).status_code == 422


def test_whoever_was_shut_out_does_not_come_back_by_an_old_alert(
    desk, revoke, post, report, declined
):
    assert revoke("Casey", desk.police).status_code == 200
    again = post("Robin", declined, "acknowledge")
    assert again.status_code == 409
    assert "taken back" in again.json["detail"]
    assert live(desk, desk.police) == set()


@pytest.mark.usefixtures("handed")
def test_whoever_was_shut_out_does_not_open_the_incident_again(desk, revoke, reopen):
    assert revoke("Casey", desk.operator).status_code == 200
    assert reopen("Ali").status_code == 403
    assert desk.incident()["state"] == "closed"


@pytest.mark.usefixtures("handed")
def test_whoever_is_told_anew_reads_it_anew_and_the_past_is_kept(desk, revoke, reopen):
    desk.do("delete from shifts")
    assert revoke("Casey", desk.police).status_code == 200
    assert revoke("Casey", desk.operator).status_code == 200
    reopened = reopen("Casey")
    assert reopened.status_code == 200, reopened.text
    assert live(desk, desk.police) == {"routing"}
    found = desk.read(desk.police, desk.alert_of(desk.first))
    assert [one.story.narrative for one in found.reports] == [STORY.narrative]
    (past,) = desk.rows(
        "select * from past_grants where organisation_id = %s", desk.police.organisation_id
    )
    assert past["revoked_by"] == f"staff:{desk.control.staff_id}"
    (row,) = desk.rows(
        "select * from grants where organisation_id = %s", desk.police.organisation_id
    )
    assert (row["revoked_by"], row["created_at"] > past["created_at"]) == (None, True)


def test_hub_that_is_told_after_a_team_was_shut_out_learns_no_story(desk, report):
    desk.do(
        "update grants set level = 'full', revoked_at = now(), revoked_by = 'x'"
        " where organisation_id = %s and cause = 'routing'",
        desk.hub_host.organisation_id,
    )
    with desk.database.intake() as conn:
        conn.execute(
            "select tell_more(r, a, '[]') from reports r join alerts a on a.report_id = r.id"
            " where r.id = %s and a.hub_id is not null",
            [report.id],
        )
    (row,) = desk.rows(
        "select level, revoked_at from grants where organisation_id = %s and cause = 'routing'",
        desk.hub_host.organisation_id,
    )
    assert row == {"level": "heads_up", "revoked_at": None}


def test_staff_take_back_and_give_no_grant_by_hand(desk, report):
    for person in (desk.control, desk.police):
        for statement in (
            "update grants set revoked_at = now()",
            "delete from grants",
            "insert into grants (report_id, cause, created_by) values (uuid_v7(), 'routing', 'x')",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                by_hand(desk, person, statement)


def test_list_by_hand_is_no_more_than_the_list(desk, report, handed):
    def seen(person):
        rows = by_hand(
            desk, person, "select organisation, cause from grants_of(%s) order by 1, 2", report.id
        )
        return [tuple(row) for row in rows]

    assert seen(desk.operator) == [("Operator", "hand_over")]
    assert seen(desk.police) == [("Operator", "hand_over"), ("Police", "routing")]
    assert len(seen(desk.control)) > 3
    desk.do("update grants set revoked_at = now() where cause = 'oversight'")
    assert len(seen(desk.control)) == 1


def test_shared_consent_in_the_report_is_listed_as_the_passenger_s(desk, client, who):
    shared = desk.report(replace(STORY, share_with=(ShareWith.OPERATOR,)))
    found = client.get(path(shared), headers=who["Ali"]).json["items"]
    (consent,) = [one for one in found if one["cause"] == "consent"]
    assert (consent["given_by"]["who"], consent["revocable"]) == ("passenger", False)


# --- at once


def at_once(*acts):
    """Each in a thread of its own, at the same moment: what they raised, or None."""
    start = threading.Barrier(len(acts))

    def run(act):
        start.wait()
        try:
            act()
        except StateConflict as error:
            return error
        return None

    with ThreadPoolExecutor(len(acts)) as pool:
        return list(pool.map(run, acts))


def take(desk, by, person, report_id):
    return lambda: grants.revoke_grants(
        desk.database,
        desk.vault,
        principal=by,
        report_id=report_id,
        organisation_id=person.organisation_id,
        reason="Not theirs.",
        now=NOW,
    )


@pytest.mark.commits
@pytest.mark.parametrize("_round", range(2))
def test_nobody_sets_out_blind_who_comes_back_while_it_is_taken(desk, report, declined, _round):
    taken, came = at_once(
        take(desk, desk.control, desk.police, report.id),
        lambda: desk.acknowledge(desk.police, declined),
    )
    assert (taken is None) != (came is None)
    is_at_work = desk.states()[desk.first] == "acknowledged"
    assert is_at_work == ("routing" in live(desk, desk.police))


@pytest.mark.commits
def test_of_two_last_readers_who_both_give_it_up_one_keeps_it(desk, report):
    desk.do("delete from alerts")
    desk.do("delete from grants where cause = 'oversight'")
    desk.do(
        "insert into grants select report_id, %s, cause, level, created_at, created_by from grants"
        " where organisation_id = %s on conflict do nothing",
        desk.operator.organisation_id,
        desk.police.organisation_id,
    )
    answers = at_once(
        take(desk, desk.police, desk.police, report.id),
        take(desk, desk.operator, desk.operator, report.id),
    )
    (refused,) = [one for one in answers if one is not None]
    assert [one.code for one in refused.problems] == ["last_reader"]
    assert len(desk.rows("select from grants where revoked_at is null and level = 'full'")) == 1


def test_looking_at_who_may_read_a_report_is_in_the_audit_log(desk, report, listed, looked, revoke):
    listed("Robin")
    listed("Casey")
    assert looked() == [(report.id, one.staff_id) for one in (desk.police, desk.control)]
    # Nothing is shown, nothing is written.
    assert revoke("Ali", desk.police).status_code == 404
    assert len(looked()) == 2
    assert revoke("Casey", desk.operator).status_code == 404
    assert looked()[2:] == [(report.id, desk.control.staff_id)]
