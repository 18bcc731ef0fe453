"""Redacting: readers see what was left, the original lies under its own permission, unchanged."""

from dataclasses import replace

import pytest

from tests.desk import P2
from tests.services.incidents.conftest import LATER, MINUTE
from waylight.domain.errors import InvalidRequest, NotFound, StateConflict
from waylight.domain.redactions import HIDDEN, redacted
from waylight.domain.reports import Want
from waylight.services.operations import rotation
from waylight.services.reports import redactions
from waylight.vault import Vault, VaultError

STORY = replace(
    P2,
    narrative="Anna Smith got on at Euston.",
    description_of_person="Grey coat.",
    rejected={"/story": "Anna Smith again"},
    wants=(Want.HELP, Want.POLICE, Want.HUB),
)


@pytest.fixture
def report(desk):
    return desk.report(STORY)


@pytest.fixture
def redact(desk, report):
    def redact(who, field="narrative", *, reason="A bystander's name.", **others):
        return redactions.redact(
            desk.database,
            desk.vault,
            principal=who,
            report_id=report.id,
            field=field,
            reason=reason,
            now=others.pop("now", LATER),
            **others,
        )

    return redact


def original(desk, who, report):
    return redactions.read_original(
        desk.database, desk.vault, principal=who, report_id=report.id, now=LATER
    )


def shown(desk, who):
    (report,) = desk.read(who, desk.alert_of(desk.first)).reports
    return report.story


def test_readers_get_what_was_left_and_that_something_is_hidden(desk, report, redact):
    before = desk.rows("select * from report_secrets")
    assert shown(desk, desk.police).redacted == ()
    made = redact(desk.control, ranges=[(0, 10)])
    assert (made.report_id, made.field) == (report.id, "narrative")
    story = shown(desk, desk.police)
    assert story.narrative == HIDDEN * 10 + " got on at Euston."
    assert story.description_of_person == "Grey coat."
    assert story.redacted == ("narrative",)
    # What was not understood may repeat what was hidden.
    assert story.not_understood == {}
    assert desk.rows("select * from report_secrets") == before


def test_original_is_read_by_its_own_way_and_audited_as_such(desk, report, redact):
    redact(desk.control, replacement="A person got on at Euston.")
    assert shown(desk, desk.police).narrative == "A person got on at Euston."
    story = original(desk, desk.control, report)
    assert story.narrative == STORY.narrative
    assert story.not_understood == {"/story": "Anna Smith again"}
    entries = desk.rows("select action, report_id from audit_entries order by id")
    assert {"action": "report.redacted", "report_id": report.id} in entries
    assert entries[-1] == {"action": "report.original_read", "report_id": report.id}


def test_second_redaction_goes_on_from_the_first_and_places_stay_the_same(desk, redact):
    desk.acknowledge(desk.police, desk.alert_of(desk.first))
    redact(desk.control, ranges=[(0, 4)])
    redact(desk.police, ranges=[(5, 10)], now=LATER + MINUTE)
    assert shown(desk, desk.police).narrative == "████ █████ got on at Euston."
    with pytest.raises(StateConflict, match="already"):
        redact(desk.police, ranges=[(0, 4)], now=LATER + 2 * MINUTE)


def test_redaction_is_sealed_with_its_report_and_erased_with_it(desk, report, redact, vault):
    redact(desk.control, replacement="Zmark instead", reason="Zmark because")
    (row,) = desk.rows("select * from report_redactions")
    assert b"Zmark" not in row["redacted"] + row["reason"]
    assert "Zmark" not in str(desk.events())
    desk.do("update report_secrets set wrapped_key = null")
    story = shown(desk, desk.police)
    assert (story.readable, story.narrative) == (False, None)
    with pytest.raises(StateConflict, match="erased"):
        redact(desk.control, ranges=[(0, 1)])


def test_redaction_opens_in_no_other_place(desk, report, redact):
    redact(desk.control, replacement="One.")
    redact(desk.control, "description_of_person", replacement="Two.")
    (secret,) = desk.rows("select * from report_secrets")
    one, two = desk.rows("select * from report_redactions order by id")
    with pytest.raises(VaultError):
        desk.vault.open(
            report.id,
            secret["key_version"],
            secret["wrapped_key"],
            f"redaction {two['id']}",
            one["redacted"],
        )


def test_redactions_and_notes_survive_a_change_of_keys(desk, room, report, redact, settings):
    old = Vault(replace(settings, vault_key_version=1))
    desk = replace(desk, vault=old)
    second = desk.report(replace(STORY, narrative="Old words."))
    redactions.redact(
        desk.database,
        old,
        principal=desk.control,
        report_id=second.id,
        field="narrative",
        replacement="Old █████.",
        reason="r",
        now=LATER,
    )
    incident = room.of(second)
    replace(room, desk=desk).note(desk.police, incident, "An old note.")
    new = Vault(settings)
    assert rotation.rewrap(desk.database, new, progress=print).failed == ()
    without = Vault(replace(settings, vault_keys={2: settings.vault_keys[2]}))
    later = replace(desk, vault=without)
    (found,) = [
        one.story
        for one in replace(room, desk=later).read(desk.police, incident).reports
        if one.id == second.id
    ]
    assert found.narrative == "Old █████."
    notes = [e.note for e in replace(room, desk=later).timeline(desk.police, incident) if e.note]
    assert notes == ["An old note."]
    states = {(s.purpose, s.version): s.needed_by for s in rotation.states(desk.database, new)}
    assert states["vault", 1] == 0


def test_passenger_is_told_and_keeps_their_words(desk, room, report, redact):
    redact(desk.control, ranges=[(0, 10)])
    assert [entry.code for entry in room.told(report).timeline][-2:] == ["redacted", "read"]


def test_nobody_redacts_or_reads_what_they_were_not_granted_whole(desk, report, redact):
    assert desk.alert_of(desk.hub)
    for stranger in (desk.operator, desk.hub_host):
        with pytest.raises(NotFound):
            redact(stranger, replacement="Nothing.")
        with pytest.raises(NotFound):
            original(desk, stranger, report)
    assert desk.rows("select from report_redactions") == []
    assert desk.rows("select from audit_entries") == []


@pytest.mark.parametrize("ranges", [[(0, 99)], [(5, 5)], [(9, 4)], [(0, 1), (28, 29)]])
def test_range_outside_the_text_is_refused_and_named(desk, redact, ranges):
    with pytest.raises(InvalidRequest) as caught:
        redact(desk.control, ranges=ranges)
    assert caught.value.problems[0].pointer == f"/ranges/{len(ranges) - 1}"
    assert desk.rows("select from report_redactions") == []


def test_field_in_which_nothing_was_written_has_nothing_to_hide(desk, redact):
    with pytest.raises(InvalidRequest, match="cannot be used"):
        redact(desk.control, "location_description", replacement="x")


def test_hidden_characters_are_counted_as_people_count_them():
    assert redacted("né 😀 Anna", [(5, 9)]) == "né 😀 ████"
    assert redacted("Anna", [(0, 2), (1, 4)]) == "████"
