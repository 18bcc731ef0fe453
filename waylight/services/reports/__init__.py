"""Taking reports, and showing a passenger what became of one."""

from waylight.services.reports.mine import my_report
from waylight.services.reports.submit import submit_reports

__all__ = ["my_report", "submit_reports"]
