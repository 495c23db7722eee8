"""Drawing: a figure of matplotlib as an SVG that takes its colours, letters and names from the page it stands in."""

from __future__ import annotations

import io
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from contextlib import contextmanager

import matplotlib
import matplotlib.style
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .texts import width

# A unit of the drawing is a point of matplotlib, and a pixel where the page has room for all of it.
DOTS = 72
LETTER = 12.0
COLUMN = 0.62 * LETTER  # of a letter, on average, in a wide typeface

# By role, a colour that stands for a variable of the page's style sheet.
ROLES = (
    "ink",
    "muted",
    "grid",
    "old",
    "new",
    "good",
    "bad",
    "line-1",
    "line-2",
    "line-3",
    "line-4",
    "line-5",
    "line-6",
)
COLORS = {role: f"#0000{number:02x}" for number, role in enumerate(ROLES, start=1)}
_VARIABLES = {color: f"var(--{role})" for role, color in COLORS.items()}

_STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "crossfade",
    "font.size": LETTER,
    "axes.unicode_minus": True,
    "axes.edgecolor": COLORS["grid"],
    "axes.labelcolor": COLORS["muted"],
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "xtick.color": COLORS["grid"],
    "ytick.color": COLORS["grid"],
    "xtick.labelcolor": COLORS["muted"],
    "ytick.labelcolor": COLORS["ink"],
    "text.color": COLORS["ink"],
    "grid.color": COLORS["grid"],
    "grid.linewidth": 0.8,
    "hatch.linewidth": 1.0,
    "legend.frameon": False,
    "legend.borderpad": 0.0,
    "legend.borderaxespad": 0.0,
}
_SVG, _XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
_NOT_WRITTEN = dict.fromkeys(("Date", "Creator", "Format", "Type"))
_REFERENCE = re.compile(r"url\(#([^)]*)\)")


class Drawing:
    """One chart of a page.

    Texts are given to `say`, which returns what stands for them while matplotlib draws: it would take dollar signs for
    formulas, and has no glyphs for most of the world's letters, while the page has.

    Args:
        pixels: Its width.
    """

    def __init__(self, pixels: int) -> None:
        self.pixels = pixels
        self._said: list[str] = []

    def say(self, text: str) -> str:
        """A stand-in of the same width."""
        self._said.append(text)
        return f"@{len(self._said) - 1}".ljust(width(text), "n")

    @contextmanager
    def axes(self, height: float, left: float, top: float, bottom: float, right: float = 12.0) -> Iterator[Axes]:
        """Axes of a new figure, with margins in pixels."""
        with matplotlib.style.context(["default", _STYLE]):
            self._figure = Figure(figsize=(self.pixels / DOTS, height / DOTS), dpi=DOTS)
            sides = (left / self.pixels, bottom / height, (self.pixels - left - right) / self.pixels)
            yield self._figure.add_axes((*sides, (height - top - bottom) / height))
            self._figure.patch.set_visible(False)
            self._figure.axes[0].patch.set_visible(False)
            buffer = io.BytesIO()
            self._figure.savefig(buffer, format="svg", metadata=_NOT_WRITTEN)
        self._drawn = buffer.getvalue()

    def svg(self, name: str, title: str, summary: str) -> str:
        """The element, with ids that begin with a name."""
        root = ElementTree.fromstring(self._drawn)
        for parent in list(root.iter()):
            for child in list(parent):
                if child.tag in (f"{{{_SVG}}}metadata", f"{{{_SVG}}}style"):
                    parent.remove(child)
        for element in root.iter():
            self._adopt(element, name)
        for attribute in ("width", "height", "version"):
            root.attrib.pop(attribute, None)
        root.set("role", "img")
        root.set("aria-labelledby", f"{name}-title {name}-summary")
        for tag, identifier, text in (("desc", "summary", summary), ("title", "title", title)):
            described = ElementTree.Element(f"{{{_SVG}}}{tag}", {"id": f"{name}-{identifier}"})
            described.text = text
            root.insert(0, described)
        ElementTree.register_namespace("", _SVG)
        ElementTree.register_namespace("xlink", _XLINK)
        return ElementTree.tostring(root, encoding="unicode")

    def _adopt(self, element: ElementTree.Element, name: str) -> None:
        """Gives an element the page's colours, its text, and ids that no other chart has."""
        for attribute, content in element.attrib.items():
            for color, variable in _VARIABLES.items():
                content = content.replace(color, variable)
            content = _REFERENCE.sub(rf"url(#{name}-\1)", content)
            if attribute == "id":
                content = f"{name}-{content}"
            elif attribute == f"{{{_XLINK}}}href":
                content = f"#{name}-{content[1:]}"
            element.set(attribute, content)
        if element.tag == f"{{{_SVG}}}text" and element.text and element.text.startswith("@"):
            element.text = self._said[int(element.text[1:].rstrip("n"))]
