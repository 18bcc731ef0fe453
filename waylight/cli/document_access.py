"""docs/access.md: who may call what, as the routes themselves declare it."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from waylight.domain.properties import MEANING, TABLE, Shown

WHOSE: Mapping[str, tuple[str, str]] = {
    "/v1/addresses/{": ("your organisation's", "404"),
    "/v1/alerts": ("told to your organisation; read by whoever oversees", "404; 403 to a reader"),
    "/v1/analysed-reports": ("granted to your organisation", "404"),
    "/v1/audit": ("your organisation's", "404"),
    "/v1/check-ins": ("your organisation's", "-"),
    "/v1/clients": ("your organisation's", "404"),
    "/v1/hubs/{hub_id}/addresses": ("your organisation's", "404"),
    "/v1/hubs/{": ("your organisation's", "403: which hubs there are is public"),
    "/v1/identity-providers": ("your organisation's", "404"),
    "/v1/incidents": ("told to your organisation, or overseen", "404"),
    "/v1/organisations": ("your own", "404"),
    "/v1/push": ("your own", "404"),
    "/v1/reports/{report_id}/": (
        "granted to your organisation",
        "404; 403 if only told",
    ),
    "/v1/reports/{report_id}/grants": (
        "granted to your organisation, or given by it; all by whoever oversees",
        "404; 403 for consent",
    ),
    "/v1/reports/": ("of this receipt", "404"),
    "/v1/reports/mine/support-notes": ("of this receipt", "-"),
    "/v1/shared-reports/{report_id}/support-notes": ("your support service's own", "404"),
    "/v1/reports/mine/consents": ("of this receipt", "-"),
    "/v1/sessions": ("your own", "404"),
    "/v1/shared-reports": ("shared with your organisation by its passenger", "404"),
    "/v1/staff": ("your organisation's", "404"),
    "/v1/teams": ("your organisation's; read by the control room", "404; 403 to a reader"),
    "/v1/webhooks": ("your organisation's", "404"),
}
"""By the beginning of a path, the longest first: whose things it is about, and what another gets.

`tests/api/access` calls each route for what is own, granted and another's.
"""

PEOPLE = {
    "nobody": "anybody",
    "passenger": "passenger",
    "staff": "staff",
    "client": "client",
    "provider": "provider",
}


@dataclass(frozen=True)
class Row:
    """One operation, and who may call it."""

    method: str
    path: str
    kinds: tuple[str, ...]
    scopes: tuple[str, ...]
    tickets: bool
    or_scope: str | None = None


def rows() -> Iterator[Row]:
    """Every operation of the app by path, as its `require` has it."""
    from api.openapi import documented_app

    app = documented_app()
    found = []
    for rule in app.url_map.iter_rules():
        required: Any = vars(app.view_functions[rule.endpoint])["required"]
        path = re.sub(r"<(?:[^<>]*:)?(\w+)>", r"{\1}", rule.rule)
        kinds = tuple(kind for kind in PEOPLE if kind in required.kinds)
        found += [
            Row(method, path, kinds, tuple(required.scopes), required.tickets, required.or_scope)
            for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        ]
    yield from sorted(found, key=lambda row: (row.path, row.method))


def whose(row: Row) -> tuple[str, str]:
    """Whose things an operation is about, and what is answered for another's; dashes for neither.

    Raises LookupError for an operation on something that WHOSE does not know.
    """
    if row.kinds == ("provider",) or ("nobody" in row.kinds and "passenger" not in row.kinds):
        return "-", "-"
    for beginning in sorted(WHOSE, key=len, reverse=True):
        if row.path.startswith(beginning):
            about, others = WHOSE[beginning]
            if "{" not in row.path:
                others = "left out" if row.method == "GET" else "-"
            return about, others
    if "{" in row.path:
        raise LookupError(row.path)
    return "-", "-"


def without(row: Row) -> tuple[str, str]:
    """What somebody without a key, and one with another kind or without the scope, is answered."""
    if "nobody" in row.kinds:
        return ("404", "404") if "passenger" in row.kinds else ("yes", "yes")
    return "401", "401" if row.kinds == ("provider",) else "403"


def table() -> Iterator[tuple[str, ...]]:
    """The rows of the table in docs/access.md."""
    for row in rows():
        about, others = whose(row)
        nobody, unfit = without(row)
        who = ", ".join(PEOPLE[kind] for kind in row.kinds)
        if row.tickets:
            who += ", stream ticket"
        yield (
            f"`{row.method} {row.path}`",
            who,
            " or ".join(
                part
                for part in (
                    ", ".join(f"`{s}`" for s in row.scopes),
                    row.or_scope and f"`{row.or_scope}`",
                )
                if part
            )
            or "-",
            nobody,
            unfit,
            about,
            others,
        )


SAID: Mapping[Shown, str] = {Shown.EXACT: "yes", Shown.ROUNDED: "rounded", Shown.LEFT_OUT: "-"}


def properties() -> Iterator[tuple[str, ...]]:
    """The rows of the table of properties in docs/access.md."""
    for what, row in TABLE.items():
        yield (MEANING[what], *(SAID[shown] for shown in row.values()))
