"""The demo's credentials: one person for each role that the documents show, kept in one file."""

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from waylight.db import keys as db
from waylight.db.session import Database
from waylight.domain.errors import NotFound
from waylight.services import keys
from waylight.vault import Vault

OFFICER = ("alerts:read", "alerts:act", "reports:read", "teams:duty", "teams:manage")


@dataclass(frozen=True)
class Demo:
    """One credential. `organisation` is a key of the city's pack; None is one that runs hubs."""

    name: str
    organisation: str | None
    person: str
    role: str
    scopes: Sequence[str]


DEMOS = (
    Demo(
        name="control_room",
        organisation="control-room",
        person="Casey Demo",
        role="controller",
        scopes=(
            *OFFICER,
            "exercise",
            "incidents:manage",
            "reports:redact",
            "reports:original",
            "webhooks:manage",
            "audit:read",
            "clients:manage",
            "organisation:manage",
        ),
    ),
    Demo(
        name="british_transport_police",
        organisation="british-transport-police",
        person="Robin Demo",
        role="officer",
        scopes=(*OFFICER, "incidents:manage"),
    ),
    Demo(
        name="metropolitan_police",
        organisation="metropolitan-police",
        person="Sam Demo",
        role="officer",
        scopes=OFFICER,
    ),
    Demo(name="tfl", organisation="tfl", person="Ali Demo", role="officer", scopes=OFFICER),
    Demo(
        name="analyst",
        organisation="control-room",
        person="Alex Demo",
        role="analyst",
        scopes=("reports:analyse",),
    ),
    Demo(
        name="support",
        organisation="harbour",
        person="Noor Demo",
        role="support_worker",
        scopes=("reports:read", "support:work"),
    ),
    Demo(
        name="hub",
        organisation=None,
        person="Jo Demo",
        role="hub_host",
        scopes=("alerts:read", "alerts:act", "hubs:manage", "teams:manage"),
    ),
)


@dataclass(frozen=True)
class DemoReport:
    """What became of each credential, by name; `missing` have no organisation in this city."""

    made: tuple[str, ...]
    kept: tuple[str, ...]
    missing: tuple[str, ...]


def write_demo_keys(
    database: Database, vault: Vault, path: Path, *, base_url: str, city: str | None, now: datetime
) -> DemoReport:
    """Makes the demo's credentials in a city (the first loaded, by default) and writes the file.

    A token in the file that still works for the same person and scopes stays; the others are made
    anew, and what the same person held before ends. The file is for its owner's eyes only. Raises
    NotFound when no city is loaded.
    """
    slug, organisations = _organisations(database, city)
    before = _read(path)
    written: dict[str, Any] = {}
    outcome: dict[str, list[str]] = {"made": [], "kept": [], "missing": []}
    for demo in DEMOS:
        entry = before.get(demo.name, {})
        organisation = organisations.get(demo.name)
        if organisation is None:
            outcome["missing"].append(demo.name)
            continue
        token = entry.get("token")
        if _still_works(database, vault, token, demo, organisation, now=now):
            outcome["kept"].append(demo.name)
        else:
            issued = keys.create_staff_key(
                database,
                vault,
                organisation=organisation.key,
                person=demo.person,
                role=demo.role,
                scopes=demo.scopes,
                city=slug,
                demo=True,
                now=now,
            )
            keys.revoke_others(database, vault, issued.id, now=now)
            token = issued.token
            outcome["made"].append(demo.name)
        written[demo.name] = {
            "token": token,
            "organisation": organisation.name,
            "role": demo.role,
            "person": demo.person,
            "scopes": list(demo.scopes),
        }
    _write(path, {"base_url": base_url, "keys": written})
    return DemoReport(**{name: tuple(names) for name, names in outcome.items()})


@dataclass(frozen=True)
class _Organisation:
    id: UUID
    key: str
    name: str


def _organisations(database: Database, city: str | None) -> tuple[str, Mapping[str, _Organisation]]:
    """The city, and which organisation each demo works for there, as far as there is one."""
    with database.intake() as conn:
        slug = db.first_city(conn, city)
        if slug is None:
            raise NotFound(
                f"No city {city!r} is loaded: correct WAYLIGHT_DEFAULT_CITY, or load its pack."
                if city
                else "No city is loaded: load one with `waylight load data/london`."
            )
        known = {
            row["key"]: _Organisation(id=row["id"], key=row["key"], name=row["name"])
            for row in db.organisations(conn, city=slug)
        }
        keys_by_name = {demo.name: demo.organisation or db.hub_host(conn, slug) for demo in DEMOS}
    return slug, {name: known[key] for name, key in keys_by_name.items() if key in known}


def _still_works(
    database: Database,
    vault: Vault,
    token: object,
    demo: Demo,
    organisation: _Organisation,
    *,
    now: datetime,
) -> bool:
    if not isinstance(token, str):
        return False
    caller = keys.authenticate(database, vault, token, now=now)
    return caller is not None and (
        caller.organisation_id,
        caller.name,
        caller.role,
        caller.scopes,
    ) == (organisation.id, demo.person, demo.role, frozenset(demo.scopes))


def _read(path: Path) -> Mapping[str, Any]:
    """The credentials of an earlier run; none when the file is not there or is not ours."""
    with suppress(OSError, ValueError, AttributeError):
        found = json.loads(path.read_text()).get("keys", {})
        return {name: entry for name, entry in found.items() if isinstance(entry, dict)}
    return {}


def _write(path: Path, content: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".unfinished")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(json.dumps(content, indent=2) + "\n")
    unfinished.replace(path)
