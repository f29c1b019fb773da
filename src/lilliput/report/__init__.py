"""A family as people look at it: one offline HTML file, and the same as CSV and JSON."""

from lilliput.report.comparison import comparison_page
from lilliput.report.files import as_dict, variant_dict
from lilliput.report.headline import headline
from lilliput.report.page import report

__all__ = ["as_dict", "comparison_page", "headline", "report", "variant_dict"]
