"""Figure files: the same figure gives the same bytes, whatever pyplot or an earlier figure has set."""

import itertools

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from paravox.evaluation.figure_style import COLOURS, save_figure


def small_figure():
    figure = Figure(figsize=(2.0, 1.0))
    axes = figure.subplots()
    axes.plot([0, 1, 2], [1, 0, 2], color=COLOURS[0], marker="o", clip_on=True)
    axes.set_title("a title")
    return figure


def test_two_files_of_one_figure_have_equal_bytes(tmp_path):
    first = save_figure(small_figure(), tmp_path / "first" / "figure.json")
    second = save_figure(small_figure(), tmp_path / "second" / "figure.json")
    assert [path.name for path in first] == ["figure.png", "figure.svg"]
    for one, other in zip(first, second, strict=True):
        assert one.read_bytes() == other.read_bytes() and one.stat().st_size > 1_000
    assert sorted(path.name for path in (tmp_path / "first").iterdir()) == ["figure.png", "figure.svg"]


def test_neither_the_date_nor_the_version_of_a_library_is_written(tmp_path):
    png, svg = save_figure(small_figure(), tmp_path / "figure.png")
    with Image.open(png) as image:
        assert image.size == (300, 150)
        assert not {"Software", "Creation Time"} & set(image.info)
    text = svg.read_text()
    assert matplotlib.__version__ not in text.replace("http://www.w3.org", "") and "dc:date" not in text


def test_the_settings_of_the_process_stay_as_they_are(tmp_path):
    before = matplotlib.rcParams["svg.hashsalt"]
    save_figure(small_figure(), tmp_path / "figure")
    assert matplotlib.rcParams["svg.hashsalt"] == before


def test_only_the_asked_formats_are_written(tmp_path):
    assert save_figure(small_figure(), tmp_path / "figure.png", (".png",), dpi=50) == [tmp_path / "figure.png"]
    with Image.open(tmp_path / "figure.png") as image:
        assert image.size == (100, 50)
    assert [path.name for path in tmp_path.iterdir()] == ["figure.png"]


def test_no_two_colours_are_alike():
    values = [np.array([int(colour[place : place + 2], 16) for place in (1, 3, 5)]) for colour in COLOURS]
    assert min(np.abs(one - other).sum() for one, other in itertools.combinations(values, 2)) > 60
