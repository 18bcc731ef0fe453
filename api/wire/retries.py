"""The key of a request that may be sent again (draft-ietf-httpapi-idempotency-key-header)."""

from flask import request

OF_A_NOTE = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "A text of your own making, quoted or bare. Sent again with the same key by the"
    " same person: one note, the same answer.",
    "schema": {"type": "string"},
}


def idempotency_key() -> str | None:
    """The key without the quotes of a structured-field string; None when there is none."""
    return request.headers.get("Idempotency-Key", "").strip().strip('"')[:255] or None
