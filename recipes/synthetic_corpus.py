"""Write a corpus of synthetic bursts with the labels of ExVo, for the demo and for trying things out.

    python recipes/synthetic_corpus.py --output_dir runs/demo/corpus --train 900 --validation 300 --test 300
    python recipes/synthetic_corpus.py --output_dir runs/biased --bias 0.9 --seed 1

The output folder then holds audio/ and metadata.csv, which every program reads as --corpus metadata_csv.
"""

import argparse

from paravox.corpora.splitting import SPLITS
from paravox.corpora.synthetic import write_synthetic_corpus
from paravox.runs.program import run


def main(argv: list[str] | None = None) -> None:
    """Writes the corpus and prints how many bursts it has."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--output_dir", metavar="FOLDER", required=True, help="the corpus is written here")
    for split, count in zip(SPLITS, (900, 300, 300), strict=True):
        parser.add_argument(f"--{split}", metavar="CLIPS", type=int, default=count, help="(default: %(default)s)")
    parser.add_argument(
        "--bias",
        type=float,
        default=0.0,
        help="the share of Train's speakers, from 0 to 1, whose country decides their age (default: %(default)s)",
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="the same seed writes the same files (default: %(default)s)"
    )
    arguments = parser.parse_args(argv)
    clips = {split: getattr(arguments, split) for split in SPLITS}
    folder = write_synthetic_corpus(arguments.output_dir, clips, bias=arguments.bias, seed=arguments.seed)
    print(f"{sum(clips.values()):,} bursts written to {folder}")


if __name__ == "__main__":
    run(main)
