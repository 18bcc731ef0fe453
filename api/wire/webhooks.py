"""What is sent to partners without being asked for, as the document describes it."""

from typing import Any

HEADERS: dict[str, str] = {
    "webhook-id": "The event's `id`: the same in every attempt and replay. Whoever has seen it"
    " ignores it.",
    "webhook-timestamp": "When this attempt was made, in seconds since 1970 (UTC). Refuse one that"
    " is more than five minutes away.",
    "webhook-signature": "`v1,` and the base64 of HMAC-SHA256 over `{id}.{timestamp}.{body}`, one"
    " for each secret that is alive, with spaces between (Standard Webhooks 1.0).",
}

WEBHOOKS: dict[str, Any] = {
    "event": {
        "post": {
            "operationId": "webhooks_event",
            "summary": "Something happened that your organisation may know of.",
            "description": "The same event, with the same `id`, as in the stream; besides those"
            " `webhook.ping`, for you to try it. Answer within fifteen seconds, and do the work"
            " afterwards. Order is not promised, and an event may come twice.",
            "tags": ["webhooks"],
            "security": [],
            "parameters": [
                {
                    "name": name,
                    "in": "header",
                    "required": True,
                    "description": description,
                    "schema": {"type": "string"},
                }
                for name, description in HEADERS.items()
            ],
            "requestBody": {
                "required": True,
                "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Event"}}},
            },
            "responses": {
                "204": {"description": "Taken; any 2xx will do, and nothing in it is read."},
                "410": {"description": "No more, ever: the webhook is disabled."},
                "429": {"description": "Later: `Retry-After` is honoured, up to a day; 503 too."},
                "default": {
                    "description": "Tried again for some three days, also after a redirect, which"
                    " is not followed."
                },
            },
        }
    }
}
"""OpenAPI 3.1, `webhooks`: the requests that we send."""
