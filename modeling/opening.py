"""Opening what was saved or published: one error of ours where there is nothing that can be opened."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .errors import CheckpointError, ParavoxError, reason_of
from .transformers_versions import PreTrainedConfig


def open_checkpoint(
    from_pretrained: Callable[..., Any], name_or_path: str | os.PathLike, *args: Any, **options: Any
) -> Any:
    """Calls a `from_pretrained` of Transformers, and raises one error of ours where there is nothing that it can read.

    Raises:
        CheckpointError: if a file is missing or truncated, or the name is not known on the Hub.
    """
    try:
        return from_pretrained(name_or_path, *args, **options)
    except (ParavoxError, ImportError):
        raise
    # Of a damaged or hostile folder, the libraries below raise errors of many classes.
    except Exception as error:
        reason = reason_of(error)
        raise CheckpointError(
            f"checkpoint {str(name_or_path)!r} cannot be opened ({reason}): {_advice(name_or_path)}"
        ) from error


def _advice(name_or_path: str | os.PathLike) -> str:
    inner = Path(name_or_path) / "model"
    if (inner / "config.json").is_file():
        return f"it is the folder of a run, whose model is in {str(inner)!r}: give that folder"
    return "give a folder written by save_pretrained, or a name on the Hub that can be reached from here"


def model_type_of(name_or_path: str | os.PathLike, **hub_options: Any) -> str | None:
    """The `model_type` in the config of a saved model, or None where it names none.

    Args:
        name_or_path (`str`): a folder or Hub name.
        hub_options: such as `revision` or `token`.

    Raises:
        CheckpointError: if there is no config, or one that is damaged.
    """
    config = open_checkpoint(PreTrainedConfig.get_config_dict, name_or_path, **hub_options)[0]
    if not isinstance(config, dict):
        raise CheckpointError(f"checkpoint {str(name_or_path)!r} has a config.json that holds no fields: it is damaged")
    if not config:  # which a folder without config.json gives
        raise CheckpointError(f"checkpoint {str(name_or_path)!r} has no config.json: {_advice(name_or_path)}")
    found = config.get("model_type")
    return found if isinstance(found, str) else None


def check_format_version(found: int, known: int) -> None:
    """Raises [`CheckpointError`] for a config that a newer paravox has written."""
    if isinstance(found, bool) or not isinstance(found, int):
        raise CheckpointError(f"this config has format_version {found!r}, expected a whole number: it is damaged")
    if found > known:
        raise CheckpointError(
            f"this config has format_version {found}, this paravox knows up to {known}: upgrade paravox"
        )
