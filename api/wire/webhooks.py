"""What is sent to partners without being asked for, as the document describes it."""

from typing import Any

WEBHOOKS: dict[str, Any] = {
    "event": {
        "post": {
            "operationId": "webhooks_event",
            "summary": "Something happened that your organisation may know of.",
            "description": "The same event, with the same `id`, as in the stream.",
            "tags": ["alerts"],
            "security": [],
            "requestBody": {
                "required": True,
                "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Event"}}},
            },
            "responses": {"204": {"description": "Taken."}},
        }
    }
}
"""OpenAPI 3.1, `webhooks`: the requests that we send."""
