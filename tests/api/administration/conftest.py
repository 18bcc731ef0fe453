import pytest

from tests.desk import SCOPES as DESK
from tests.desk import headers_for
from waylight.domain import roles

ADMINISTRATOR = DESK | roles.scopes_of(["administrator"])


@pytest.fixture
def signed_in(desk):
    return headers_for(desk, ADMINISTRATOR)
