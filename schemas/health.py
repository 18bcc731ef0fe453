"""What a load balancer or an orchestrator is told."""

from marshmallow import Schema, fields


class Health(Schema):
    """The process answers."""

    status = fields.String(required=True, metadata={"enum": ["ok"]})

    example = {"status": "ok"}


class Readiness(Schema):
    """The process can do its work: database, schema and a worker are there."""

    status = fields.String(required=True, metadata={"enum": ["ready"]})

    example = {"status": "ready"}
