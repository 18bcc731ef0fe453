"""The words of a report, for anybody who builds a form."""

from typing import Any

from api.wire.auth import require
from api.wire.blueprint import Blueprint, public
from schemas.categories import Categories, vocabulary
from waylight.domain.principals import Kind

blueprint = Blueprint("categories", __name__, description="What may be reported.")


@blueprint.route("/v1/categories")
@require(Kind.NOBODY)
@public(max_age_s=3600, localised=True)
@blueprint.response(200, Categories)
def all_categories() -> dict[str, Any]:
    """Every category, group and need, named in the caller's language."""
    return vocabulary()
