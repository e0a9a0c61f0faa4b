"""Put several saved models together in one folder, which opens and predicts as one model: their mean.

    python recipes/burst2vec/ensemble.py runs/wl/model runs/hl/model runs/whisper/model --output_dir runs/ensemble
    paravox predict runs/ensemble laugh.wav

The members may have different encoders, but they predict the same tasks. The folder holds copies of their weights:
theirs may be removed. Its card has what their cards say of encoders, licence and synthetic audio.
"""

import argparse
import sys
from pathlib import Path

from huggingface_hub import ModelCard

from paravox.modeling.errors import CheckpointError, ConfigError
from paravox.modeling.feature_extraction_ensemble import Burst2VecEnsembleFeatureExtractor
from paravox.modeling.modeling_ensemble import Burst2VecEnsemble
from paravox.runs.model_card import CardFacts, write_model_card


def main(argv: list[str] | None = None) -> Burst2VecEnsemble:
    """Writes the folder and prints what it holds; gives the ensemble."""
    arguments = parse_arguments(argv)
    folder = Path(arguments.output_dir)
    check_output_folder(folder, arguments.models, arguments.overwrite)
    ensemble = Burst2VecEnsemble.from_members(arguments.models)
    extractor = Burst2VecEnsembleFeatureExtractor.from_members(arguments.models)
    ensemble.save_pretrained(folder)
    extractor.save_pretrained(folder)
    write_model_card(folder, "ensemble.md", ensemble.config, facts_of_members(arguments.models, folder.name))
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


def facts_of_members(models: list[str], repo_id: str) -> CardFacts:
    """What the cards of saved models, or of models on the Hub, have in common or together."""
    cards = []
    for name in models:
        place = Path(name) / "README.md" if Path(name).is_dir() else name
        if not isinstance(place, Path) or place.is_file():
            cards.append(ModelCard.load(place).data)
    base_models = [model for card in cards for model in ([card.base_model] if card.base_model else [])]
    licenses = {card.license for card in cards}
    return CardFacts(
        repo_id=repo_id,
        base_model=list(dict.fromkeys(base_models)) or None,
        # Terms differ: only one that all members have is the ensemble's.
        license=licenses.pop() if len(licenses) == 1 and len(cards) == len(models) else None,
        synthetic=len(cards) == len(models) and all("synthetic" in (card.tags or ()) for card in cards),
    )


if __name__ == "__main__":
    try:
        main()
    except (CheckpointError, ConfigError) as error:
        sys.exit(f"{type(error).__name__}: {error}")
