"""Combines several saved models into one, which predicts the mean of their predictions.

    paravox ensemble runs/wl/model runs/hl/model runs/whisper/model --output_dir runs/ensemble
    paravox predict laugh.wav --model runs/ensemble

The members may have different encoders, and some may be ComParE baselines, but they must predict the same tasks. The
folder holds copies of their weights, so theirs may be removed. The model card takes encoders, licence and synthetic
audio from the cards of the members.
"""

import argparse
from pathlib import Path

from huggingface_hub import ModelCard

from paravox.modeling.errors import ConfigError
from paravox.modeling.feature_extraction_ensemble import Burst2VecEnsembleFeatureExtractor
from paravox.modeling.modeling_ensemble import Burst2VecEnsemble
from paravox.runs.model_card import CardFacts, write_model_card
from paravox.runs.program import run
from paravox.trainers.files import model_written_aside


def main(argv: list[str] | None = None) -> Burst2VecEnsemble:
    """Writes the folder, prints what it holds, and returns the ensemble."""
    arguments = parse_arguments(argv)
    folder = Path(arguments.output_dir)
    check_output_folder(folder, arguments.models, arguments.overwrite)
    ensemble = Burst2VecEnsemble.from_members(arguments.models)
    extractor = Burst2VecEnsembleFeatureExtractor.from_members(arguments.models)
    with model_written_aside(folder) as part:
        ensemble.save_pretrained(part)
        extractor.save_pretrained(part)
    write_model_card(folder, "ensemble.md", ensemble.config, facts_of_members(arguments.models, folder.name))
    for name, member in zip(arguments.models, ensemble.members, strict=True):
        kind = member.config.encoder.model_type if hasattr(member, "encoder") else member.config.model_type
        print(f"{name}: {kind}, {member.num_parameters():,} parameters")
    print(f"{len(ensemble.members)} members, {ensemble.num_parameters():,} parameters, saved in {folder}")
    return ensemble


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument(
        "models",
        metavar="MODEL",
        nargs="+",
        help="Folder of a model that train wrote, or its name on the Hub; two or more.",
    )
    parser.add_argument("--output_dir", required=True, help="Folder for the ensemble.")
    parser.add_argument("--overwrite", action="store_true", help="Replace the model that --output_dir holds.")
    return parser.parse_args(argv)


def check_output_folder(folder: Path, models: list[str], overwrite: bool) -> None:
    """Raises [`ConfigError`] if writing would replace a member, or, without --overwrite, another model."""
    if any(Path(name).resolve() == folder.resolve() for name in models):
        raise ConfigError(f"output_dir {folder} is one of the members, whose weights are still needed: choose another")
    if (folder / "config.json").exists() and not overwrite:
        raise ConfigError(f"output_dir {folder} already holds a model: choose another, or replace it with --overwrite")


def facts_of_members(models: list[str], repo_id: str) -> CardFacts:
    """Facts for the card of an ensemble, from the cards of its members.

    Args:
        models (list of `str`): folders, or names on the Hub.
        repo_id (`str`): the name under which the ensemble is used.

    Returns:
        [`CardFacts`]: the encoders of all members; the licence if it is the same for all of them; synthetic if all of
        them are.
    """
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
        # Licences differ in their terms, so the ensemble has one only if all members have the same.
        license=licenses.pop() if len(licenses) == 1 and len(cards) == len(models) else None,
        synthetic=len(cards) == len(models) and all("synthetic" in (card.tags or ()) for card in cards),
    )


if __name__ == "__main__":
    run(main)
