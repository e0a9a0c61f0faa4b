"""The config and the weights of a published or saved encoder, complete or not at all."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from transformers import AutoConfig

from .bounds import check_lengths
from .configuration_saved_model import SavedModelConfig
from .encoders import SpeechEncoder, parse_encoder_config
from .errors import CheckpointError, ParavoxError, reason_of
from .transformers_versions import PreTrainedConfig

logger = logging.getLogger(__name__)


def load_encoder_config(name_or_path: str, **hub_options: Any) -> PreTrainedConfig:
    """The config of a published or saved encoder.

    Args:
        name_or_path (`str`): a folder or Hub name.
        hub_options: passed to `from_pretrained`, such as `revision` or `token`.

    Raises:
        CheckpointError: if there is no config at that name or in that folder.
        ConfigError: if the encoder is not supported.
    """
    try:
        fields = PreTrainedConfig.get_config_dict(name_or_path, **hub_options)[0]
        check_lengths("the encoder", fields)
        config = AutoConfig.from_pretrained(name_or_path, **hub_options)
    except (ParavoxError, ImportError):
        raise
    except Exception as error:  # of many classes, where the folder is damaged
        reason = reason_of(error)
        raise CheckpointError(
            f"no encoder could be opened at {str(name_or_path)!r} ({reason}): give a folder written by "
            "save_pretrained, or a name on the Hub that can be reached from here"
        ) from error
    if isinstance(config, SavedModelConfig):
        raise CheckpointError(
            f"{str(name_or_path)!r} is a model of paravox ({config.model_type}), not an encoder: to go on from it give "
            "it as start_from, or give the encoder that it was trained from"
        )
    parse_encoder_config(config)
    # This would be saved with the model, and it may be a folder of this machine.
    config.name_or_path = ""
    return config


@contextmanager
def _without_load_report() -> Iterator[None]:
    """Silences what Transformers says of weights that an encoder leaves out, such as those of a decoder."""
    log = logging.getLogger("transformers")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(level)


def load_encoder_weights(encoder: SpeechEncoder, name_or_path: str, **hub_options: Any) -> None:
    """Fills an encoder with published or saved weights, in float32 whatever the file holds.

    Args:
        encoder ([`SpeechEncoder`]): built from the config at the same place. It may have fewer layers: the lower ones
            are read.
        name_or_path (`str`): a checkpoint of the bare encoder or of any model around it, such as `ForCTC` or
            `ForPreTraining`; for Whisper also a complete model.
        hub_options: passed to `from_pretrained`, such as `revision` or `token`.

    Raises:
        CheckpointError: if the file cannot be read, or a weight of the encoder is missing there or has another shape.
    """
    # With `ignore_mismatched_sizes`, weights of another shape are reported below, by name, instead of raised.
    options = {"dtype": torch.float32, "output_loading_info": True, "ignore_mismatched_sizes": True, **hub_options}
    with _without_load_report():
        source, info = encoder.open_model(name_or_path, **options)
    absent = sorted(set(info["missing_keys"]) - encoder.may_be_absent)
    unfit = sorted(str(key[0]) for key in info["mismatched_keys"])
    if absent or unfit:
        raise CheckpointError(
            f"encoder {str(name_or_path)!r}: {len(absent)} weights are missing ({', '.join(absent[:3])}) and "
            f"{len(unfit)} have another shape ({', '.join(unfit[:3])}): it is not a checkpoint of "
            f"{type(encoder.model).__name__} with this config"
        )
    weights, own = source.state_dict(), encoder.model.state_dict()
    for key in sorted(info["missing_keys"]):
        logger.info("encoder %s has no %s: it starts from random numbers", name_or_path, key)
        # Those that the encoder was built with: before 5.21, Transformers leaves such a weight as the memory was.
        weights[key] = own[key]
    changed = [key for key, weight in own.items() if key not in weights or weights[key].shape != weight.shape]
    if changed:
        raise CheckpointError(
            f"encoder {str(name_or_path)!r} has no weights for the sizes in encoder_settings ({', '.join(changed[:3])} "
            "and the like): only its number of layers may be changed, to fewer"
        )
    # With fewer layers, the upper ones are left out.
    encoder.model.load_state_dict({key: weights[key] for key in own})
