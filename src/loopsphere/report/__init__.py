"""The report: one self-contained page about a scan, from one record."""

from loopsphere.report.data import LoopColumns, LoopDetail, LoopGroup, ReportData
from loopsphere.report.page import page_html, write_page

__all__ = ["LoopColumns", "LoopDetail", "LoopGroup", "ReportData", "page_html", "write_page"]
