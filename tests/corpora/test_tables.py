"""Tables as people and spreadsheets write them: what is read, and what is refused rather than lost without a word."""

import codecs
import csv
from pathlib import Path

import pytest

from paravox.corpora.tables import is_near, read_table
from paravox.modeling.errors import CorpusError

ROWS = [["file_name", "speaker", "split", "note"], ["a.wav", "s1", "train", "Löwe, groß"], ["b.wav", "", "test", "x"]]
EXPECTED = {"file_name": ["a.wav", "b.wav"], "speaker": ["s1", None], "split": ["train", "test"]}
EXPECTED |= {"note": ["Löwe, groß", "x"]}


def text_of(rows, delimiter=",", end="\n"):
    quoted = [[f'"{cell}"' if delimiter in cell else cell for cell in row] for row in rows]
    return end.join(delimiter.join(row) for row in quoted) + end


def read(content, optional=("speaker", "split")):
    Path("table.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    table = read_table(Path("table.csv"), ["file_name"], optional)
    return {name: [None if cell != cell else cell for cell in table[name].tolist()] for name in table}


@pytest.mark.parametrize(
    "content",
    [
        text_of(ROWS).encode(),
        text_of(ROWS, end="\r\n").encode(),
        text_of(ROWS, end="\r").encode(),
        codecs.BOM_UTF8 + text_of(ROWS).encode(),
        codecs.BOM_UTF8 * 2 + text_of(ROWS).encode(),
        text_of(ROWS, "\t").encode("utf-16"),
        codecs.BOM_UTF16_BE + text_of(ROWS).encode("utf-16-be"),
        text_of(ROWS).encode("utf-32"),
        text_of(ROWS, ";").encode(),
        text_of(ROWS, "|").encode(),
        b"sep=;\r\n" + text_of(ROWS, ";", "\r\n").encode(),
        b"\n\n" + text_of(ROWS).encode(),
    ],
)
def test_delimiters_encodings_and_marks_that_can_only_mean_one_thing_are_read(content):
    assert read(content) == EXPECTED


@pytest.mark.parametrize("header", ["File_Name,SPEAKER,Split,note", " file_name , speaker\u00a0,\u200bsplit,note"])
def test_headers_are_matched_whatever_their_case_blanks_and_invisible_signs(header):
    assert read("\n".join([header, *text_of(ROWS).splitlines()[1:]])) == EXPECTED


def test_blank_rows_and_trailing_commas_of_spreadsheets_lose_nothing():
    lines = text_of(ROWS).splitlines()
    assert read("\n".join([lines[0] + ",,", "", ",,,,,", lines[1] + ",", '""', lines[2] + ",,", "  ,,,"])) == EXPECTED
    # Each row ends with one comma more than the first one: the first column must not become an index.
    assert read("\n".join([lines[0], lines[1] + ",", lines[2] + ","])) == EXPECTED


def test_the_line_of_a_row_is_known_behind_blank_and_long_rows():
    Path("table.csv").write_text('file_name,note\n\na.wav,"two\nlines"\nb.wav,x\n')
    assert read_table(Path("table.csv"), ["file_name"]).index.tolist() == [3, 5]


@pytest.mark.parametrize(
    ("header", "near"),
    [
        ("file_name,Speakers,split", "'Speakers' and no column 'speaker'"),
        ("file_name,Speaker ID,split", "'Speaker ID' and no column 'speaker'"),
        ("file_name,speeker,split", "'speeker' and no column 'speaker'"),
        ("file_name,speaker,Splits", "'Splits' and no column 'split'"),
        ("file_name,speaker,s p l i t", "'s p l i t' and no column 'split'"),
    ],
)
def test_a_near_miss_of_an_optional_column_is_never_ignored(header, near):
    with pytest.raises(CorpusError, match=f"has a column {near}: rename it"):
        read(header + "\na.wav,x,train\n")


@pytest.mark.parametrize("name", ["sex", "source", "take", "session", "spoken", "path", "age", "note"])
def test_columns_that_only_look_a_little_alike_are_left_alone(name):
    assert not is_near(name, "speaker") and not is_near(name, "split")
    assert read(f"file_name,{name}\na.wav,x\n") == {"file_name": ["a.wav"], name: ["x"]}


def test_names_that_differ_in_case_alone_are_kept_apart_where_both_are_known():
    assert read("file_name,a,A\nx.wav,1,2\n", ("a", "A")) == {"file_name": ["x.wav"], "a": ["1"], "A": ["2"]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty, expected a row with the names"),
        (b"\n\n", "is empty, expected a row"),
        ("file_name,speaker\na.wav,caf\u00e9\n".encode("cp1252"), "is not in UTF-8: line 2 has bytes .*caf.*CSV UTF-8"),
        ("file_name,speaker\na.wav,s\n".encode("utf-16-le"), "holds a character NUL in line 1"),
        (b"file_name,speaker\na.wav,s\n\0\0\0", "holds a character NUL in line 3"),
        (b'file_name,speaker\n"a.wav,s\nb.wav,t\n', "cannot be read from line 2 on .a quotation mark is not closed"),
        (b'file_name,speaker\n"a"b,s\n', "cannot be read from line 2 on"),
        (b"file_name,speaker\na.wav," + b"x" * 200_000, "cannot be read from line 2 on .field larger"),
        (b"file_name,speaker,split\na.wav,s\n", "row that has not 3 cells, as the first row has: 1 .line 2 has 2"),
        (b"file_name,speaker\na.wav,s,train\n", "row that has not 2 cells, as the first row has: 1 .line 2 has 3"),
        (b"file_name,,speaker\na.wav,x,s\n", "has values in column 2, which has no name"),
        (b"file_name,speaker,Speaker\na.wav,x,s\n", "has the column speaker .also as Speaker. twice"),
        (b"file_name,note,note\na.wav,x,s\n", "has the column note twice"),
        (b"File Name,speaker\na.wav,x\n", "has no column file_name .found File Name, speaker.: rename 'File Name'"),
        (b"name\na.wav\n", "has no column file_name .found name"),
        (b"PK\x03\x04xlsx", "is a spreadsheet"),
        (b"\xd0\xcf\x11\xe0xls", "is an old spreadsheet"),
        (b"\x1f\x8b\x08", "is compressed"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "is a pointer of Git LFS.*git lfs pull"),
    ],
)
def test_a_file_that_is_no_table_or_could_mean_two_things_is_refused(content, message):
    with pytest.raises(CorpusError, match=message):
        read(content)


def test_a_table_that_cannot_be_opened_is_named(tmp_path):
    with pytest.raises(CorpusError, match=f"{tmp_path} cannot be read .Is a directory"):
        read_table(tmp_path, ["file_name"])


def test_quotes_commas_and_line_ends_inside_cells_are_those_of_the_writer():
    cells = [["file_name", "note"], ["a.wav", 'she said "no", twice'], ["b.wav", "two\nlines"], ["c.wav", " kept "]]
    with open("written.csv", "w", newline="") as file:
        csv.writer(file).writerows(cells)
    found = read(Path("written.csv").read_bytes())
    assert found == {name: [row[place] for row in cells[1:]] for place, name in enumerate(cells[0])}
