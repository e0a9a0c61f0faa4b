"""Shows Burst2Vec in a few minutes: writes a synthetic corpus, trains on it, compares scores, and predicts one clip.

    python recipes/demo/demo.py --output_dir runs/demo

The same small model is trained twice, the second time on shuffled labels, so that the table shows what the model
learned from the sound. The output folder is written anew each time. Options that are not listed below are passed on to
train.py.
"""

import argparse
import json
import shutil
import time
from pathlib import Path

from paravox.corpora.synthetic import write_synthetic_corpus
from paravox.evaluation.score_tables import print_scores
from paravox.runs.program import run, start

YAML = Path(__file__).resolve().parents[1] / "burst2vec" / "configs" / "tiny_demo.yaml"


def main(argv: list[str] | None = None) -> dict[str, dict[str, float]]:
    """Runs the demo, and returns the validation scores of the three rows of its table."""
    arguments, options = parse_arguments(argv)
    started = time.time()
    corpus = arguments.output_dir / "corpus"
    shutil.rmtree(corpus, ignore_errors=True)
    clips = {split: getattr(arguments, split) for split in ("train", "validation", "test")}
    print(f"1/4  Writing {sum(clips.values())} synthetic bursts to {corpus}.")
    write_synthetic_corpus(corpus, clips_per_split=clips, seed=arguments.seed)
    settings = [str(YAML), "--data_dir", str(corpus), "--seed", str(arguments.seed), *options]
    print("2/4  Training.", flush=True)
    learned = train(arguments.output_dir / "trained", settings)
    print("3/4  Training the same model on shuffled labels.", flush=True)
    shuffled = train(arguments.output_dir / "shuffled", [*settings, "--shuffle_labels", "true"])
    rows = {
        "constant prediction": {"val": learned["constant"]["val"]},
        "trained on shuffled labels": {"val": shuffled["val"]},
        "Burst2Vec": {"val": learned["val"]},
    }
    print_scores("Scores on Val: for CCC, UAR and S_MTL higher is better, for MAE (in years) lower", rows)
    print("4/4  Predicting one clip.", flush=True)
    model = arguments.output_dir / "trained" / "model"
    clip = min((corpus / "audio").glob("*.wav"))
    start("burst2vec.predict", [str(clip), "--model", str(model)])
    print(f"Done in {time.time() - started:.0f} s. To use the model: paravox predict YOUR.wav --model {model}")
    return {row: scores["val"] for row, scores in rows.items()}


def parse_arguments(argv: list[str] | None) -> tuple[argparse.Namespace, list[str]]:
    """The arguments of this program, and the options that are passed on to train.py."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument(
        "--output_dir", type=Path, default=Path("runs/demo"), help="Folder for everything (default: %(default)s)."
    )
    parser.add_argument(
        "--seed", type=int, default=42, help="Seed of the corpus and of the training (default: %(default)s)."
    )
    for split, count in (("train", 900), ("validation", 300), ("test", 300)):
        parser.add_argument(f"--{split}", type=int, default=count, help=f"Number of {split} clips (default: {count}).")
    return parser.parse_known_args(argv)


def train(output_dir: Path, settings: list[str]) -> dict:
    """Runs train.py anew, and returns what its results.json holds."""
    start("burst2vec.train", [*settings, "--output_dir", str(output_dir), "--overwrite", "true"])
    return json.loads((output_dir / "results.json").read_text())


if __name__ == "__main__":
    run(main)
