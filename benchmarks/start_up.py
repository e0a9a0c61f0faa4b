"""Measures the start_* rows: the processor seconds from a command to its answer, beside what nobody can go below.

    python benchmarks/start_up.py
    python benchmarks/start_up.py --model runs/demo/trained/model --clip laugh.wav
    git worktree add ../before 0d3157f
    python benchmarks/start_up.py --model runs/demo/trained/model --clip laugh.wav --before ../before

The other side is the part of Transformers that is needed in any case: the Auto classes for `import paravox`, the
Trainer's arguments for `paravox train --help`, and opening and running the model without paravox for `paravox predict`.
Each side is started anew several times, in turn, and the median counts. Seconds are those of the processor, on one
thread, because they depend least on what else the machine does. With --before, an earlier checkout answers the same in
turn with them. The rows are kept in benchmarks/results.json, and docs/environments.md has them as a table.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
from pathlib import Path

from environments import ROOT, write_table
from timing import RESULTS, record

COMMAND = "import sys; sys.argv = ['paravox', *{arguments}]; from paravox.cli import main; main()"
# Each row of the results, in the words of the document.
TITLES = {
    "start_help": "`paravox --help`",
    "start_program_help": "`paravox score --help`",
    "start_train_help": "`paravox train --help`",
    "start_import": "`import paravox` and the Auto classes",
    "start_predict": "`paravox predict` of one clip",
}
AUTO_CLASSES = "from transformers import AutoFeatureExtractor, AutoModel"
OPEN_AND_RUN = """
import torch
from transformers import AutoFeatureExtractor, AutoModel
model = AutoModel.from_pretrained({model!r}, trust_remote_code=True)
extractor = AutoFeatureExtractor.from_pretrained({model!r}, trust_remote_code=True)
with torch.inference_mode():
    model(**extractor({clip!r}, return_tensors="pt"))
"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--model", help="Folder of a saved model.")
    parser.add_argument("--clip", help="Recording to predict with it.")
    parser.add_argument("--before", type=Path, help="Folder of an earlier checkout, to be measured beside this one.")
    parser.add_argument("--repeats", type=int, default=5, help="Starts of each side (default: %(default)s).")
    arguments = parser.parse_args()
    pairs = {
        "start_help": (command("--help"), "pass", "Python alone"),
        "start_program_help": (command("score", "--help"), "pass", "Python alone"),
        "start_train_help": (
            command("train", "--help"),
            "from transformers import TrainingArguments",
            "TrainingArguments",
        ),
        "start_import": (f"import paravox; {AUTO_CLASSES}", AUTO_CLASSES, "the Auto classes"),
    }
    if arguments.model and arguments.clip:
        model, clip = os.path.abspath(arguments.model), os.path.abspath(arguments.clip)
        alone = OPEN_AND_RUN.format(model=model, clip=clip)
        predict = command("predict", clip, "--model", model)
        pairs["start_predict"] = (predict, alone, "the model opened and run by Transformers")
    for row, (ours, other, what) in pairs.items():
        sides = [(ours, ROOT), (other, ROOT)] + ([(ours, arguments.before)] if arguments.before else [])
        ours_seconds, other_seconds, *before = in_turn(sides, arguments.repeats)
        values = {
            "ratio": round(ours_seconds / other_seconds, 2),
            "ours": round(ours_seconds, 2),
            "alternative": round(other_seconds, 2),
            "unit": "processor seconds, lower is better",
            "beside": what,
        }
        record(row, values | ({"before": round(before[0], 2)} if before else {}))
    write_table("start_up", start_up_table(json.loads(RESULTS.read_text())["rows"]))


def command(*arguments: str) -> str:
    """The code that runs `paravox` with these arguments."""
    return COMMAND.format(arguments=json.dumps(arguments))


def start_up_table(rows: dict[str, dict]) -> list[list[str]]:
    """The rows that were measured, as cells of a table with its header."""
    cells = [["processor seconds", "before", "now", "beside", "seconds beside", "ratio"]]
    for row, title in TITLES.items():
        if row in rows:
            numbers = [rows[row].get(name, "") for name in ("before", "ours")]
            cells.append([title, *numbers, rows[row]["beside"], rows[row]["alternative"], rows[row]["ratio"]])
    return [list(map(str, line)) for line in cells]


def in_turn(sides: list[tuple[str, Path]], repeats: int) -> list[float]:
    """The median processor seconds of pieces of code, each run in new processes with the paravox of a checkout."""
    seconds: list[list[float]] = [[] for _ in sides]
    for _ in range(repeats):
        for (code, checkout), measured in zip(sides, seconds, strict=True):
            measured.append(processor_seconds(code, checkout))
    return [statistics.median(measured) for measured in seconds]


def processor_seconds(code: str, checkout: Path) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    variables = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "PYTHONPATH": ""}
    subprocess.run(
        [sys.executable, "-c", code],  # which finds the paravox of its folder before the one that is installed
        cwd=checkout,
        env=os.environ | variables,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=True,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    main()
