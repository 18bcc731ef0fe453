"""Consent by receipt: given, taken back and given again, told to whom it concerns, and locked."""

from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import psycopg
import pytest

from schemas.common import WireId
from schemas.events import envelope
from tests.by_hand import by_hand, cannot_say, refused
from tests.desk import NOW, P2, SCOPES, SPOT, headers_for
from waylight.db import consents as db_consents
from waylight.db.events import give_numbers
from waylight.domain.reports import LocationClaim, ShareWith, Submission, Want
from waylight.services import audit, events
from waylight.services.reports import submit_reports
from waylight.services.webhooks import tell_webhooks

CONSENTS = "/v1/reports/mine/consents"
STORY = replace(P2, narrative="He got on at King's Cross.", wants=(Want.RECORD_ONLY,))


@pytest.fixture
def signed_in(desk):
    return headers_for(desk, SCOPES | {"audit:read", "reports:original"})


@pytest.fixture
def call(client):
    def call(report, method="GET", recipient=None, language="en"):
        path = CONSENTS if recipient is None else f"{CONSENTS}/{recipient}"
        headers = {"Authorization": f"Receipt {report.receipt}", "Accept-Language": language}
        return client.open(path, method=method, headers=headers)

    return call


@pytest.fixture
def timeline(client):
    def timeline(report, language="en"):
        headers = {"Authorization": f"Receipt {report.receipt}", "Accept-Language": language}
        return client.get("/v1/reports/mine", headers=headers).json["timeline"]

    return timeline


def item(answer, recipient):
    assert answer.status_code == 200, answer.text
    (found,) = (one for one in answer.json["items"] if one["recipient"] == recipient)
    return found


def shared(client, headers, report):
    return client.get(f"/v1/shared-reports/{WireId.of('report', report.id)}", headers=headers)


def told(desk):
    """What has been told outside so far, to whom."""
    batch = events.read_after(desk.database, 0)
    return [one for one in batch.events if one.type.startswith("grant.")]


def number_events(desk):
    with desk.database.intake() as conn:
        while give_numbers(conn, limit=500):
            pass


def test_passenger_sees_for_each_recipient_which_organisation_it_would_be_and_why(desk, call):
    report = desk.report(STORY)
    answer = call(report)
    police, operator = item(answer, "police"), item(answer, "operator")
    assert police["organisation"]["name"] == "Police"
    assert operator["organisation"]["reason"]["code"] == "covers_place"
    assert (police["given_at"], police["unavailable"], police["still_reads"]) == (None, None, [])
    support = item(answer, "support")
    assert (support["organisation"], support["unavailable"]["code"]) == (None, "nobody_there")
    assert answer.json["history"] == []


def test_police_are_those_whose_job_it_is_whoever_is_nearer(desk, call):
    report = desk.report(STORY)
    desk.do(
        "insert into organisations (city_id, key, name, kind)"
        " select city_id, 'rail', 'Rail police', 'police' from organisations where key = 'police'"
    )
    desk.do(
        "update reports set routing = jsonb_set(routing, '{jurisdiction,body}', '\"Rail police\"')"
    )
    found = item(call(report), "police")["organisation"]
    assert (found["name"], found["reason"]["code"]) == ("Rail police", "whose_job")


def test_of_several_organisations_that_nothing_tells_apart_none_is_chosen(desk, call):
    report = desk.report(STORY)
    desk.do("delete from coverages")
    assert item(call(report), "operator")["organisation"]["reason"]["code"] == "only_one"
    desk.do(
        "insert into organisations (city_id, key, name, kind)"
        " select city_id, 'trams', 'Trams', 'operator' from organisations where key = 'police'"
    )
    assert item(call(report), "operator")["unavailable"]["code"] == "nobody_there"
    refused_answer = call(report, "PUT", "operator")
    assert (refused_answer.status_code, refused_answer.json["code"]) == (
        409,
        "consent_not_possible",
    )
    assert refused_answer.json["errors"][0]["code"] == "nobody_there"


def test_consent_opens_the_report_alerts_nobody_and_closes_it_again(desk, client, call, signed_in):
    report = desk.report(STORY)
    assert shared(client, signed_in["Ali"], report).status_code == 404
    given = item(call(report, "PUT", "operator"), "operator")
    assert given["given_at"] is not None
    read = shared(client, signed_in["Ali"], report)
    assert read.status_code == 200
    assert read.json["story"]["narrative"] == "He got on at King's Cross."
    listed = client.get("/v1/shared-reports", headers=signed_in["Ali"]).json["items"]
    assert [one["id"] for one in listed] == [WireId.of("report", report.id)]
    for who in ("Robin", "Casey", "Jo"):
        assert shared(client, signed_in[who], report).status_code == 404
        assert client.get("/v1/shared-reports", headers=signed_in[who]).json["items"] == []
    assert desk.rows("select from alerts") == desk.rows("select from deliveries") == []

    withdrawn = item(call(report, "DELETE", "operator"), "operator")
    assert (withdrawn["given_at"], withdrawn["still_reads"]) == (None, [])
    assert shared(client, signed_in["Ali"], report).status_code == 404
    assert client.get("/v1/shared-reports", headers=signed_in["Ali"]).json["items"] == []
    original = f"/v1/reports/{WireId.of('report', report.id)}/original"
    assert client.get(original, headers=signed_in["Ali"]).status_code == 404
    for table, column in (
        ("reports", "id"),
        ("report_facts", "id"),
        ("report_secrets", "report_id"),
    ):
        query = f"select from {table} where {column} = %s"
        assert by_hand(desk, desk.operator, query, report.id) == []


def test_every_grant_of_consent_is_a_row_with_cause_author_and_time_and_keeps_its_past(desk, call):
    report = desk.report(STORY)
    for method in ("PUT", "PUT", "DELETE", "DELETE", "PUT"):
        assert call(report, method, "police").status_code == 200
    (row,) = desk.rows("select * from grants where report_id = %s", report.id)
    assert (row["cause"], row["created_by"], row["revoked_at"]) == ("consent", "passenger", None)
    (past,) = desk.rows("select * from past_grants")
    assert (past["created_by"], past["revoked_by"]) == ("passenger", "passenger")
    assert past["created_at"] <= past["revoked_at"] <= row["created_at"]
    history = call(report).json["history"]
    assert [one["withdrawn_at"] is None for one in history] == [False, True]
    for statement in (
        "delete from past_grants",
        "update past_grants set level = 'heads_up'",
        "truncate past_grants",
    ):
        with pytest.raises(psycopg.errors.RaiseException), desk.database._conn.transaction():
            desk.do(statement)


def test_whoever_was_alerted_goes_on_reading_and_the_passenger_is_told_the_truth(
    desk, client, call, timeline, signed_in
):
    report = desk.report(replace(STORY, wants=(Want.HELP, Want.POLICE)))
    desk.acknowledge(desk.police, desk.alert_of(desk.first))
    before = item(call(report, "PUT", "police"), "police")
    assert [one["code"] for one in before["still_reads"]] == ["reads_by_routing"]
    after = item(call(report, "DELETE", "police"), "police")
    assert [one["code"] for one in after["still_reads"]] == ["reads_by_routing"]
    assert shared(client, signed_in["Robin"], report).status_code == 404
    (read,) = desk.read(desk.police, desk.alert_of(desk.first)).reports
    assert read.story is not None
    said = [one for one in timeline(report) if one["code"].startswith("consent")]
    assert [one["code"] for one in said] == ["consent_given", "consent_withdrawn_still_reads"]
    assert said[1]["text"] == (
        "You took your consent back. Police was also alerted to help you, and can still read your"
        " report for that."
    )


@pytest.mark.parametrize(
    ("language", "words"),
    [("en", "can no longer read"), ("es", "ya no puede leer"), ("ar", "لم يعد بإمكان")],
)
def test_timeline_tells_of_consent_in_every_language(desk, call, timeline, language, words):
    report = desk.report(STORY)
    call(report, "PUT", "operator")
    call(report, "DELETE", "operator")
    codes = [one["code"] for one in timeline(report, language)]
    assert codes == ["received", "consent_given", "consent_withdrawn"]
    assert words in timeline(report, language)[-1]["text"]
    assert item(call(report, language=language), "police")["organisation"]["reason"]["text"]


def test_consent_ticked_with_the_report_is_told_like_any_other(desk, call, timeline):
    report = desk.report(replace(STORY, wants=(Want.HELP,), share_with=(ShareWith.OPERATOR,)))
    assert "consent_given" in [one["code"] for one in timeline(report)]
    assert timeline(report)[0]["code"] == "received"
    assert item(call(report), "operator")["given_at"] is not None
    number_events(desk)
    assert [(one.type, one.audience) for one in told(desk)] == [
        ("grant.created", {desk.operator.organisation_id})
    ]


def test_consent_ticked_with_a_report_that_alerts_nobody_is_given_all_the_same(
    desk, client, call, timeline, signed_in
):
    report = desk.report(replace(STORY, share_with=(ShareWith.OPERATOR,)))
    assert (report.status, report.alerting, report.warnings) == ("recorded", "none", ())
    assert [one.code for one in report.safety_card.who_sees_this] == ["shared_operator"]
    assert item(call(report), "operator")["given_at"] is not None
    assert "consent_given" in [one["code"] for one in timeline(report)]
    assert shared(client, signed_in["Ali"], report).status_code == 200
    for who in ("Robin", "Casey", "Jo"):
        assert shared(client, signed_in[who], report).status_code == 404
    for table in ("alerts", "deliveries", "incidents"):
        assert desk.rows(f"select from {table}") == []
    assert len(desk.rows("select from grants")) == 1


def test_police_ticked_with_the_report_are_those_whose_job_it_is_whoever_is_nearer(desk, call):
    desk.do(
        "insert into organisations (city_id, key, name, kind)"
        " select city_id, 'rail', 'Rail police', 'police' from organisations where key = 'police'"
    )
    rule = '[{"organisation": "Rail police", "code": "on_the_railway"}]'
    desk.do("update cities set jurisdiction = %s, version = version + 1", rule)
    report = desk.report(replace(STORY, wants=(Want.HELP,), share_with=(ShareWith.POLICE,)))
    found = item(call(report), "police")
    assert found["given_at"] is not None
    assert found["organisation"]["name"] == "Rail police"


def test_consent_ticked_while_no_team_is_on_duty_is_given_to_whom_it_would_be_later(desk, call):
    desk.do("update teams set duty_status = 'off' where kind = 'field'")
    report = desk.report(replace(STORY, wants=(Want.HELP,), share_with=(ShareWith.OPERATOR,)))
    assert item(call(report), "operator")["given_at"] is not None


def test_whoever_ticks_somebody_of_whom_there_are_two_is_told_that_nobody_has_it(desk, call):
    desk.do("delete from coverages")
    desk.do(
        "insert into organisations (city_id, key, name, kind)"
        " select city_id, 'trams', 'Trams', 'operator' from organisations where key = 'police'"
    )
    ticked = (ShareWith.OPERATOR, ShareWith.POLICE)
    report = desk.report(replace(STORY, wants=(Want.HELP,), share_with=ticked))
    assert [(one.pointer, one.code) for one in report.warnings] == [
        ("/share_with", "share_nobody_there")
    ]
    seen_by = [one.code for one in report.safety_card.who_sees_this]
    assert "shared_police" in seen_by
    assert "shared_operator" not in seen_by
    assert item(call(report), "operator")["given_at"] is None
    assert item(call(report), "police")["given_at"] is not None


def test_report_goes_its_way_although_nobody_knows_whom_to_share_it_with(desk, monkeypatch):
    monkeypatch.setattr(db_consents, "readers_of_sent", refuse)
    report = desk.report(replace(STORY, wants=(Want.HELP,), share_with=(ShareWith.OPERATOR,)))
    assert [one.code for one in report.warnings] == ["share_nobody_there"]
    assert desk.rows("select from alerts")
    assert desk.rows("select from grants where cause = 'consent'") == []


def test_consent_ticked_with_the_report_is_in_the_audit_log_once(desk, client, signed_in):
    ticked = replace(STORY, wants=(Want.HELP,), share_with=(ShareWith.OPERATOR,))
    placed = replace(ticked, location=LocationClaim(point=SPOT))
    sent = Submission(placed, received_at=NOW, idempotency_key=str(uuid4()))
    answers = [
        submit_reports(desk.database, desk.vault, desk.settings, [one])[0]
        for one in (sent, sent, Submission(replace(placed, share_with=()), received_at=NOW))
    ]
    assert [answer.replayed for answer in answers] == [False, True, False]
    entries = client.get("/v1/audit", headers=signed_in["Ali"]).json["items"]
    report = WireId.of("report", answers[0].id)
    assert [(one["action"], one["actor"], one["report"]) for one in entries] == [
        ("consent.given", None, report)
    ]
    assert audit.verify(desk.database, desk.vault, now=NOW).broken is None


def test_report_is_stored_although_its_consent_cannot_be_audited(desk, monkeypatch):
    monkeypatch.setattr(audit, "write", refuse)
    desk.report(replace(STORY, wants=(Want.HELP,), share_with=(ShareWith.OPERATOR,)))
    assert len(desk.rows("select from reports")) == 1
    assert desk.rows("select from grants where cause = 'consent'")


def refuse(*_, **__):
    raise psycopg.errors.InsufficientPrivilege


def test_a_child_s_report_is_shared_by_no_tick(desk, call):
    ticked = tuple(ShareWith)
    report = desk.report(replace(STORY, under_18=True, share_with=ticked))
    assert [one.code for one in report.warnings] == ["share_asked_first"]
    assert [one.code for one in report.safety_card.who_sees_this] == ["nobody"]
    assert {one["unavailable"]["code"] for one in call(report).json["items"]} == {"asked_first"}
    for recipient in ("operator", "police", "support"):
        answer = call(report, "PUT", recipient)
        assert (answer.status_code, answer.json["errors"][0]["code"]) == (409, "asked_first")
    assert desk.rows("select from grants") == []


def test_organisation_is_told_by_ids_alone_also_once_it_may_not_read(desk, call):
    report = desk.report(STORY)
    call(report, "PUT", "operator")
    call(report, "DELETE", "operator")
    number_events(desk)
    created, revoked = told(desk)
    assert created.audience == revoked.audience == {desk.operator.organisation_id}
    sent = envelope(revoked, base_url="https://waylight.example")
    assert sent["type"] == "grant.revoked"
    assert {name: value for name, value in sent["data"].items() if value} == {
        "report_id": WireId.of("report", report.id),
        "reason": "consent",
    }
    link = envelope(created, base_url="https://waylight.example")["data"]["link"]
    assert link.endswith(f"/v1/shared-reports/{WireId.of('report', report.id)}")


def test_webhook_of_the_organisation_and_of_no_other_gets_grant_revoked(desk, call):
    for person in (desk.operator, desk.police):
        desk.do(
            "insert into webhooks (id, organisation_id, state, description, event_types,"
            " starts_after, key_version, wrapped_key, url, secret, created_at, updated_at)"
            " values (uuid_v7(), %s, 'active', '', '{grant.*}', 0, 1, '', '', '', %s, %s)",
            person.organisation_id,
            NOW,
            NOW,
        )
    report = desk.report(STORY)
    call(report, "PUT", "operator")
    call(report, "DELETE", "operator")
    number_events(desk)
    tell_webhooks(desk.database, now=NOW)
    rows = desk.rows(
        "select d.message, w.organisation_id from deliveries d"
        " join webhooks w on w.id = d.target_id where d.channel = 'webhook' order by d.message"
    )
    assert [(row["message"], row["organisation_id"]) for row in rows] == [
        ("grant.created", desk.operator.organisation_id),
        ("grant.revoked", desk.operator.organisation_id),
    ]


def test_consent_is_in_the_audit_log_of_the_organisation_it_concerns(desk, client, call, signed_in):
    report = desk.report(STORY)
    for method in ("PUT", "PUT", "DELETE", "DELETE"):
        call(report, method, "operator")
    entries = client.get("/v1/audit", headers=signed_in["Ali"]).json["items"]
    found = [(one["action"], one["actor"], one["report"]) for one in reversed(entries)]
    report_id = WireId.of("report", report.id)
    assert found == [
        ("consent.given", None, report_id),
        ("consent.withdrawn", None, report_id),
    ]
    assert client.get("/v1/audit", headers=signed_in["Robin"]).json["items"] == []


def test_reading_a_shared_report_is_audited_and_told(desk, client, call, timeline, signed_in):
    report = desk.report(STORY)
    call(report, "PUT", "operator")
    shared(client, signed_in["Ali"], report)
    actions = [row["action"] for row in desk.rows("select action from audit_entries order by id")]
    assert actions == ["consent.given", "report.read"]
    assert timeline(report)[-1]["text"].startswith("A person at Operator has read your report.")


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_no_receipt_a_wrong_one_and_a_mistyped_one_open_nothing(desk, client, method):
    report = desk.report(STORY)
    path = CONSENTS if method == "GET" else f"{CONSENTS}/operator"
    wrong = f"{report.receipt[:-1]}{'0' if report.receipt[-1] != '0' else '1'}"
    for headers in ({}, {"Authorization": f"Receipt {wrong}"}):
        assert client.open(path, method=method, headers=headers).status_code == 404
    assert desk.rows("select from grants") == []


def test_staff_give_and_take_no_consent_by_hand(desk, call):
    call(desk.report(STORY), "PUT", "operator")
    for statement in (
        "update grants set revoked_at = null",
        "delete from grants",
        "insert into grants (report_id, cause, created_by) values (uuid_v7(), 'consent', 'x')",
        "select * from past_grants",
    ):
        for who in (desk.operator, desk.police, desk.control):
            with desk.database._conn.transaction(force_rollback=True):
                refused(desk, who, statement)


def test_consent_that_was_taken_back_is_seen_in_the_rows_of_its_own_organisation_alone(desk, call):
    report = desk.report(STORY)
    call(report, "PUT", "operator")
    call(report, "DELETE", "operator")
    for who, seen in ((desk.operator, 1), (desk.police, 0), (desk.control, 0)):
        assert len(by_hand(desk, who, "select from grants where cause = 'consent'")) == seen
        kinds = by_hand(desk, who, "select from events where kind = 'grant.revoked'")
        assert len(kinds) == seen


def test_consent_given_later_by_somebody_who_wanted_help_is_no_rung_of_the_ladder(desk, call):
    report = desk.report(replace(STORY, wants=(Want.HELP,)))
    alerts = len(desk.rows("select from alerts"))
    call(report, "PUT", "police")
    desk.climb(NOW + timedelta(minutes=30))
    police = desk.rows("select from alerts where team_id in (%s, %s)", desk.first, desk.third)
    assert police == []
    assert len(desk.rows("select from alerts")) > alerts


@pytest.mark.parametrize("kind", ["grant.created", "grant.revoked"])
def test_no_organisation_says_in_the_passenger_s_timeline_what_they_agreed_to(desk, call, kind):
    report = desk.report(STORY)
    call(report, "PUT", "operator")
    for about in ({}, {"report_id": report.id}):
        with desk.database._conn.transaction(force_rollback=True):
            cannot_say(desk, desk.operator, kind, **about)
