"""VERBS: one transaction each. No HTTP, no marshmallow; frozen dataclasses in and out."""
