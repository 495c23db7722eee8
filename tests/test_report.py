"""The report of an assessment: what it says, what users' texts can't do to it, and how it looks in a browser."""

from __future__ import annotations

import html.parser
import re
import subprocess
import sys
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt
from PIL import Image
from playwright.sync_api import Browser

import crossfade as cf
from browser import Looked, browsing, looking
from crossfade import report
from crossfade.assess import Assessment
from crossfade.assess.durations import duration
from crossfade.cli.corpus import entries
from crossfade.report import as_html, figures
from crossfade.report.contents import page
from crossfade.report.page import PROVISIONAL
from crossfade.report.texts import excerpt, sentence
from library import NEW, OLD, text_of

DOCUMENTS, SAMPLE, LONGEST = 450, 400, 300
ATTACK = "</title></style><script>alert(1)</script><img src=https://example.com/x onerror=alert(2)> $\\frac$ | *b* `c`"
HOSTILE = f"{ATTACK} \u202eturned \x00\x07 漢字仮名交じり文 שלום ﷽ {'x' * 300}"


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory, l3: cf.Encoder, l6: cf.Encoder) -> Assessment:
    """Real models on documentation of the standard library, by its first sentences."""
    known = [entry for entry in entries() if entry.unambiguous]
    chosen = known[:: len(known) // DOCUMENTS][:DOCUMENTS]
    with cf.Collection.create(tmp_path_factory.mktemp("report") / "library.cf", l3) as docs:
        half = [one.id < "m" for one in chosen]
        docs.upsert(
            [
                cf.Document(one.id, one.text[:LONGEST], meta={"early": early})
                for one, early in zip(chosen, half, strict=True)
            ]
        )
        asked = {one.id: one.question for one in chosen[:SAMPLE:4]}
        for _ in range(2):  # asked again, so that the orders can be told apart
            docs.search(list(asked.values())[:20])
        docs.queries()  # writes down what was noted
        return docs.assess(
            l6, queries=asked, qrels={one: {one: 1.0} for one in asked}, sample=SAMPLE, window_seconds=0.0
        )


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Assessment:
    """Texts, titles, ids, metadata, queries and model names that try to be more than texts."""
    old, new = (_renamed(encoder, f"{name} {HOSTILE}") for encoder, name in ((OLD, "old"), (NEW, "new")))
    with cf.Collection.create(tmp_path_factory.mktemp("report") / f"{ATTACK.replace('/', '')[:60]}.cf", old) as docs:
        docs.upsert(
            [
                cf.Document(
                    f"d{n} {ATTACK}", f"{text_of(n)} {HOSTILE}", title=ATTACK, meta={"kind": f"{n % 2} {HOSTILE}"}
                )
                for n in range(299)
            ]
        )
        docs.upsert([cf.Document("large", "word " * 200_000)])
        asked = {f"q{n}": f"{' '.join(text_of(n).split()[6:])} {HOSTILE}" for n in range(0, 280, 7)}
        return docs.assess(new, queries=asked, qrels={q: {f"d{q[1:]} {ATTACK}": 1.0} for q in asked}, sample=SAMPLE)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Assessment:
    """Queries made from documents."""
    with cf.Collection.create(tmp_path_factory.mktemp("report") / "kb.cf", OLD) as docs:
        docs.upsert([cf.Document(f"d{n}", text_of(n), title=" ".join(text_of(n).split()[:5])) for n in range(300)])
        return docs.assess(NEW, sample=SAMPLE)


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Assessment:
    """The same vectors under another name: no query is asked."""
    with cf.Collection.create(tmp_path_factory.mktemp("report") / "kb.cf", OLD) as docs:
        docs.upsert([cf.Document(f"d{n}", text_of(n)) for n in range(5)])
        return docs.assess(_renamed(OLD, "gateway/plain"))


def _renamed(encoder: cf.Encoder, name: str) -> cf.Encoder:
    return cf.Encoder.wrap(encoder.encode, cf.Space(model=name, dim=encoder.space.dim, version="1"))


class Outline(html.parser.HTMLParser):
    """The elements of a page, their attributes, and ids."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def test_it_says_what_was_found(library: Assessment) -> None:
    """Verdict, price, quality, slices, curve, neighbourhoods and the queries that change, in both kinds of file."""
    quality = library.quality
    assert quality is not None
    first = quality.measures[0]
    for written in (unescape(report.html(library)), report.markdown(library).replace("\\", "")):
        assert (
            written.index(sentence(library.verdict.rule))
            < written.index("Price")
            < written.index("Queries that change most")
        )
        for value in (figures.score(first.old), figures.score(first.new), figures.signed(first.comparison.low)):
            assert value in written
        for heading in ("Quality", "Slices", "While documents are re-embedded", "Neighbourhood shift", "Vocabulary"):
            assert heading in written
        for line in (*library.verdict.reasons, *library.verdict.would_change, *library.verdict.code):
            assert line.replace(library.path, "library.cf") in written
        assert library.path not in written
        assert PROVISIONAL not in written


def test_the_queries_stand_side_by_side(library: Assessment) -> None:
    """At most ten that gain and ten that lose, each with both lists, the relevant documents marked."""
    quality = library.quality
    assert quality is not None
    (block,) = next(section for section in page(library).sections if section.name == "queries").blocks
    assert [len(block.better), len(block.worse)] == [len(quality.better), len(quality.worse)]  # type: ignore[union-attr]
    written = report.html(library)
    assert written.count("<details") == len(quality.better) + len(quality.worse) > 5
    relevant = sum(
        listed.grade == 1.0 for one in (*quality.better, *quality.worse) for listed in (*one.old_list, *one.new_list)
    )
    assert written.count('class="relevant"') == relevant


def test_charts_are_told_to_those_who_do_not_see_them(library: Assessment) -> None:
    """Each has a title and a description that no other element's id hides, and a table beside it."""
    outline = Outline(report.html(library))
    drawn = [svg for svg in outline.of("svg") if svg.get("role") == "img"]
    ids = [attributes["id"] for _, attributes in outline.elements if "id" in attributes]
    assert len(drawn) == 2 * len(outline.of("figure")) == 8
    assert len(ids) == len(set(ids))
    for svg in drawn:
        assert set((svg["aria-labelledby"] or "").split()) <= set(ids)
    for section in page(library).sections:
        kinds = [block.kind for block in section.blocks]
        assert "chart" not in kinds or "table" in kinds


def test_curves_go_from_the_old_model_to_the_new_one(library: Assessment) -> None:
    """What is drawn is what the assessment expects of the metric, the verdict's order first."""
    (section,) = [section for section in page(library).sections if section.name == "curve"]
    lines = section.blocks[0].lines  # type: ignore[union-attr]
    assert lines[0].label == library.verdict.order
    assert {line.label for line in lines} == library.curves.keys() > {"random"}
    for line in lines:
        assert line.values == pytest.approx([point.quality for point in library.curves[line.label]])
        assert all(low <= value <= high for value, (low, high) in zip(line.values, line.bounds, strict=True))


def test_the_same_assessment_gives_the_same_file(library: Assessment) -> None:
    """Twice the same bytes."""
    assert report.html(library) == report.html(library)
    assert report.markdown(library) == report.markdown(library)


def test_made_queries_are_provisional_wherever_they_count(made: Assessment) -> None:
    """Banner, tile, every section and chart that rests on them; the price does not."""
    told = page(made)
    assert told.badge == PROVISIONAL
    marked = {section.name for section in told.sections if section.badge}
    assert marked == {"why", "quality", "slices", "curve", "queries"}
    assert [tile.label.split("@")[0] for tile in told.tiles if tile.badge] == ["nDCG"]
    written = report.html(made)
    assert written.count(f">{PROVISIONAL}<") == 1 + len(marked)
    assert written.count(">provisional<") == 1 + 3
    assert report.markdown(made).count(f"**{PROVISIONAL}**") == 1 + len(marked)


def test_without_queries_the_rest_is_told(bare: Assessment) -> None:
    """No quality, no slices, no queries, no way there; what could not be found out is a dash."""
    assert bare.quality is None
    told = page(bare)
    assert told.word == "Nothing to do"
    assert {"how", "quality", "slices", "curve", "queries"}.isdisjoint(section.name for section in told.sections)
    assert figures.UNKNOWN in report.html(bare)
    assert "## Price" in report.markdown(bare)


def test_users_texts_are_nothing_but_texts(hostile: Assessment) -> None:
    """No element, address or style of theirs is in the HTML, whatever they contain; long ones are cut."""
    written = report.html(hostile)
    outline = Outline(written)
    assert outline.of("script") == outline.of("img") == outline.of("iframe") == []
    assert {key for _, attributes in outline.elements for key in attributes if key.startswith("on")} == set()
    assert [link["href"] for link in outline.of("link")] == ["data:,"]
    assert all((a["href"] or "").startswith("#") for a in outline.of("a"))
    assert len(outline.of("style")) == len(outline.of("title")) - written.count('role="img"') == 1
    assert "漢字" in written
    assert not re.search("[\x00-\x08\u202a-\u202e]", written)
    assert len(written) < 1_500_000
    written.encode()


def test_users_texts_are_nothing_but_texts_in_markdown(hostile: Assessment) -> None:
    """Read by a parser that takes HTML, tables and strikethrough, they make no element, link or further column."""
    parser = MarkdownIt("commonmark", {"html": True, "linkify": False}).enable(["table", "strikethrough"])
    tokens = parser.parse(report.markdown(hostile))
    inline = [child for token in tokens for child in token.children or ()]
    kinds = {token.type for token in (*tokens, *inline)}
    assert kinds.isdisjoint({"html_block", "html_inline", "image", "link_open", "em_open", "code_inline", "s_open"})
    assert any("<script>alert(1)" in token.content for token in inline if token.type == "text")
    rows, columns = [], 0
    for token in tokens:
        columns += token.type in ("th_open", "td_open")
        if token.type == "tr_close":
            rows.append(columns)
            columns = 0
        if token.type == "table_close":
            assert len(set(rows)) == 1
            rows = []


@pytest.mark.parametrize(
    ("text", "most", "expected"),
    [
        ("a\tb\n\nc", 10, "a b c"),
        ("x" * 1_000_000, 5, "xxxx…"),
        (" " * 1_000_000 + "x", 5, "…"),
        ("\ud800a\udc00", 5, "\ufffda\ufffd"),
        ("\ud83d\ude00", 5, "😀"),
        ("a\x00b\u202ec", 5, "a\ufffdbc"),
        (3.5, 5, "3.5"),
    ],
)
def test_excerpts(text: object, most: int, expected: str) -> None:
    """One line, valid Unicode, at most so long."""
    assert excerpt(text, most) == expected


def test_figures() -> None:
    """Numbers as people read them: a unit once, two digits that count, a true minus."""
    assert figures.interval((60.0, 90.0), duration) == "60 to 90 seconds"
    assert figures.interval((60.0, 9_000.0), duration) == "60 seconds to 2.5 hours"
    assert figures.interval((-0.01, 0.02), figures.signed) == "−0.010 to +0.020"
    assert figures.interval(None, figures.score) == "–"
    assert [duration(value) for value in (0.0, 0.004, 59.0, 3_600.0, 86_400.0 * 12)] == [
        "0 seconds",
        "< 0.1 seconds",
        "59 seconds",
        "60 minutes",
        "12 days",
    ]
    assert [figures.size(value) for value in (0, 999, 1_000, 999_999, 5.2e12)] == [
        "0 bytes",
        "999 bytes",
        "1 kB",
        "1 MB",
        "5.2 TB",
    ]
    assert [figures.share(value) for value in (0.0, 0.0001, 0.123, 1.0)] == ["0%", "0%", "12.3%", "100%"]
    assert [figures.money("USD")(value) for value in (0.0, 0.0012, 1234.5)] == ["0 USD", "0.0012 USD", "1,234.50 USD"]
    assert figures.money("")(3.0) == "3.00"


def test_a_missing_library_is_named(tmp_path: Path) -> None:
    """Without matplotlib the room can be entered, and HTML says what to install."""
    code = (
        "import sys; sys.modules['matplotlib'] = None\n"
        "from crossfade import errors, report\n"
        "try: report.html(None)\n"
        "except errors.LibraryMissing as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert "matplotlib" in done.stdout, done.stderr
    assert "pip install 'crossfade[report]'" in done.stdout


VARIABLES = re.compile(r"--([\w-]+): (#[0-9a-f]{6});")
READ_ON = [(ink, ground) for ink in ("ink", "muted", "new", "good", "bad") for ground in ("card", "paper")]
SEEN_ON = [(f"line-{number}", "card") for number in range(1, 7)] + [("old", "card"), ("new", "card")]


def test_colours_can_be_told_apart() -> None:
    """Contrast of texts is 4.5 at least and that of lines and bars 3, in light and dark (WCAG 2)."""
    style = (as_html.TEMPLATES / "style.css").read_text()
    light, dark = (dict(VARIABLES.findall(part)) for part in style.split("@media (prefers-color-scheme: dark)")[:2])
    assert light.keys() == dark.keys()
    for colours in (light, dark):
        for ink, ground in [*READ_ON, ("on-warn", "warn"), ("ink", "code")]:
            assert _contrast(colours[ink], colours[ground]) >= 4.5, (ink, ground)
        for ink, ground in SEEN_ON:
            assert _contrast(colours[ink], colours[ground]) >= 3.0, (ink, ground)


def _contrast(one: str, other: str) -> float:
    darker, lighter = sorted(map(_luminance, (one, other)))
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with browsing() as running:
        yield running


@pytest.mark.parametrize(
    ("which", "width"),
    [("library", 390), ("library", 1280), ("hostile", 390), ("hostile", 1280), ("made", 390), ("bare", 1280)],
)
def test_it_looks_right_in_a_browser(
    which: str, width: int, browser: Browser, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """In light and dark: nothing blank, nothing said on the console, nothing fetched, no scrolling to the right."""
    path = tmp_path / "report.html"
    path.write_text(report.html(request.getfixturevalue(which)), encoding="utf-8")
    grounds = []
    for scheme in ("light", "dark"):
        with looking(browser, path, width, scheme) as looked:
            image = looked.image(tmp_path / f"{width}-{scheme}.png")
            assert looked.said == []
            assert looked.asked == [path.as_uri()]
            assert looked.values("document.documentElement.scrollWidth") == width == image.width
            assert _too_wide(looked) == []
            assert _unreadable(looked) == []
            assert _shown_charts(looked, width) == _charts(request.getfixturevalue(which))
            assert len(image.resize((100, 400)).getcolors(40_000) or ()) > 100
            grounds.append(_ground(image))
    assert sum(grounds[0]) > 600 > 150 > sum(grounds[1])


def _too_wide(looked: Looked) -> Any:
    """Elements that reach beyond the window, but for those within what is scrolled by itself."""
    return looked.values(
        """[...document.querySelectorAll("body *")].filter(
            element => !element.closest(".numbers, pre, svg") && element.checkVisibility()
                && element.getBoundingClientRect().right > innerWidth + 0.5
        ).map(element => element.outerHTML.slice(0, 200))"""
    )


def _unreadable(looked: Looked) -> Any:
    """Texts of charts that lie on one another, or reach out of theirs."""
    return looked.values(
        """[...document.querySelectorAll("figure svg")].filter(svg => svg.checkVisibility()).flatMap(svg => {
            const frame = svg.getBoundingClientRect();
            const texts = [...svg.querySelectorAll("text")].map(
                text => [text.textContent, text.getBoundingClientRect()]);
            const outside = texts.filter(([, box]) => box.left < frame.left - 1 || box.right > frame.right + 1);
            const pairs = texts.flatMap(([one, a], place) => texts.slice(place + 1).filter(([, b]) =>
                Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1
                && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 4).map(([other]) => one + " on " + other));
            return outside.map(([text]) => text + " outside").concat(pairs);
        })"""
    )


def _shown_charts(looked: Looked, width: int) -> Any:
    """How many drawings are on the page, all of them with letters of 9 pixels at least."""
    return looked.values(
        """[...document.querySelectorAll("figure svg")].filter(svg => svg.checkVisibility()
            && svg.getBoundingClientRect().width / svg.viewBox.baseVal.width * 12 >= 9).length"""
    )


def _charts(assessment: Assessment) -> int:
    return sum(block.kind == "chart" for section in page(assessment).sections for block in section.blocks)


def _ground(image: Image.Image) -> Any:
    return image.getpixel((2, image.height - 2))
