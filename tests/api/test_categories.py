import re

import pytest

from waylight import texts
from waylight.domain.categories import CATEGORIES, GROUPS, SEVERITIES
from waylight.domain.hubs import FEATURE_OF_NEED
from waylight.domain.reports import Need

BINDING = """
harassment: staring_leering Minor, catcalling Minor, sexual_comment_gesture Moderate,
 intrusive_questioning Moderate, threat_intimidation Severe, sex_based_abuse Moderate,
 hate_abuse Moderate
pursuit: being_followed Severe, stalking_pattern Severe, blocking_cornering Severe,
 predatory_watching Moderate, predatory_vehicle Severe
image_exposure: photographing_filming Moderate, upskirting Severe, cyberflashing Moderate,
 showing_pornography Moderate, exposure Severe, masturbation Severe
contact: pressing_rubbing Severe, unwanted_touching Severe, sexual_assault Extreme, rape Extreme
spiking: spiking_drink Extreme, spiking_food Extreme, spiking_needle Extreme,
 spiking_vape Extreme, spiking_unknown Extreme
safeguarding: child_at_risk Severe
near_miss: near_miss Minor, felt_unsafe_person Minor, bystander_intervened Minor
environment: felt_unsafe_place Minor, poor_lighting Minor, isolated_layout Minor,
 no_staff_present Minor, help_point_or_cctv_broken Minor
other: other Moderate
"""
"""The table 4.1b of the field guide, written a second time."""


def test_the_table_is_the_binding_one():
    written = {}
    for group, rows in re.findall(r"^(\w+): ((?:.|\n )+)", BINDING, re.MULTILINE):
        for row in rows.split(","):
            code, severity = row.split()
            written[code] = (group, severity)
    assert {c.code: (c.group, c.severity) for c in CATEGORIES.values()} == written


def test_only_the_environment_may_ever_be_listed():
    assert {c.group for c in CATEGORIES.values() if c.listed} == {"environment"}
    assert all(c.listed for c in CATEGORIES.values() if c.group == "environment")


def test_severities_rise():
    assert SEVERITIES.index("Minor") < SEVERITIES.index("Moderate")
    assert SEVERITIES.index("Moderate") < SEVERITIES.index("Severe")
    assert SEVERITIES.index("Severe") < SEVERITIES.index("Extreme")


def test_every_need_has_a_feature_of_a_hub():
    assert set(FEATURE_OF_NEED) == {str(need) for need in Need}


def test_the_whole_table_is_served_in_its_order(client):
    found = client.get("/v1/categories").json
    assert [item["code"] for item in found["items"]] == list(CATEGORIES)
    assert [group["code"] for group in found["groups"]] == list(GROUPS)
    assert [need["code"] for need in found["needs"]] == [str(need) for need in Need]
    assert found["language"] == "en"


@pytest.mark.parametrize("language", texts.languages())
def test_every_word_has_a_name_in_every_language(client, language):
    found = client.get("/v1/categories", headers={"Accept-Language": language})
    assert found.headers["Content-Language"] == language
    assert "Accept-Language" in found.headers["Vary"]
    for word in [*found.json["items"], *found.json["groups"], *found.json["needs"]]:
        assert word["name"]
        assert word["name"] != word["code"]
    english = client.get("/v1/categories").json
    if language != "en":
        assert found.json["items"][0]["name"] != english["items"][0]["name"]


def test_codes_never_change_with_the_language(client):
    spanish = client.get("/v1/categories", headers={"Accept-Language": "es-MX, en;q=0.5"}).json
    english = client.get("/v1/categories").json
    for key in ("items", "groups", "needs"):
        assert [w["code"] for w in spanish[key]] == [w["code"] for w in english[key]]


def test_one_language_is_never_served_for_another_from_a_cache(client):
    english = client.get("/v1/categories")
    etag = english.headers["ETag"]
    spanish = client.get("/v1/categories", headers={"Accept-Language": "es", "If-None-Match": etag})
    assert spanish.status_code == 200
    assert spanish.headers["ETag"] != etag
    assert client.get("/v1/categories", headers={"If-None-Match": etag}).status_code == 304
    assert client.get("/v1/categories", headers={"If-None-Match": "*"}).status_code == 304


def test_head_says_the_same_without_the_body(client):
    got, head = client.get("/v1/categories"), client.head("/v1/categories")
    assert head.data == b""
    assert head.headers["ETag"] == got.headers["ETag"]
    assert head.headers["Content-Length"] == got.headers["Content-Length"]
