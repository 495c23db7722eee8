"""Report: an assessment to be read and sent around, as Markdown and as one HTML file."""

from .as_html import html, require_libraries
from .as_markdown import markdown

__all__ = ["html", "markdown", "require_libraries"]
