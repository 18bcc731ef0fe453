"""What the root of the service says of it."""

from marshmallow import Schema, fields


class RootOut(Schema):
    """This service and where to begin."""

    name = fields.String(required=True)
    version = fields.String(required=True)
    links = fields.Dict(
        keys=fields.String(),
        values=fields.String(),
        required=True,
        metadata={"description": "What may be opened, by name. Paths on this server."},
    )

    example = {
        "name": "Waylight",
        "version": "0.1.0",
        "links": {"documentation": "/docs", "specification": "/openapi.json", "hubs": "/v1/hubs"},
    }
