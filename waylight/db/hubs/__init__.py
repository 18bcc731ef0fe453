"""The statements of hubs: reading them, and what their staff change."""

from waylight.db.hubs.reading import find, in_order, nearest

__all__ = ["find", "in_order", "nearest"]
