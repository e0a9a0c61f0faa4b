"""HTML pages: everything is escaped, nothing is fetched, and each part arrives as it was given."""

import base64
import io
import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pytest
import soundfile
from matplotlib.figure import Figure

from paravox.evaluation.html_page import Cell, HtmlAudio, HtmlFigure, HtmlTable, Paragraph, Section, write_page

VOID = {"meta", "link", "img"}
NAUGHTY = "<script>alert(1)</script> & \"quotes\" 'too'"


class Reader(HTMLParser):
    """All tags with their attributes, the text of each tag's kind, and whether every tag is closed in order."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.texts, self.open = [], {}, []
        self.feed(html)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, text):
        if text.strip():
            self.texts.setdefault(self.open[-1], []).append(text.strip())

    def attributes(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


def write(tmp_path, *sections, title="a page"):
    write_page(tmp_path / "new" / "page.html", title, sections)
    html = (tmp_path / "new" / "page.html").read_text(encoding="utf-8")
    assert html.startswith("<!DOCTYPE html>")
    return html, Reader(html)


def small_figure():
    figure = Figure(figsize=(2, 1))
    figure.subplots().plot([0, 1], [1, 0])
    return figure


def recording():
    buffer = io.BytesIO()
    soundfile.write(buffer, np.sin(np.arange(1600) / 5), 16_000, format="FLAC")
    return buffer.getvalue()


def whole_page(tmp_path, text=NAUGHTY):
    """Every sort of part, with the same text everywhere."""
    table = HtmlTable([text, "sound"], [[text, HtmlAudio(recording(), text)], [text, Cell(text, bold=True)]], text)
    parts = [Paragraph(text), table, HtmlFigure(small_figure(), text), HtmlAudio(recording(), text)]
    return write(tmp_path, Section(text, parts), title=text)


def test_all_text_is_escaped(tmp_path):
    html, reader = whole_page(tmp_path)
    assert "script" not in {tag for tag, _ in reader.tags} and "<script" not in html
    for tag in ("title", "h1", "h2", "p", "th", "strong", "figcaption"):
        assert NAUGHTY in reader.texts[tag], tag
    assert [image["alt"] for image in reader.attributes("img")] == [NAUGHTY]
    assert [audio["aria-label"] for audio in reader.attributes("audio")] == [NAUGHTY] * 2


def test_nothing_is_fetched(tmp_path):
    html, reader = whole_page(tmp_path, "plain")
    for tag, attributes in reader.tags:
        for name in {"src", "href", "data", "action", "poster", "srcset", "background"} & set(attributes):
            assert attributes[name].startswith(("data:", "#")), (tag, attributes[name][:80])
    assert not re.search(r"https?:|//|url\(|@import", re.sub(r"base64,[^\"]+", "", html))
    policy = reader.attributes("meta")[2]["content"]
    assert policy.startswith("default-src 'none'; ") and "*" not in policy and "http" not in policy


def test_the_tags_are_those_of_a_small_page(tmp_path):
    """Widths of phones, both colour schemes, and one heading."""
    html, reader = whole_page(tmp_path, "plain")
    assert reader.attributes("meta")[1]["content"] == "width=device-width, initial-scale=1"
    assert "prefers-color-scheme: dark" in html and len(reader.attributes("h1")) == 1
    ids = [attributes["id"] for _, attributes in reader.tags if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_a_table_has_a_header_per_column_and_row(tmp_path):
    rows = [["a", "0.5", "7 (3 to 9)", ""], ["b", Cell("-0.25", bold=True), "< 8", "words"]]
    _, reader = write(tmp_path, Section("s", [HtmlTable(["", "score", "more", "text"], rows, "the caption")]))
    assert reader.texts["th"] == ["score", "more", "text"] and reader.texts["span"] == ["a", "b"]
    assert reader.texts["td"] == ["0.5", "7 (3 to 9)", "< 8", "words"] and reader.texts["strong"] == ["-0.25"]
    assert [header["scope"] for header in reader.attributes("th")] == ["col"] * 4 + ["row"] * 2
    # Numbers are aligned to the right, in the header as below it.
    assert ["class" in cell for cell in reader.attributes("td")] == [True, True, False] * 2
    assert ["class" in header for header in reader.attributes("th")] == [False, True, True, False, False, False]
    box = [attributes for attributes in reader.attributes("div") if attributes["class"] == "scrolls"]
    assert box[0]["aria-label"] == "the caption" and box[0]["tabindex"] == "0"


def test_a_row_of_another_length_is_refused():
    with pytest.raises(ValueError, match="a row of 1 cells .* does not fit 2 columns"):
        HtmlTable(["one", "two"], [["1", "2"], ["1"]])


def test_a_figure_is_an_svg_that_shrinks(tmp_path):
    html, reader = write(tmp_path, Section("s", [HtmlFigure(small_figure(), "a falling line")]))
    image = reader.attributes("img")[0]
    kind, _, content = image["src"].partition(",")
    svg = ElementTree.fromstring(base64.b64decode(content))
    assert kind == "data:image/svg+xml;base64" and svg.tag.endswith("svg") and image["alt"] == "a falling line"
    assert reader.texts["figcaption"] == ["a falling line"]
    assert re.search(r"\.chart img \{[^}]*max-width: 100%", html)


def test_a_recording_can_be_decoded(tmp_path):
    _, reader = write(tmp_path, Section("s", [HtmlAudio(recording(), "a tone", media_type="audio/x-flac")]))
    kind, _, content = reader.attributes("audio")[0]["src"].partition(",")
    wave, rate = soundfile.read(io.BytesIO(base64.b64decode(content)))
    assert kind == "data:audio/x-flac;base64" and rate == 16_000
    np.testing.assert_allclose(wave, np.sin(np.arange(1600) / 5), atol=1e-4)


def test_contents_follow_a_first_section_without_title(tmp_path):
    sections = [Section("", [Paragraph("first words")]), Section("one", []), Section("two", [])]
    html, reader = write(tmp_path, *sections)
    links = [link["href"] for link in reader.attributes("a")]
    ids = [section["id"] for section in reader.attributes("section")]
    assert reader.texts["a"] == ["one", "two"] and links == [f"#{name}" for name in ids[1:]]
    assert html.index("first words") < html.index("<nav") < html.index("<h2>one")
    assert "a" not in write(tmp_path, *sections[1:])[1].texts


def test_the_same_content_gives_the_same_bytes(tmp_path):
    assert whole_page(tmp_path / "first")[0] == whole_page(tmp_path / "second")[0]


def test_a_name_that_is_no_text_does_not_stop_the_page(tmp_path):
    assert "file?.wav" in write(tmp_path, Section("s", [Paragraph("file\udcff.wav")]))[0]
