import pytest

from tests.desk import NOW, SCOPES
from tests.services.push.devices import PRIVATE, with_keys
from waylight.services import keys


@pytest.fixture
def pushing(desk):
    """A desk that pushes and writes to the console."""
    return with_keys(desk, PRIVATE)


@pytest.fixture
def sign_in(desk):
    """A person with a new key, as a request of theirs comes."""

    def sign_in(person, *, expires_at=None):
        token = desk.vault.new_token("staff")
        desk.do(
            "insert into api_keys (kind, name, token_hash, staff_id, organisation_id, scopes,"
            " expires_at) values ('staff', %s, %s, %s, %s, %s, %s)",
            person.name,
            desk.vault.hash_token(token),
            person.staff_id,
            person.organisation_id,
            sorted(SCOPES),
            expires_at,
        )
        found = keys.authenticate(desk.database, desk.vault, token, now=NOW)
        assert found is not None
        return found

    return sign_in


@pytest.fixture
def robin(desk, sign_in):
    return sign_in(desk.police)
