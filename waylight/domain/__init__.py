"""RULES: pure functions and frozen dataclasses. No framework, settings, clock or network."""
