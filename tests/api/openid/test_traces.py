"""What a sign-in leaves behind."""

import json
from datetime import UTC, datetime, timedelta

from tests.api.openid.door import refused
from tests.openid import SECRET
from waylight.services.operations import chores


def test_logs_and_rows_carry_no_code_token_secret_or_address(at, capfd):
    begun = at.begin()
    back = at.fake.visit(begun.json["url"])
    session = at.end(begun, back)
    at.fake.claims["email_verified"] = at.fake.claims["groups"] = False
    at.fake.claims["sub"] = "somebody else"
    again = at.enter()
    refused(again)
    private: tuple[str, ...] = (
        back["code"],
        back["state"],
        session.json["token"],
        begun.json["sign_in"],
        SECRET,
        "robin@police.example",
        "somebody else",
        "access",
    )
    said = json.dumps(at.logs, default=str)
    said += "".join(capfd.readouterr())
    for table in ("events", "audit_entries", "identities", "spent_sign_ins", "sessions"):
        said += json.dumps(at.desk.rows(f"select t::text from {table} t"), default=str)  # noqa: S608
    for one in private:
        assert one not in said


def test_used_up_sign_ins_are_forgotten_once_they_are_over(at):
    at.enter()
    assert len(at.desk.rows("select from spent_sign_ins")) == 1
    chores.purge(at.desk.database, now=datetime.now(UTC))
    assert len(at.desk.rows("select from spent_sign_ins")) == 1
    chores.purge(at.desk.database, now=datetime.now(UTC) + timedelta(minutes=11))
    assert not at.desk.rows("select from spent_sign_ins")
