"""The live stream: its tickets, and what one process tells its clients."""

from waylight.services.stream.feed import Feed, Follower, Line
from waylight.services.stream.tickets import (
    IssuedTicket,
    Redeemed,
    issue_ticket,
    redeem_ticket,
    see_team,
)

__all__ = [
    "Feed",
    "Follower",
    "IssuedTicket",
    "Line",
    "Redeemed",
    "issue_ticket",
    "redeem_ticket",
    "see_team",
]
