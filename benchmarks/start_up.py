"""Measures the start_* rows: the processor seconds from a command to its answer, beside what nobody can go below.

    python benchmarks/start_up.py
    python benchmarks/start_up.py --model runs/demo/trained/model --clip laugh.wav

The other side is the part of Transformers that is needed in any case: the Auto classes for `import paravox`, the
Trainer's arguments for `paravox train --help`, and opening and running the model without paravox for `paravox predict`.
Each side is started anew several times, in turn, and the median counts. Seconds are those of the processor, on one
thread, because they depend least on what else the machine does.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys

from timing import record

COMMAND = "import sys; sys.argv = ['paravox', *{arguments}]; from paravox.cli import main; main()"
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
    parser.add_argument("--repeats", type=int, default=5, help="Starts of each side (default: %(default)s).")
    arguments = parser.parse_args()
    pairs = {
        "start_help": (command("--help"), "pass", "Python alone"),
        "start_import": (f"import paravox; {AUTO_CLASSES}", AUTO_CLASSES, "the Auto classes"),
        "start_train_help": (
            command("train", "--help"),
            "from transformers import TrainingArguments",
            "TrainingArguments",
        ),
    }
    if arguments.model and arguments.clip:
        alone = OPEN_AND_RUN.format(model=arguments.model, clip=arguments.clip)
        predict = command("predict", arguments.clip, "--model", arguments.model)
        pairs["start_predict"] = (predict, alone, "the model opened and run by Transformers")
    for row, (ours, other, what) in pairs.items():
        ours_seconds, other_seconds = in_turn(ours, other, arguments.repeats)
        record(
            row,
            {
                "ratio": round(ours_seconds / other_seconds, 2),
                "ours": round(ours_seconds, 2),
                "alternative": round(other_seconds, 2),
                "unit": "processor seconds, lower is better",
                "beside": what,
            },
        )


def command(*arguments: str) -> str:
    """The code that runs `paravox` with these arguments."""
    return COMMAND.format(arguments=json.dumps(arguments))


def in_turn(first: str, second: str, repeats: int) -> tuple[float, float]:
    """The median processor seconds of two pieces of code, each run in new processes, in turn."""
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(repeats):
        for code, measured in zip((first, second), seconds, strict=True):
            measured.append(processor_seconds(code))
    return statistics.median(seconds[0]), statistics.median(seconds[1])


def processor_seconds(code: str) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=True,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    main()
