"""The first walk at the front door, over the London pack."""

from schemas.common import WireId
from schemas.reports.example import REPORT_EXAMPLE
from tests.api.reports.sending import KEY, codes, read_back, submit


def test_the_example_report_is_routed_and_answered_in_one_go(client, london):
    answer = submit(client, REPORT_EXAMPLE)
    assert answer.status_code == 201
    body = answer.json
    assert answer.headers["Location"] == f"/v1/reports/{body['id']}"
    assert answer.headers["Cache-Control"] == "no-store"
    assert len(answer.data) <= 8192
    assert body["status"] == "routed"
    assert body["priority"]["level"] == 1
    assert body["location"]["place"]["name"] == "Camden Town"
    told = [r for r in body["routed_to"] if r["told"] == "now"]
    assert [r["role"] for r in told] == ["primary", "control_room", "hub"]
    assert all(r["demo"] for r in told)
    assert "police" not in told[0]["organisation"].lower()
    assert body["hubs"]
    assert body["hubs"] == sorted(body["hubs"], key=lambda hub: hub["distance_m"])
    assert body["jurisdiction"]["body"] == "British Transport Police"
    assert body["jurisdiction"]["contact"]["sms"] == "61016"
    assert body["safety_card"]["emergency"]


def test_a_tube_report_reaches_a_team_that_covers_camden_by_tube(client, london):
    primary = submit(client).json["routed_to"][0]
    assert primary["role"] == "primary"
    assert {"covers_area", "covers_mode", "on_shift", "nearest"} <= set(codes(primary["reasons"]))
    with london.intake() as conn:
        found = conn.execute(
            """
            select bool_or('tube' = any (c.modes) and st_covers(a.geom,
                       st_setsrid(st_makepoint(-0.1426, 51.5390), 4326)))
            from coverages c join areas a on a.id = c.area_id where c.team_id = %s
            """,
            [WireId.read("team", primary["team"]["id"])],
        ).fetchone()
    assert found == (True,)


def test_everything_written_is_encrypted_and_the_story_is_nowhere_in_the_clear(client, london):
    secrets = ["tasted salty", "grey rucksack", "447700900123", "near the stairs", "zebra-crossing"]
    body = {**REPORT_EXAMPLE, "made_up_field": "zebra-crossing"}
    assert submit(client, body, **{"Idempotency-Key": KEY}).status_code == 201
    with london.owner() as conn:
        tables = conn.execute(
            "select tablename from pg_tables where schemaname = 'public'"
            " and tablename not in ('places', 'spatial_ref_sys')"
        ).fetchall()
        for (table,) in tables:
            dump = "\n".join(
                row[0]
                for row in conn.execute(f'select t::text from "{table}" t').fetchall()  # noqa: S608 - names from the catalogue
            )
            for secret in secrets:
                assert secret not in dump, table


def test_the_receipt_brings_the_passenger_back(client, london):
    sent = submit(client).json
    back = read_back(client, sent["receipt"])
    assert back.status_code == 200
    assert back.json["id"] == sent["id"]
    assert codes(back.json["timeline"])[:2] == ["received", "told"]
    same = client.get(
        f"/v1/reports/{sent['id']}", headers={"Authorization": f"Receipt {sent['receipt']}"}
    )
    assert same.json == back.json


def test_a_receipt_opens_only_its_own_report(client, london):
    mine, other = submit(client).json, submit(client).json
    answer = client.get(
        f"/v1/reports/{other['id']}", headers={"Authorization": f"Receipt {mine['receipt']}"}
    )
    assert answer.status_code == 404


def test_wrong_missing_and_mistyped_receipts_get_the_same_404(client, london):
    receipt = submit(client).json["receipt"]
    slip = receipt[:-1] + ("0" if receipt[-1] != "0" else "1")
    answers = [
        client.get("/v1/reports/mine", headers=headers)
        for headers in (
            {"Authorization": "Receipt K7QD-0000-0000-0000-0000-0000"},
            {"Authorization": f"Receipt {slip}"},
            {"Authorization": "Receipt "},
            {"Authorization": "Basic abc"},
            {},
        )
    ]
    assert {a.status_code for a in answers} == {404}
    assert {(a.json["type"], a.json["detail"]) for a in answers} == {
        ("urn:waylight:problem:not_found", answers[0].json["detail"])
    }
    assert codes(answers[1].json["errors"]) == ["receipt_mistyped"]


def test_a_receipt_is_read_as_people_type_it(client, london):
    receipt = submit(client).json["receipt"]
    assert read_back(client, receipt.lower().replace("-", " ")).status_code == 200


def test_right_and_wrong_receipts_cost_the_same_statements(client, london, monkeypatch):
    receipt = submit(client).json["receipt"]
    counted = []
    execute = type(london._conn).execute
    cursor_execute = london._conn.cursor_factory.execute

    def counting(self, query, *args, **kwargs):
        counted.append(str(query)[:60])
        return cursor_execute(self, query, *args, **kwargs)

    monkeypatch.setattr(london._conn.cursor_factory, "execute", counting)
    assert execute
    read_back(client, receipt)
    right, counted[:] = list(counted), []
    read_back(client, "K7QD-0000-0000-0000-0000-0000")
    wrong, counted[:] = list(counted), []
    read_back(client, "nonsense")
    assert right == wrong == counted
