"""Whose job it is, and what the passenger must know now. Facts come from the city's pack.

First aid after spiking: Drinkaware and the Metropolitan Police, as the field guide (4.5) quotes
them. What to do without a signal: British Transport Police, the same guide (4.4).
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from waylight.domain.cities import City
from waylight.domain.reports import (
    CardContact,
    Jurisdiction,
    Need,
    NewReport,
    Perspective,
    Priority,
    Reason,
    Recipient,
    SafetyCard,
    ShareWith,
    Want,
)

EMERGENCY = 4
SUPPORT = 3
ADVICE = 5
"""Entries of each part of a card: a frightened person reads no more, and a 201 holds 8 KB."""

ON_RAILS = frozenset({"tube", "dlr", "overground", "elizabeth", "rail", "tram"})
WITH_DRIVER = frozenset({"bus", "taxi"})
NEEDS_TEXT = frozenset({Need.TEXT_ONLY, Need.SIGN_LANGUAGE, Need.HEARING_LOOP})
DONE_BY_NOBODY = frozenset({"environment", "other"})


def jurisdiction(
    city: City | None, *, modes: Sequence[str], area_codes: Sequence[str]
) -> Jurisdiction:
    """The first rule of the city's pack that matches; an unknown body where none does.

    A rule without modes matches any, also none; a rule with modes matches when one of them is
    among the report's. The same goes for areas.
    """
    for rule in city.jurisdiction if city else ():
        if _matches(rule.get("modes"), modes) and _matches(rule.get("areas"), area_codes):
            also = rule.get("also") or {}
            other = also.get("sms") or also.get("phone") or also.get("url")
            return Jurisdiction(
                body=rule["organisation"],
                reason=Reason(rule["code"], {"also": other} if other else {}),
                contact={
                    way: number for way, number in (rule.get("contact") or {}).items() if number
                },
            )
    return Jurisdiction(body=None, reason=Reason("jurisdiction_unknown"))


def safety_card(
    city: City | None,
    *,
    report: NewReport,
    priority: Priority,
    groups: Sequence[str],
    modes: Sequence[str],
    recipients: Sequence[Recipient],
    shared: Collection[ShareWith] = (),
    alerting: str,
) -> SafetyCard:
    """The card: at most 4 emergency contacts, 3 of support, 5 pieces of advice, and who sees it.

    `recipients` are those who are told now, `shared` those who may read it by consent; `alerting`
    is live, delayed or none. Contacts are the
    pack's, by their own conditions; one without a number is left out, and so is a service with a
    minimum age for somebody who says they are under 18.
    """
    contacts = city.contacts if city else {}
    emergency = _fitting(contacts.get("emergency"), report, groups=groups, modes=modes)
    if NEEDS_TEXT & set(report.needs):
        emergency.sort(key=lambda entry: not entry.get("sms"))
    police = _fitting(contacts.get("police"), report, groups=groups, modes=modes)
    numbers = emergency + police if report.allows_police else emergency
    support = _fitting(contacts.get("support"), report, groups=groups, modes=modes)
    if not support and Want.SUPPORT_ONLY in report.wants:
        support = _fitting(contacts.get("support"), report, groups=None, modes=modes)
    return SafetyCard(
        emergency=_contacts(numbers[:EMERGENCY]),
        support=_contacts(support[:SUPPORT]),
        advice=_advice(
            report,
            priority,
            groups=frozenset(groups),
            modes=frozenset(modes),
            alerting=alerting,
            shared=bool(shared),
            phone=next((entry["phone"] for entry in emergency if entry.get("phone")), None),
            silent_contact=any(entry["need"] == "cannot_speak" for entry in emergency),
        ),
        who_sees_this=who_sees(city, report, recipients, shared),
        verified_at=city.contacts_verified_at if city else None,
    )


def _matches(wanted: Iterable[str] | None, found: Iterable[str]) -> bool:
    return wanted is None or not set(wanted).isdisjoint(found)


def _fitting(
    entries: Sequence[Mapping[str, Any]] | None,
    report: NewReport,
    *,
    groups: Sequence[str] | None,
    modes: Sequence[str],
) -> list[Mapping[str, Any]]:
    """The entries whose conditions all hold; `groups` None leaves that condition out."""

    def fits(entry: Mapping[str, Any]) -> bool:
        conditions = entry.get("for") or {}
        under_18 = conditions.get("under_18")
        return (
            _matches(conditions.get("modes"), modes)
            and (groups is None or _matches(conditions.get("category_groups"), groups))
            and (under_18 is None or under_18 is bool(report.under_18))
            and not (report.under_18 and entry.get("min_age"))
            and bool(entry.get("phone") or entry.get("sms"))
        )

    return [entry for entry in entries or () if fits(entry)]


def _contacts(entries: Iterable[Mapping[str, Any]]) -> tuple[CardContact, ...]:
    return tuple(
        CardContact(
            need=entry["need"],
            name=entry["name"],
            phone=entry.get("phone"),
            sms=entry.get("sms"),
            how=entry.get("how"),
        )
        for entry in entries
    )


def _advice(
    report: NewReport,
    priority: Priority,
    *,
    groups: frozenset[str],
    modes: frozenset[str],
    alerting: str,
    shared: bool,
    phone: str | None,
    silent_contact: bool,
) -> tuple[Reason, ...]:
    """What to do, the most pressing first. `phone` is the city's emergency number.

    `silent_contact`: the contacts say how to call without speaking, so the advice need not.
    """
    here, call = ("", {"phone": phone}) if phone else ("_here", {})
    live = priority.urgency != "Past"
    danger = bool(report.in_danger) or priority.level == 1
    happened = not groups <= DONE_BY_NOBODY
    mine = report.perspective not in (Perspective.WITNESSED, Perspective.ON_BEHALF)
    spiked = "spiking" in groups
    rules: Sequence[tuple[bool, Reason]] = (
        (alerting == "delayed", Reason(f"alerting_delayed{here}", call)),
        (danger and alerting != "delayed", Reason(f"call_emergency{here}", call)),
        (danger and bool(phone) and not silent_contact, Reason("silent_call", call)),
        (report.tells_nobody, Reason("alerted_nobody" if shared else "told_nobody")),
        (bool(report.under_18), Reason("child_tell_adult")),
        (spiked and mine, Reason("spiking_stay")),
        (happened and live and not mine, Reason("stay_with_them")),
        # Traces are lost within hours, so these come before the general advice.
        (spiked, Reason("spiking_keep_drink")),
        (spiked, Reason("spiking_tell_early")),
        (spiked and mine and live, Reason("spiking_no_more_alcohol")),
        (live and bool(modes & ON_RAILS), Reason("tell_staff")),
        (live and bool(modes & WITH_DRIVER) and not modes & ON_RAILS, Reason("tell_driver")),
        (live and (danger or bool(report.person_nearby)), Reason("move_to_people")),
        ("contact" in groups and not spiked, Reason("keep_clothes")),
        (happened and mine, Reason("not_your_fault")),
        (True, Reason("keep_receipt")),
    )
    held = [reason for holds, reason in rules if holds]
    return tuple(held[:ADVICE])


def who_sees(
    city: City | None,
    report: NewReport,
    recipients: Sequence[Recipient],
    shared: Collection[ShareWith] = (),
) -> tuple[Reason, ...]:
    """Everybody who may read this report, in plain words, and who may not.

    `shared` are those whom the passenger lets read it and for whom there is an organisation.
    """
    consents = tuple(Reason(f"shared_{who}") for who in ShareWith if who in shared)
    if report.tells_nobody:
        return consents or (Reason("nobody"),)
    if not recipients:
        return (Reason("nobody_yet"), *consents)
    lines = [
        Reason(
            recipient.role if recipient.role in ("control_room", "hub") else "team",
            {"name": recipient.name, "organisation": recipient.organisation},
        )
        for recipient in recipients
    ]
    room = city.control_room if city else None
    if (
        room is not None
        and all(recipient.team_id != room.team_id for recipient in recipients)
        and (not report.under_18 or "safeguarding" in room.capabilities)
    ):
        lines.append(Reason("control_room_may", {"name": room.name}))
    lines += consents
    if not report.allows_police:
        lines.append(Reason("police_no"))
    if report.under_18:
        lines.append(Reason("child_limited"))
    return tuple(lines)
