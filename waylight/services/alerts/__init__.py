"""Alerts: what staff read, the steps they take, the ladder that climbs, and the deliveries."""

from waylight.services.alerts.arrivals import log_arrival
from waylight.services.alerts.deliveries import (
    claim,
    confirm,
    give_back,
    orphaned_channels,
    record,
    record_all,
)
from waylight.services.alerts.inbox import list_alerts, read_alert
from waylight.services.alerts.ladder import climb, route_waiting
from waylight.services.alerts.off_duty import pass_over_off_duty
from waylight.services.alerts.replies import answer_by_text
from waylight.services.alerts.steps import acknowledge, close, decline, en_route, on_scene

__all__ = [
    "acknowledge",
    "answer_by_text",
    "claim",
    "climb",
    "close",
    "confirm",
    "decline",
    "en_route",
    "give_back",
    "list_alerts",
    "log_arrival",
    "on_scene",
    "orphaned_channels",
    "pass_over_off_duty",
    "read_alert",
    "record",
    "record_all",
    "route_waiting",
]
