"""Webhooks: what their owners change, and how events get to them."""

from waylight.services.webhooks.managing import (
    create_webhook,
    delete_webhook,
    edit_webhook,
    enable_webhook,
    list_deliveries,
    list_webhooks,
    ping_webhook,
    read_webhook,
    replay_delivery,
    rotate_secret,
)
from waylight.services.webhooks.queue import tell_webhooks

__all__ = [
    "create_webhook",
    "delete_webhook",
    "edit_webhook",
    "enable_webhook",
    "list_deliveries",
    "list_webhooks",
    "ping_webhook",
    "read_webhook",
    "replay_delivery",
    "rotate_secret",
    "tell_webhooks",
]
