"""Opening what was saved or published: one error of ours where there is nothing that can be opened."""

import os
from collections.abc import Callable
from typing import Any

from safetensors import SafetensorError

from .errors import CheckpointError


def open_checkpoint(
    from_pretrained: Callable[..., Any], name_or_path: str | os.PathLike, *args: Any, **options: Any
) -> Any:
    """Calls a `from_pretrained` of Transformers, and raises one error of ours where there is nothing that it can read.

    Raises:
        CheckpointError: if a file is missing or truncated, or the name is not known on the Hub.
    """
    try:
        return from_pretrained(name_or_path, *args, **options)
    except (OSError, SafetensorError) as error:
        reason = str(error).splitlines()[0]
        raise CheckpointError(
            f"checkpoint {str(name_or_path)!r} cannot be opened ({reason}): give a folder written by save_pretrained, "
            "or a name on the Hub that can be reached from here"
        ) from error


def check_format_version(found: int, known: int) -> None:
    """Raises [`CheckpointError`] for a config that a newer paravox has written."""
    if found > known:
        raise CheckpointError(
            f"this config has format_version {found}, this paravox knows up to {known}: upgrade paravox"
        )
