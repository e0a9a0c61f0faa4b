"""Burst2Vec in a few minutes: make a synthetic corpus, train on it, compare, save, predict.

    python recipes/demo/demo.py --output_dir runs/demo

The same small model is trained twice, the second time on shuffled labels, so that the table shows what it learned from
the sound. Everything lands in the output folder; running it again starts afresh there.
"""

import argparse
import shutil
import time
from pathlib import Path

from paravox.corpora.synthetic import write_synthetic_corpus
from paravox.evaluation.score_tables import print_scores
from paravox.recipes.burst2vec import predict, train

CONFIG = Path(train.__file__).parent / "configs" / "tiny_demo.yaml"
CLIPS_PER_SPLIT = {"train": 900, "validation": 300, "test": 300}


def main(argv: list[str] | None = None) -> dict[str, dict[str, float]]:
    """Runs the demo; gives the validation scores of the three rows of its table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output_dir", default="runs/demo", help="where everything lands (default %(default)s)")
    parser.add_argument("--seed", type=int, default=42, help="of the corpus and the training (default %(default)s)")
    arguments = parser.parse_args(argv)
    started = time.time()
    folder = Path(arguments.output_dir)
    corpus = folder / "corpus"
    shutil.rmtree(corpus, ignore_errors=True)
    print(f"1/4  {sum(CLIPS_PER_SPLIT.values())} synthetic bursts in {corpus}")
    write_synthetic_corpus(corpus, clips_per_split=CLIPS_PER_SPLIT, seed=arguments.seed)
    print("2/4  training")
    learned = run_training(corpus, folder / "trained", arguments.seed)
    print("3/4  training the same model on shuffled labels")
    shuffled = run_training(corpus, folder / "shuffled", arguments.seed, "--shuffle_labels", "true")
    rows = {
        "constant prediction": {"val": learned["constant"]["val"]},
        "trained on shuffled labels": {"val": shuffled["val"]},
        "Burst2Vec": {"val": learned["val"]},
    }
    print_scores("Synthetic validation set: CCC, UAR and S_MTL higher is better, MAE (years) lower", rows)
    print("4/4  one prediction")
    model = folder / "trained" / "model"
    clip = sorted((corpus / "audio").glob("*.wav"))[0]
    predict.main([str(model), str(clip)])
    print(f"done in {time.time() - started:.0f} s; the model is in {model}, try: paravox predict {model} YOUR.wav")
    return {row: scores["val"] for row, scores in rows.items()}


def run_training(corpus: Path, output_dir: Path, seed: int, *options: str) -> dict:
    """One run of the training recipe with the demo's YAML."""
    paths = ["--data_dir", str(corpus), "--output_dir", str(output_dir), "--overwrite_output_dir", "true"]
    return train.main([str(CONFIG), *paths, "--seed", str(seed), *options])


if __name__ == "__main__":
    main()
