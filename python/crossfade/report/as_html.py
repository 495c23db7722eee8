"""The report as one HTML file, which needs nothing else."""

from __future__ import annotations

from pathlib import Path

from crossfade.assess.assessment import Assessment
from crossfade.errors import LibraryMissing

from .contents import page
from .page import Bars, Differences, Lines

TEMPLATES = Path(__file__).with_name("templates")
# By name, in pixels: of two drawings of a chart the page shows the one that it has room for.
WIDTHS = {"wide": 1030, "narrow": 340}


def require_libraries() -> None:
    """Raises LibraryMissing where `html` could not write, before an assessment is paid for."""
    try:
        import jinja2  # noqa: F401
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise LibraryMissing(
            f"an HTML report needs jinja2 and matplotlib, of which one can't be imported ({error}); "
            "say pip install 'crossfade[report]', or write Markdown, which needs neither"
        ) from error


def html(assessment: Assessment) -> str:
    """One HTML file with everything that an assessment found: it loads nothing, runs nothing, and can be sent around.

    The same assessment gives the same file. It holds the collection's name, and texts of queries and documents.

    Args:
        assessment: What `Collection.assess` found.

    Raises:
        LibraryMissing: jinja2 or matplotlib is not installed; the extra `crossfade[report]` brings both.

    Example:
        >>> Path("report.html").write_text(html(docs.assess(new)), encoding="utf-8")  # doctest: +SKIP
    """
    require_libraries()
    import jinja2
    import markupsafe

    from .charts import chart

    told = page(assessment)
    asked = [
        block for section in told.sections for block in section.blocks if isinstance(block, (Bars, Differences, Lines))
    ]
    charts = {
        block: [
            (name, markupsafe.Markup(chart(block, f"chart-{number}-{name}", pixels))) for name, pixels in WIDTHS.items()
        ]
        for number, block in enumerate(asked, start=1)
    }
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style = markupsafe.Markup((TEMPLATES / "style.css").read_text(encoding="utf-8"))
    return environment.get_template("page.html").render(page=told, charts=charts, style=style).strip() + "\n"
