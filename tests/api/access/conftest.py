from dataclasses import replace

import pytest

from api.wire.limits import Limiter
from tests.api.access.world import World
from tests.desk import open_desk
from tests.push_service import from_base64url
from waylight.services.context import Waylight
from waylight.vault import Vault


@pytest.fixture
def world(app, client, database, settings):
    used = replace(
        settings,
        channels=("console", "webhook", "email", "web_push"),
        vapid_keys=(from_base64url(Vault.new_push_key()[0]),),
        vapid_subject="mailto:desk@waylight.example",
        allowed_loopback_ports=(9,),
    )
    vault = Vault(used)
    app.extensions["waylight"] = Waylight(used, database, vault)
    app.extensions["waylight.limiter"] = Limiter(exempt_loopback=True)
    return World(app, client, open_desk(database, vault, used))
