"""Organisations from the terminal of whoever runs the service: as the owner of all tables.

There is no call for it: whoever could make an organisation over the API, and say that it is no
police, could have itself told of what passengers keep from the police.
"""

import re
from datetime import datetime
from uuid import UUID

from waylight.db import events
from waylight.db import organisations as db
from waylight.db.session import Database
from waylight.domain.errors import InvalidRequest, NotFound, StateConflict
from waylight.services import audit, naming
from waylight.services.cities import read_cities
from waylight.vault import Vault

KEY = re.compile(r"[a-z][a-z0-9-]{1,59}")


def create(
    database: Database,
    vault: Vault,
    *,
    key: str,
    name: str,
    kind: str,
    city: str | None,
    phone: str | None,
    now: datetime,
) -> UUID:
    """A new organisation in a city, the only one or the one with this slug; no pack takes it back.

    Raises NotFound without such a city, InvalidRequest for a key or a name that is none or looks
    like another's of the city, StateConflict where the city has an organisation with this key.
    """
    if KEY.fullmatch(key) is None:
        raise InvalidRequest("A key has small letters, digits and hyphens, such as night-riders.")
    name = naming.read_name(name, "/name")
    with database.owner() as conn:
        cities = read_cities(conn)
        found = [one for one in cities if city in (None, one.slug)]
        if len(found) != 1:
            known = ", ".join(one.slug for one in cities) or "none is loaded"
            raise NotFound(f"Say in which city with --city: {known}.")
        naming.check_not_taken(name, db.names_in(conn, found[0].id))
        contact = {"sms": None, "phone": phone, "url": None}
        made = db.create(conn, city_id=found[0].id, key=key, name=name, kind=kind, contact=contact)
        if made is None:
            raise StateConflict(f"{found[0].name} has an organisation {key!r}.")
        audit.write(
            conn,
            vault,
            "organisation.created",
            principal=None,
            subject_id=made,
            organisation_id=made,
            now=now,
        )
        events.write(
            conn,
            events.Event("organisation.created", now, city_id=found[0].id, organisation_id=made),
        )
        return made
