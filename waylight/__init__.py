"""Waylight: safe-travel reports routed to the people who can help."""

__version__ = "0.1.0"
