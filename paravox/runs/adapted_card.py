"""What `paravox adapt` leaves: the adapted model with its card."""

from pathlib import Path

from paravox.inference.adaptation import Adaptation
from paravox.runs.model_card import CardFacts, write_model_card


def write_adapted_model(folder: Path, adapted: Adaptation, model: str) -> None:
    """Saves an adapted model, its feature extractor and its card.

    Args:
        folder (`Path`): made if it is not there. What an earlier model left in it is replaced.
        adapted ([`Adaptation`]).
        model (`str`): what was adapted. A name on the Hub is mentioned on the card, a folder is not.
    """
    adapted.save_pretrained(folder)
    facts = CardFacts(
        repo_id=folder.absolute().name,
        base_model=None if Path(model).exists() else model,
        adaptation=adapted,
    )
    write_model_card(folder, "adapted.md", adapted.model.config, facts)
