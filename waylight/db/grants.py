"""Grants: which organisation may see which report, and why."""

VIEWS = "array_agg(distinct case g.level when 'full' then g.cause else g.level end)"
"""The views (`domain/properties`) of the live grants `g`: the cause of each, but `heads_up`."""
