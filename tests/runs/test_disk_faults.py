"""A disk that is full or read-only is told from a defect of the program, whoever raised the error."""

import errno
import re
import sqlite3

import pytest

from paravox.runs.disk_faults import fault_of_disk
from paravox.runs.program import run


def raised(function):
    with pytest.raises(Exception) as caught:
        function()
    return caught.value


def write_to_full_disk():
    with open("/dev/full", "w") as file:
        file.write("x" * 10_000)


def fill_a_database():
    connection = sqlite3.connect("study.sqlite")
    connection.execute("CREATE TABLE rows (value TEXT)")
    connection.execute("PRAGMA max_page_count = 3")
    connection.execute("INSERT INTO rows VALUES (?)", ["x" * 100_000])


def raise_from(error):
    try:
        raise error
    except OSError as cause:
        raise RuntimeError("PytorchStreamWriter failed writing file data/0") from cause


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (write_to_full_disk, "no disk space is left.*free some space"),
        (fill_a_database, "no disk space is left"),
        (lambda: raise_from(OSError(errno.ENOSPC, "No space left on device", "out/x.pt")), "out/x.pt.*no disk space"),
        (lambda: open(".", "w"), "it is a folder"),
    ],
    ids=["a full device", "SQLite", "what it was raised from", "a folder"],
)
def test_real_errors_of_a_disk(function, message):
    fault = fault_of_disk(raised(function))
    assert fault is not None and re.search(message, str(fault))


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (errno.ENOSPC, "no disk space is left): free some space"),
        (errno.EDQUOT, "no disk space is left): free some space"),
        (errno.EROFS, "the disk can only be read): choose another place"),
        (errno.EACCES, "permission is denied"),
        (errno.EIO, "the disk has an error"),
    ],
)
def test_a_program_ends_with_one_sentence(number, message, capsys):
    def main(argv):
        raise OSError(number, "whatever the system says", "results.json")

    with pytest.raises(SystemExit) as ended:
        run(main, [])
    text = str(ended.value.code)
    assert text.startswith("ConfigError: results.json cannot be used (") and message in text and "\n" not in text


@pytest.mark.parametrize(
    "error", [FileNotFoundError(errno.ENOENT, "No such file", "x"), KeyError("x"), RuntimeError("x")]
)
def test_a_defect_stays_what_it_is(error):
    def main(argv):
        raise error

    assert fault_of_disk(error) is None
    with pytest.raises(type(error)):
        run(main, [])
