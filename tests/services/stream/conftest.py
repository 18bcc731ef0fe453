import pytest

from tests.desk import Desk, open_desk
from waylight.config import Settings
from waylight.db.session import Database
from waylight.vault import Vault


@pytest.fixture
def desk(database: Database, vault: Vault, settings: Settings) -> Desk:
    return open_desk(database, vault, settings)
