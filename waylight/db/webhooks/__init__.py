"""Webhooks: their rows, their queue, and what an answer changes."""
