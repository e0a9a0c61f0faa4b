"""Put several saved models together in one folder, which opens and predicts as one model: their mean.

    python recipes/burst2vec/ensemble.py runs/wl/model runs/hl/model runs/whisper/model --output_dir runs/ensemble
    paravox predict runs/ensemble laugh.wav

The members may have different encoders, but they predict the same tasks. The folder holds copies of their weights:
theirs may be removed.
"""

import argparse
import sys
from pathlib import Path

from paravox.modeling.errors import CheckpointError, ConfigError
from paravox.modeling.feature_extraction_ensemble import Burst2VecEnsembleFeatureExtractor
from paravox.modeling.modeling_ensemble import Burst2VecEnsemble


def main(argv: list[str] | None = None) -> Burst2VecEnsemble:
    """Writes the folder and prints what it holds; gives the ensemble."""
    arguments = parse_arguments(argv)
    folder = Path(arguments.output_dir)
    check_output_folder(folder, arguments.models, arguments.overwrite)
    ensemble = Burst2VecEnsemble.from_members(arguments.models)
    extractor = Burst2VecEnsembleFeatureExtractor.from_members(arguments.models)
    ensemble.save_pretrained(folder)
    extractor.save_pretrained(folder)
    for name, member in zip(arguments.models, ensemble.members, strict=True):
        print(f"{name}: {member.config.encoder.model_type}, {member.num_parameters():,} parameters")
    print(f"{len(ensemble.members)} members, {ensemble.num_parameters():,} parameters, saved in {folder}")
    return ensemble


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", help="two or more folders that train.py wrote, or names on the Hub")
    parser.add_argument("--output_dir", required=True, help="where the ensemble lands")
    parser.add_argument("--overwrite", action="store_true", help="replace the model that --output_dir holds")
    return parser.parse_args(argv)


def check_output_folder(folder: Path, models: list[str], overwrite: bool) -> None:
    """Raises [`ConfigError`] where writing would replace a model unasked, or one of the members in any case."""
    if any(Path(name).resolve() == folder.resolve() for name in models):
        raise ConfigError(f"output_dir {folder} is one of the members, whose weights are still needed: choose another")
    if (folder / "config.json").exists() and not overwrite:
        raise ConfigError(f"output_dir {folder} already holds a model: choose another, or replace it with --overwrite")


if __name__ == "__main__":
    try:
        main()
    except (CheckpointError, ConfigError) as error:
        sys.exit(f"{type(error).__name__}: {error}")
