"""What a person sets up for themselves: the second factor, recovery codes, the password."""

from typing import Any

from flask.typing import ResponseReturnValue

from api.wire.auth import asking, principal, require
from api.wire.blueprint import Blueprint
from api.wire.context import now, waylight
from api.wire.versions import conflicting
from schemas.sessions import CodeIn, PasswordIn, RecoveryCodesOut, TotpOut
from waylight.domain.principals import Kind
from waylight.services import accounts
from waylight.services.accounts.factors import BegunTotp

blueprint = Blueprint("account", __name__, description="Your own account.")


@blueprint.route("/v1/account/totp", methods=["POST"])
@require(Kind.STAFF, fresh=True)
@blueprint.response(201, TotpOut, example=TotpOut.example)
def begin_totp() -> BegunTotp:
    """Begin to set up a second factor: its secret is in this answer and nowhere else.

    What is set up goes on until this one is confirmed.
    """
    context = waylight()
    return accounts.begin_totp(context.database, context.vault, principal(), now=now())


@blueprint.route("/v1/account/totp/confirm", methods=["POST"])
@require(Kind.STAFF)
@conflicting
@blueprint.arguments(CodeIn, example=CodeIn.example)
@blueprint.response(200, RecoveryCodesOut, example=RecoveryCodesOut.example)
def confirm_totp(body: dict[str, Any]) -> ResponseReturnValue:
    """Set it up with a code that it shows now. Your other sessions end."""
    codes = accounts.confirm_totp(**asking(), code=body["code"])
    return {"recovery_codes": codes}


@blueprint.route("/v1/account/totp", methods=["DELETE"])
@require(Kind.STAFF, fresh=True)
@conflicting
@blueprint.response(204)
def remove_totp() -> None:
    """Take your second factor away, where neither a role nor the organisation demands one."""
    accounts.remove_totp(**asking())


@blueprint.route("/v1/account/recovery-codes", methods=["POST"])
@require(Kind.STAFF, fresh=True)
@conflicting
@blueprint.response(201, RecoveryCodesOut, example=RecoveryCodesOut.example)
def new_recovery_codes() -> ResponseReturnValue:
    """Ten new recovery codes; those before are good no more."""
    codes = accounts.new_recovery_codes(**asking())
    return {"recovery_codes": codes}


@blueprint.route("/v1/account/password", methods=["PUT"])
@require(Kind.STAFF, fresh=True)
@blueprint.arguments(PasswordIn, example=PasswordIn.example)
@blueprint.response(204)
def set_password(body: dict[str, Any]) -> None:
    """Another password. Your other sessions end."""
    accounts.set_password(**asking(), password=body["password"])
