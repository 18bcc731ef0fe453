"""Incidents: what staff read of them, and what is written when they are moved about."""
