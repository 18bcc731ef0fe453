"""Telephone numbers as people type them and as networks want them (library `phonenumbers`)."""

import re

import phonenumbers
from phonenumbers import NumberParseException, PhoneNumber, PhoneNumberFormat, PhoneNumberType

REACHED_BY_TEXT = (PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE_OR_MOBILE)

_DRAMA = re.compile(r"\+447700900\d{3}")
"""Numbers that Ofcom keeps for drama: nobody has one, so they are safe to try things out with."""


def normal_number(text: str, country: str, *, trying_out: bool = False) -> str | None:
    """A number that can get text messages, in E.164; None for any other text.

    `country` is that of numbers without a country code. With `trying_out` a number that is kept for
    drama will do.
    """
    number = _parsed(text, country)
    if number is None:
        return None
    found = phonenumbers.format_number(number, PhoneNumberFormat.E164)
    if trying_out and _DRAMA.fullmatch(found):
        return found
    usable = (
        phonenumbers.is_valid_number(number)
        and phonenumbers.number_type(number) in REACHED_BY_TEXT
        and not number.extension
    )
    return found if usable else None


def possible_numbers(text: str, countries: tuple[str, ...]) -> tuple[str, ...]:
    """What a provider may mean by the number of a sender, in E.164.

    Some write it without the plus, some as it is dialled at home.
    """
    digits = text.strip()
    written = (digits,) if digits.startswith("+") else (f"+{digits}", digits)
    found = (_parsed(one, country) for one in written for country in (countries or ("GB",)))
    return tuple(
        dict.fromkeys(
            phonenumbers.format_number(number, PhoneNumberFormat.E164)
            for number in found
            if number is not None and phonenumbers.is_possible_number(number)
        )
    )


def _parsed(text: str, country: str) -> PhoneNumber | None:
    if len(text) > 40:
        return None
    try:
        return phonenumbers.parse(text, country)
    except NumberParseException:
        return None
