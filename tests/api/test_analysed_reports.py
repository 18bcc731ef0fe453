"""What analysts count: rounded, coarse, without a word; and the second lock, attacked by hand."""

from dataclasses import replace
from datetime import timedelta
from uuid import UUID, uuid4

import psycopg
import pytest
import uuid_utils.compat

from schemas.common import WireId
from tests.desk import NOW, P2, headers_for
from tests.domain.test_rounding import NAMED
from waylight.domain.geo import Point, rounded
from waylight.domain.reports import Contact, Journey, ShareWith, Want
from waylight.domain.roles import SCOPES, Role

PATH = "/v1/analysed-reports"
EARLIER = NOW - timedelta(hours=3)
HERE = Point(-0.1426173, 51.5390461)
STORY = replace(
    P2,
    narrative="He got on at King's Cross.",
    contact=Contact(phone="+447700900461"),
    wants=(Want.HELP, Want.POLICE, Want.HUB),
    journey=Journey(route_id="northern-461", vehicle_id="V461"),
)
PRIVATE = (
    "select position from reports",
    "select from reports",
    "select from report_facts",
    "select narrative from report_secrets",
    "select from report_secrets",
    "select from report_redactions",
    "select note from incident_notes",
    "select distance_m from alerts",
    "select from alerts",
    "select from events",
    "select from deliveries",
    "select from delivery_attempts",
    "select id from incidents",
    "select name from staff",
    "select staff_id from accounts",
    "select id from addresses",
    "select from hub_arrivals",
    "select from check_ins",
    "select id from teams",
)


@pytest.fixture
def signed_in(desk):
    return headers_for(desk, frozenset(SCOPES[Role.ANALYST]))


@pytest.fixture
def counted(client, signed_in):
    def counted(who="Robin", query=""):
        answer = client.get(f"{PATH}{query}", headers=signed_in[who])
        assert answer.status_code == 200, answer.text
        return answer.json["items"]

    return counted


def uuid_of(at):
    """A UUIDv7 of an instant."""
    rest = uuid4().int & ~(0xF << 76) & ((1 << 80) - 1)
    return UUID(int=(int(at.timestamp() * 1000) << 80) | (7 << 76) | rest)


def as_analyst(desk, who, statement, *values):
    with desk.database.staff(who.organisation_id, reads_as="analyst") as conn:
        return conn.execute(statement, values).fetchall()


def test_report_is_rounded_in_place_and_time_and_has_no_word_in_it(desk, client, signed_in):
    report = desk.report(STORY, at=HERE, now=EARLIER)
    answer = client.get(PATH, headers=signed_in["Robin"])
    (found,) = answer.json["items"]
    assert found["received_hour"] == f"{EARLIER:%Y-%m-%dT%H}:00:00Z"
    assert found["position"]["coordinates"] == [rounded(HERE).lon, rounded(HERE).lat]
    assert (found["categories"], found["happening"]) == (["being_followed"], "now")
    text = answer.get_data(as_text=True)
    for secret in (
        "King's Cross",
        "7700900461",
        "461",
        "-0.14261",
        report.receipt,
        WireId.of("report", report.id),
        "Robin",
    ):
        assert secret not in text


def test_id_stands_for_one_report_within_one_organisation_alone(desk, counted):
    desk.report(STORY, now=EARLIER)
    assert counted("Robin")[0]["id"] == counted("Robin")[0]["id"] != counted("Casey")[0]["id"]


def test_analysts_count_what_their_organisation_may_see_and_nothing_else(desk, counted):
    desk.report(STORY, now=EARLIER)
    desk.report(replace(STORY, wants=(Want.RECORD_ONLY,)), now=EARLIER)
    assert len(counted("Robin")) == len(counted("Casey")) == 1
    assert counted("Ali") == []
    (heads_up,) = counted("Jo")
    assert (heads_up["position"], heads_up["place"]) == (None, None)


def test_report_with_two_grants_is_counted_once(desk, counted):
    desk.report(replace(STORY, share_with=(ShareWith.POLICE, ShareWith.OPERATOR)), now=EARLIER)
    assert len(counted("Robin")) == len(counted("Ali")) == 1
    desk.do("update grants set revoked_at = now() where cause = 'consent'")
    assert len(counted("Robin")) == 1
    assert counted("Ali") == []


def test_neither_drills_nor_withdrawn_reports_nor_those_of_this_hour_are_counted(desk, counted):
    desk.report(replace(STORY, exercise=True), now=EARLIER)
    desk.report(STORY, now=EARLIER - timedelta(hours=1))
    desk.do("update reports set withdrawn_at = now() where not exercise")
    desk.report(STORY, now=NOW)
    assert desk.rows("select from reports where exercise") != []
    assert [one["received_hour"] for one in counted()] in (
        [],
        [f"{NOW:%Y-%m-%dT%H}:00:00Z"],  # the clock struck since the tests began
    )


def test_stop_is_named_only_when_it_is_a_station_that_the_passenger_named(desk, counted):
    for kind, stop_id in (("station", "940STATION"), ("bus_stop", "490STOP")):
        desk.do(
            "insert into places (city_id, key, stop_id, name, source_name, kind, position, modes,"
            " lines, codes) select id, %s, %s, %s, %s, %s, %s::geography, '{bus}', '{}', '{}'"
            " from cities",
            *[stop_id] * 4,
            kind,
            HERE.ewkt(),
        )
    desk.report(STORY, at=HERE, now=EARLIER)
    assert counted()[0]["place"] is None
    for source, stop_id, shown in (
        ("stop", "940STATION", "940STATION"),
        ("stop", "490STOP", None),
        ("point", "940STATION", None),
    ):
        desk.do(
            "update reports set location_source = %s,"
            " place_id = (select id from places where stop_id = %s)",
            source,
            stop_id,
        )
        place = counted()[0]["place"]
        assert (place and place["id"]) == shown


def test_pages_go_on_and_the_cursor_tells_no_time(desk, client, signed_in, counted):
    for hour in range(4):
        desk.report(STORY, now=EARLIER - timedelta(hours=hour))
    seen: list[str] = []
    path = f"{PATH}?limit=1"
    entries = "select report_id from audit_entries where action = 'report.analysed'"
    while path:
        answer = client.get(path, headers=signed_in["Casey"])
        # Not of the one that only says that there is a next page.
        assert len(desk.rows(entries)) == len(seen) + 1
        seen += [one["received_hour"] for one in answer.json["items"]]
        link = answer.headers.get("Link", "")
        path = link.partition("<")[2].partition(">")[0]
    assert seen == [one["received_hour"] for one in counted("Casey")]
    assert len(seen) == 4
    since = f"{EARLIER - timedelta(hours=1):%Y-%m-%dT%H}:00:00Z"
    assert len(counted("Casey", f"?from={since}")) == 2
    assert len(counted("Casey", f"?until={since}")) == 2
    wrong = client.get(f"{PATH}?from={since}&until={since}", headers=signed_in["Casey"])
    assert wrong.status_code == 422


def test_within_an_hour_nothing_tells_which_came_first(desk, client, signed_in, counted):
    """Else whoever sends reports meanwhile finds them between the others, and knows the minute."""
    sent = [desk.report(replace(P2, wants=STORY.wants), now=EARLIER) for _ in range(9)]
    hours = {(report.id.int >> 80) // 3_600_000 for report in sent}
    if len(hours) > 1:
        pytest.skip("the clock struck meanwhile")
    listed = counted()
    assert len(listed) == 9
    with desk.database.staff(desk.police.organisation_id, reads_as="analyst") as conn:
        rows = conn.execute("select id from analysed_reports order by id desc").fetchall()
    organisation_id = desk.police.organisation_id
    in_order = [
        desk.vault.keyed_hash("analysed report", organisation_id.bytes + row[0].bytes)[:16]
        for row in rows
    ]
    shown = [WireId.read("analysed", one["id"]).bytes for one in listed]
    assert sorted(shown) == sorted(in_order)
    assert shown != in_order
    one_by_one, path = [], f"{PATH}?limit=2"
    while path:
        answer = client.get(path, headers=signed_in["Robin"])
        one_by_one += [one["id"] for one in answer.json["items"]]
        path = answer.headers.get("Link", "").partition("<")[2].partition(">")[0]
    assert one_by_one == [one["id"] for one in listed]


def test_pages_go_on_from_hour_to_hour(desk, client, signed_in, counted, monkeypatch):
    """The newest hour first, however many each has, and each report once."""
    made = iter(
        uuid_of(EARLIER - timedelta(hours=hour, seconds=number))
        for hour in (0, 1, 3)
        for number in range(3)
    )
    monkeypatch.setattr(uuid_utils.compat, "uuid7", lambda: next(made))
    for hour in (0, 1, 3):
        for _ in range(3):
            desk.report(replace(P2, wants=STORY.wants), now=EARLIER - timedelta(hours=hour))
    monkeypatch.undo()
    for limit in (1, 2, 4, 9):
        seen, path = [], f"{PATH}?limit={limit}"
        while path:
            answer = client.get(path, headers=signed_in["Robin"])
            seen += answer.json["items"]
            path = answer.headers.get("Link", "").partition("<")[2].partition(">")[0]
        assert len({one["id"] for one in seen}) == len(seen) == 9
        said = [one["received_hour"] for one in seen]
        assert said == sorted(said, reverse=True)


def test_counting_is_audited_and_its_passenger_told_once_for_each_role(desk, client, counted):
    report = desk.report(STORY, now=EARLIER)
    counted()
    counted()
    actions = [row["action"] for row in desk.rows("select action from audit_entries")]
    assert actions == ["report.analysed"] * 2
    mine = client.get(
        "/v1/reports/mine", headers={"Authorization": f"Receipt {report.receipt}"}
    ).json
    said = [one["text"] for one in mine["timeline"] if one["code"] == "analysed"]
    words = "what kind, and roughly where and when, no words. Their role: officer."
    assert said == [f"A person at Police counted your report: {words}"]


def test_analyst_s_key_opens_no_report(desk, client, signed_in):
    report = desk.report(STORY, now=EARLIER)
    for path in (
        "/v1/alerts",
        f"/v1/alerts/{WireId.of('alert', desk.alert_of(desk.first))}",
        "/v1/incidents",
        "/v1/shared-reports",
        f"/v1/reports/{WireId.of('report', report.id)}/original",
    ):
        assert client.get(path, headers=signed_in["Robin"]).status_code == 403


@pytest.mark.parametrize("statement", PRIVATE)
def test_transaction_that_reads_as_an_analyst_finds_nothing_of_it_by_hand(desk, statement):
    desk.report(STORY, now=EARLIER)
    alert = desk.alert_of(desk.first)
    desk.acknowledge(desk.police, alert)
    assert as_analyst(desk, desk.police, statement) == []
    assert as_analyst(desk, desk.control, statement) == []
    assert len(as_analyst(desk, desk.police, "select from analysed_reports")) == 1


def test_view_has_no_column_that_is_exact_or_somebody_s_words(desk):
    columns = {
        row["column_name"]
        for row in desk.rows(
            "select column_name from information_schema.columns"
            " where table_name = 'analysed_reports'"
        )
    }
    assert columns == {
        "id",
        "received_hour",
        "categories",
        "happening",
        "mode",
        "priority",
        "position",
        "place_ref",
        "place_name",
        "place_demo",
    }


def test_view_is_shut_to_whoever_does_not_read_as_an_analyst_and_to_other_organisations(desk):
    desk.report(STORY, now=EARLIER)
    with desk.database.staff(desk.police.organisation_id) as conn:
        assert conn.execute("select from analysed_reports").fetchall() == []
    assert as_analyst(desk, desk.operator, "select from analysed_reports") == []


def test_view_s_rows_are_filtered_before_any_function_of_the_caller_sees_them(desk):
    """A condition written by hand runs only on what may be seen: the view is a barrier."""
    desk.report(STORY, now=EARLIER)
    cheap = "select from analysed_reports where 1 / (case when mode is null then 1 else 0 end) > 0"
    assert as_analyst(desk, desk.operator, cheap) == []


def test_reading_on_after_having_been_an_analyst_is_another_transaction(desk):
    desk.report(STORY, now=EARLIER)
    as_analyst(desk, desk.police, "select from analysed_reports")
    with desk.database.staff(desk.police.organisation_id) as conn:
        assert len(conn.execute("select from reports").fetchall()) == 1


def test_analyst_writes_nothing_but_the_log_and_that_they_counted(desk):
    report = desk.report(STORY, now=EARLIER)
    for kind, allowed in (("report.analysed", True), ("report.received", False)):
        statement = (
            "insert into events (kind, at, organisation_id, report_id, staff_id)"
            " values (%s, now(), %s, %s, %s)"
        )
        values = (kind, desk.police.organisation_id, report.id, desk.police.staff_id)
        with desk.database.staff(desk.police.organisation_id, reads_as="analyst") as conn:
            if allowed:
                conn.execute(statement, values)
            else:
                with pytest.raises(psycopg.errors.InsufficientPrivilege), conn.transaction():
                    conn.execute(statement, values)


def test_database_rounds_as_the_domain_does(desk):
    for point in NAMED.values():
        (row,) = desk.rows("select rounded_to_50_m(%s, %s) as it", point.lon, point.lat)
        assert row["it"] == pytest.approx([rounded(point).lon, rounded(point).lat], abs=2e-6), point
