"""Who acts for which organisation."""

from uuid import UUID

from waylight.domain.errors import NotAllowed
from waylight.domain.principals import Principal


def organisation_of(principal: Principal) -> UUID:
    """The organisation that a staff member acts for. Raises NotAllowed for any other caller."""
    if principal.organisation_id is None or principal.staff_id is None:
        raise NotAllowed("This is for staff: use a key that names a person.")
    return principal.organisation_id
