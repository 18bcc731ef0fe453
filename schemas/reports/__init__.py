"""Reports on the wire: what comes in, understood kindly, and what goes out, in words."""

from schemas.reports.incoming import ReportIn
from schemas.reports.outgoing import MyReportOut, ReportReceiptOut

__all__ = ["MyReportOut", "ReportIn", "ReportReceiptOut"]
