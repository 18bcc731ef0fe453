"""Taking reports, and showing a passenger what became of one, and whom they let read it."""

from waylight.services.reports.consents import give_consent, my_consents, withdraw_consent
from waylight.services.reports.mine import my_report
from waylight.services.reports.submit import submit_reports

__all__ = [
    "give_consent",
    "my_consents",
    "my_report",
    "submit_reports",
    "withdraw_consent",
]
