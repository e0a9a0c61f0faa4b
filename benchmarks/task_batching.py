"""Row all_tasks: batches of all tasks against batches of one task, on synthetic bursts that carry every label.

    python benchmarks/task_batching.py

The demo's model is trained both ways from each seed, with an evaluation after every epoch. The benchmark compares the
seconds of training, without evaluations, until both have reached the same Emo-CCC on Val: the lower one of their best.
"""

import argparse
import json
import statistics
import tempfile
from pathlib import Path

from timing import record

from paravox.corpora.synthetic import write_synthetic_corpus
from paravox.recipes.burst2vec import train

CONFIG = Path(train.__file__).parent / "configs" / "tiny_demo.yaml"
EPOCHS = {"all_tasks": 30, "proportional": 12}  # one epoch of the latter draws each clip once for each of three tasks


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    arguments = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        corpus = write_synthetic_corpus(Path(folder) / "corpus", {"train": 900, "validation": 300, "test": 300})
        for seed in arguments.seeds:
            curves = {way: train_curve(corpus, Path(folder) / f"{way}_{seed}", way, seed) for way in EPOCHS}
            reached = min(max(ccc for _, ccc in curve) for curve in curves.values())
            seconds = {way: next(time for time, ccc in curve if ccc >= reached) for way, curve in curves.items()}
            rows.append({"seed": seed, "emotion_ccc": round(reached, 4), **seconds})
            print(rows[-1])
    ours, alternative = (statistics.median(row[way] for row in rows) for way in EPOCHS)
    values = {"ratio": round(statistics.median(row["all_tasks"] / row["proportional"] for row in rows), 3)}
    values |= {
        "ours": ours,
        "alternative": alternative,
        "unit": "seconds of training to the same Emo-CCC",
        "runs": rows,
    }
    record("all_tasks", values)


def train_curve(corpus: Path, folder: Path, task_batching: str, seed: int) -> list[tuple[float, float]]:
    """Seconds in training and Emo-CCC on Val, after every epoch."""
    options = ["--data_dir", str(corpus), "--output_dir", str(folder), "--seed", str(seed)]
    options += ["--task_batching", task_batching, "--num_train_epochs", str(EPOCHS[task_batching])]
    train.main([str(CONFIG), *options, "--save_strategy", "no", "--load_best_model_at_end", "false"])
    log = json.loads((folder / "trainer_state.json").read_text())["log_history"]
    evaluations = [entry for entry in log if "eval_emotion_ccc" in entry]
    whole = next(entry["train_runtime"] for entry in log if "train_runtime" in entry)
    training = whole - sum(entry["eval_runtime"] for entry in evaluations)
    return [
        (round(training * number / len(evaluations), 2), entry["eval_emotion_ccc"])
        for number, entry in enumerate(evaluations, start=1)
    ]


if __name__ == "__main__":
    main()
