"""The report: one self-contained page about a scan, from one record."""

from loopsphere.report.data import DuplicateGroup, LoopColumns, LoopDetail, ReportData
from loopsphere.report.page import page_html, write_page

__all__ = ["DuplicateGroup", "LoopColumns", "LoopDetail", "ReportData", "page_html", "write_page"]
