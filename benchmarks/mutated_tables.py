"""Reads tables that were damaged or rewritten at random, by every reader, and counts what becomes of them.

    python benchmarks/mutated_tables.py --count 10000 --seed 0

Each table is changed in one to three places: as people and spreadsheets change it (other delimiters, encodings, quotes,
blanks, empty rows, another case) or as disks and networks do (bytes that are missing, doubled or different).

A table is `right` if it is read as an independent parser understands it, or if a warning says what was left out, and
`our error` if it is refused with an error of paravox. All other outcomes are faults. Times are those of the processor,
so that other programs do not count.
"""

import contextlib
import gzip
import io
import logging
import random
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import soundfile
from mutants import MOST_BYTES, MOST_SECONDS, peak_bytes, run_in_processes, run_program

from paravox.corpora.exvo import EMOTIONS
from paravox.corpora.registry import emotion_tasks, load_corpus
from paravox.evaluation.predictions_file import read_predictions, write_predictions
from paravox.modeling.errors import ParavoxError
from paravox.modeling.tasks import Task, parse_tasks
from paravox.study.grid import Trial
from paravox.study.results_file import ResultsFile
from paravox.trainers.multi_task_dataset import MultiTaskDataset

OUTCOMES = ("right", "our error", "foreign error", "crash", "silent loss", "over 2 s", "over 64 MB")
CHUNK = 250  # tables per process, which may die
TASKS = parse_tasks(
    [
        {"name": "emotion", "kind": "intensities", "labels": ["Awe", "Fear"]},
        {"name": "age", "kind": "scalar", "range": [7, 81]},
        {"name": "origin", "kind": "classes", "labels": ["Dutch", "English"]},
    ]
)


@dataclass
class Reader:
    """One way to read a table.

    Args:
        table (`Path`): what is damaged.
        read (`Callable`): reads it, and returns the corpus or something else.
        content (`bytes`): of the sound table.
        key (`str`, *optional*): the column that names the recording, where an independent parser can check the clips.
        share (`int`, *optional*): how often it is drawn, relative to the others; reading Parquet takes long.
    """

    table: Path
    read: Callable[[], Any]
    content: bytes = b""
    key: str | None = None
    share: int = 10


def labelled(corpus: Any, tasks: list[Task]) -> Any:
    """The same corpus, after its labels were read as a trainer reads them."""
    for clips in corpus.values():
        MultiTaskDataset(clips, tasks)
    return corpus


def write_clips(folder: Path, names: list[str]) -> None:
    for number, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(folder / name, np.random.default_rng(number).normal(scale=0.1, size=160), 16_000)


def make_readers(root: Path) -> dict[str, Reader]:
    """Writes a little corpus for every reader, and what else is a table."""
    readers = {
        "metadata_csv": _metadata_csv(root / "metadata_csv"),
        "exvo": _exvo(root / "exvo"),
        "msp_podcast": _msp_podcast(root / "msp_podcast"),
        "iemocap": _iemocap(root / "iemocap"),
        "msp_improv": _msp_improv(root / "msp_improv"),
        "dataset": _dataset(root / "dataset"),
        "predictions": _predictions(root / "predictions"),
        "results": _results(root / "results"),
    }
    for reader in readers.values():
        reader.content = reader.table.read_bytes()
    return readers


def _metadata_csv(root: Path) -> Reader:
    names = [f"a/{number}.wav" for number in range(8)]
    write_clips(root, names)
    lines = ["file_name,speaker,split,Awe,Fear,age,origin,note"]
    for number, name in enumerate(names):
        split = ("train", "train", "train", "train", "dev", "dev", "test", "test")[number]
        origin = ("Dutch", "English")[number % 2]
        lines.append(f"{name},s{number},{split},0.{number},1,{20 + number},{origin},Löwe {number}")
    (root / "metadata.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return Reader(
        root / "metadata.csv", lambda: labelled(load_corpus("metadata_csv", root, TASKS), TASKS), key="file_name"
    )


def _exvo(root: Path) -> Reader:
    write_clips(root, [f"wav/{number:05}.wav" for number in range(6)])
    lines = [",".join(["File_ID", "Split", "Subject_ID", "Country", "Country_string", "Age", *EMOTIONS])]
    for number in range(6):
        split = ("Train", "Train", "Val", "Val", "Test", "Test")[number]
        labels = [str(number % 4), "China", str(20 + number), *["0.5"] * 10] if split != "Test" else [""] * 13
        lines.append(",".join([f"[{number:05}]", split, f"Speaker_{number}" if split != "Test" else "", *labels]))
    (root / "data_info.csv").write_text("\n".join(lines) + "\n")
    return Reader(root / "data_info.csv", lambda: load_corpus("exvo", root), key="File_ID")


def _msp_podcast(root: Path) -> Reader:
    names = [f"MSP-PODCAST_{number:04}_{number:04}.wav" for number in range(6)]
    write_clips(root, [f"Audios/{name}" for name in names])
    lines = ["FileName,EmoClass,EmoAct,SpkrID,Gender,Split_Set"]
    for number, name in enumerate(names):
        split = ("Train", "Train", "Development", "Development", "Test1", "Test1")[number]
        lines.append(f"{name},{'AHSNUF'[number]},4.5,{number},Female,{split}")
    table = root / "Labels" / "labels_consensus.csv"
    table.parent.mkdir(parents=True)
    table.write_text("\n".join(lines) + "\n")
    tasks = emotion_tasks("msp_podcast")
    return Reader(table, lambda: labelled(load_corpus("msp_podcast", root, tasks), tasks), key="FileName")


def _iemocap(root: Path) -> Reader:
    lines = ["% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]", ""]
    names = [f"Ses{session:02}F_impro01_{sex}00{turn}" for session in (1, 2, 3) for sex in "FM" for turn in (0, 1)]
    for number, name in enumerate(names):
        lines.append(f"[1.0 - 2.0]\t{name}\t{('ang', 'hap', 'sad', 'neu')[number % 4]}\t[2.5, 2.5, 2.5]")
        lines.append("C-E2:\tNeutral;\t(très calme)")
    write_clips(root, [f"Session1/sentences/wav/x/{name}.wav" for name in names])
    table = root / "Session1/dialog/EmoEvaluation/Ses01F_impro01.txt"
    table.parent.mkdir(parents=True)
    table.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return Reader(table, lambda: load_corpus("iemocap", root, emotion_tasks("iemocap")))


def _msp_improv(root: Path) -> Reader:
    names = [f"S01A-{sex}0{session}-P-FM0{turn}" for session in (1, 2, 3) for sex in "FM" for turn in (1, 2)]
    write_clips(root, [f"session1/MSP-IMPROV-{name}.wav" for name in names])
    lines = []
    for name in names:
        lines += [f"UTD-IMPROV-{name}.avi; A; A:2.8; V:2; D:3; N:1", "W1; Anger; Angry; A:3; V:2; D:3; N:1", ""]
    (root / "Evaluation.txt").write_text("\n".join(lines))
    tasks = emotion_tasks("msp_improv")
    return Reader(root / "Evaluation.txt", lambda: load_corpus("msp_improv", root, tasks, labelling="consensus"))


def _dataset(root: Path) -> Reader:
    root.mkdir(parents=True)
    rows = {"audio": [{"bytes": bytes([number]) * 50, "path": f"{number}.wav"} for number in range(4)]}
    rows |= {"origin": ["Dutch", "English"] * 2, "age": [30.0] * 4, "Awe": [0.5] * 4, "Fear": [0.5] * 4}
    datasets.Dataset.from_dict(rows).to_parquet(root / "train.parquet")
    return Reader(
        root / "train.parquet", lambda: labelled(load_corpus("dataset", root / "train.parquet", TASKS), TASKS), share=1
    )


def _predictions(root: Path) -> Reader:
    values = {"age": np.arange(5.0), "origin": np.eye(2)[[0, 1, 0, 1, 1]]}
    labels = {"age": np.arange(5.0), "origin": np.array([0, 1, 0, 1, 1])}
    write_predictions(root / "val.npz", values, labels, list("abcde"), [f"{number}.wav" for number in range(5)])
    return Reader(root / "val.npz", lambda: read_predictions(root / "val.npz"), share=5)


def _results(root: Path) -> Reader:
    source = ResultsFile(root / "source.sqlite", {"seed": 0})
    trials = [Trial("none", "0001", emotion, k, 0) for emotion in ("angry", "happy") for k in (2, 4)]
    scores = {"status": "finished", "macro_f1": 0.5, "accuracy": 0.5, "predictions": "0011"}
    source.add([trial._asdict() | scores for trial in trials])
    source.export_trials(root / "trials.csv.gz")

    def read() -> int:
        (root / "read.sqlite").unlink(missing_ok=True)
        return ResultsFile(root / "read.sqlite", {"seed": 0}).import_trials(root / "trials.csv.gz")

    return Reader(root / "trials.csv.gz", read, share=5)


def rewrite(content: bytes, generator: random.Random) -> bytes:
    """Changes a table in a way in which people and spreadsheets change one."""
    text = content.decode("utf-8", "replace")
    lines = text.splitlines()
    header = lines[0] if lines else ""
    rest = lines[1:]
    row = generator.randrange(len(lines)) if lines else 0
    changes: list[Callable[[], bytes]] = [
        lambda: "\r\n".join(lines).encode(),
        lambda: b"\xef\xbb\xbf" + content,
        lambda: text.encode("utf-16"),
        lambda: text.encode("utf-16-le"),
        lambda: text.encode("cp1252", "replace"),
        lambda: text.encode("utf-32"),
        lambda: text.replace(",", generator.choice(";\t|")).encode(),
        lambda: b"sep=;\n" + content.replace(b",", b";"),
        lambda: "\n".join([header.upper(), *rest]).encode(),
        lambda: "\n".join([header.lower(), *rest]).encode(),
        lambda: "\n".join([" , ".join(header.split(",")), *rest]).encode(),
        lambda: "\n".join(line + "," for line in lines).encode(),
        lambda: "\n".join([header, *(line + generator.choice(("", ",", ",,,")) for line in rest)]).encode(),
        lambda: "\n".join([*lines, "", ",,,,,,,", "  "]).encode(),
        lambda: "\n".join([*lines[:row], "", *lines[row:]]).encode(),
        lambda: "\n".join([*lines[:row], *lines[row + 1 :]]).encode(),
        lambda: "\n".join([*lines, *lines[row : row + 1]]).encode(),
        lambda: "\n".join(lines[: row + 1] + lines[row:][::-1]).encode(),
        lambda: "\n".join(",".join(f'"{cell}"' for cell in line.split(",")) for line in lines).encode(),
        lambda: "\n".join([",".join(reversed(line.split(","))) for line in lines]).encode(),
        lambda: b"",
        lambda: header.encode(),
        lambda: b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3\n",
    ]
    return generator.choice(changes)()


def change_cell(content: bytes, generator: random.Random) -> bytes:
    """Puts something else into one cell."""
    lines = content.decode("utf-8", "replace").split("\n")
    row = generator.randrange(len(lines))
    cells = lines[row].split(",")
    place = generator.randrange(len(cells))
    cell = cells[place]
    values = ["", " ", cell + " ", " " + cell, cell.upper(), cell.swapcase(), cell + "\0", "x" * 5000, '"', f'"{cell}']
    values += [
        "nan",
        "inf",
        "-1",
        "1e400",
        "0,5",
        "\u00e9",
        "e\u0301",
        "../" + cell,
        "/etc/passwd",
        "[laugh]",
        "\ufeff",
    ]
    values += [cell + "\r", "\u00a0" + cell, "NaN", "True", "=SUM(A1)", "#N/A", "0x10", "١٢", "speaker", "split", "."]
    cells[place] = generator.choice(values)
    lines[row] = ",".join(cells)
    return "\n".join(lines).encode("utf-8", "surrogatepass")


def damage(content: bytes, generator: random.Random) -> bytes:
    """Changes bytes as a failing disk or a cut transfer does."""
    if not content:
        return content
    first = generator.randrange(len(content))
    last = min(len(content), first + generator.choice((1, 1, 2, 8, 100)))
    middle = generator.choice(
        (
            b"",
            content[first:last] * 2,
            bytes(generator.randrange(256) for _ in range(last - first)),
            b"\0" * (last - first),
            bytes([content[first] ^ 1 << generator.randrange(8)]) + content[first + 1 : last],
            generator.choice((b'"', b",", b"\n", b"\r", b";", b"\t", b"'", b"\\")),
        )
    )
    return content[:first] if generator.random() < 0.1 else content[:first] + middle + content[last:]


def mutate(name: str, content: bytes, generator: random.Random) -> bytes:
    is_text = name not in ("dataset", "predictions")
    compressed = name == "results" and generator.random() < 0.7
    content = gzip.decompress(content) if compressed else content
    is_text = is_text and (name != "results" or compressed)
    for _ in range(generator.choice((1, 1, 2, 3))):
        content = generator.choice((rewrite, change_cell, damage) if is_text else (damage,))(content, generator)
    return gzip.compress(content, mtime=0) if compressed else content


def expected_clips(content: bytes, key: str) -> Counter | None:
    """The names of the clips as a parser of three lines finds them, or None where it would not understand the table."""
    for encoding in ("utf-32", "utf-16", "utf-8-sig"):
        try:
            text = content.decode(encoding)
        except UnicodeDecodeError:
            continue
        if encoding == "utf-8-sig" or content[:2] in (b"\xff\xfe", b"\xfe\xff", b"\0\0"):
            break
    else:
        return None
    if (
        '"' in text
        or "\r" in text.replace("\r\n", "")
        or any(sign in text for sign in "\v\f\x1c\x1d\x1e\x85\u2028\u2029")
    ):
        return None
    lines = [line for line in text.splitlines() if line.strip(" ,;\t|\u00a0")]
    if lines and lines[0].casefold().startswith("sep="):
        lines = lines[1:]
    for delimiter in ",;\t|":
        names = [cell.strip("\ufeff \u00a0").casefold() for cell in lines[0].split(delimiter)] if lines else []
        if key.casefold() in names:
            place = names.index(key.casefold())
            cells = [line.split(delimiter)[place].strip(" \u00a0[]") for line in lines[1:]]
            # This corpus names its recordings with and without their suffix.
            return Counter(Path(cell).stem if key == "FileName" else cell for cell in cells)
    return None


def found_clips(corpus: Any, key: str) -> Counter:
    """The same of the clips that a reader gave."""
    paths = [Path(path) for clips in corpus.values() for path in clips["path"]]
    return Counter({"file_name": f"a/{path.name}", "File_ID": path.stem}.get(key, path.stem) for path in paths)


class Warned(logging.Handler):
    """Notes whether a warning said that something is left out."""

    of_loss = False

    def emit(self, record: logging.LogRecord) -> None:
        self.of_loss |= "left out" in record.getMessage()


def outcome_of(reader: Reader, content: bytes) -> tuple[str, str]:
    """Reads one table; returns the outcome and, for a fault, what happened."""
    reader.table.write_bytes(content)
    warned = Warned()
    logging.getLogger("paravox").addHandler(warned)
    peak, began = peak_bytes(), time.process_time()
    try:
        found = reader.read()
        outcome, reason = "right", ""
        expected = expected_clips(content, reader.key) if reader.key else None
        if expected is not None and expected != found_clips(found, reader.key) and not warned.of_loss:
            outcome, reason = "silent loss", f"expected {dict(expected)}, found {dict(found_clips(found, reader.key))}"
    except ParavoxError:
        outcome, reason = "our error", ""
    except Exception as error:
        outcome, reason = "foreign error", f"{type(error).__name__}: {error}"
    finally:
        logging.getLogger("paravox").removeHandler(warned)
    seconds, grown = time.process_time() - began, peak_bytes() - peak
    if outcome in ("right", "our error") and seconds > MOST_SECONDS:
        return "over 2 s", f"{seconds:.1f} s"
    if outcome in ("right", "our error") and grown > MOST_BYTES:
        return "over 64 MB", f"{grown / 2**20:.0f} MB"
    return outcome, reason


def run_chunk(count: int, seed: int, first: int = 0) -> tuple[dict[str, Counter], list[str]]:
    """Reads some of the tables in this process.

    Returns:
        The outcomes by reader, and one line for each fault, with the number of the table.
    """
    outcomes: dict[str, Counter] = {}
    faults = []
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        stack.enter_context(contextlib.redirect_stderr(io.StringIO()))
        warnings.simplefilter("ignore")
        datasets.disable_progress_bars()
        datasets.config.HF_DATASETS_CACHE = Path(folder) / "cache"
        readers = make_readers(Path(folder))
        for reader in readers.values():
            reader.read()  # so that imports and buffers do not count
        for number in range(first, first + count):
            generator = random.Random(f"{seed} {number}")
            (name,) = generator.choices(list(readers), [reader.share for reader in readers.values()])
            content = mutate(name, readers[name].content, generator)
            outcome, reason = outcome_of(readers[name], content)
            outcomes.setdefault(name, Counter())[outcome] += 1
            if reason:
                faults.append(f"{number} {name}: {outcome}: {reason[:300]}")
    return outcomes, faults


def run(count: int, seed: int) -> dict[str, Any]:
    """Tries `count` tables in processes that may die; the result is as in mutants.py, by reader."""
    return run_in_processes(run_chunk, count, seed, CHUNK, OUTCOMES)


if __name__ == "__main__":
    run_program(run, 10_000, __doc__)
