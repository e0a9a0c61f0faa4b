"""Low-rank adapters (LoRA, Hu et al. 2021) in the encoder of a model, by the library PEFT."""

from pathlib import Path
from typing import Any

from paravox.modeling.errors import ConfigError, needs_extra
from paravox.modeling.model_with_encoder import ModelWithEncoder
from paravox.trainers.files import model_written_aside

ADAPTER_FOLDER = "adapter"
# The projections of the attention that Hu et al. adapt.
DEFAULTS = {"target_modules": ["q_proj", "v_proj"]}


def add_lora(model: ModelWithEncoder, settings: dict[str, Any]) -> Any:
    """Puts adapters into the encoder's layers and freezes the rest of the encoder.

    Args:
        model ([`ModelWithEncoder`]): its encoder is changed in place.
        settings (`dict`): fields of `peft.LoraConfig`, such as `r`, `lora_alpha` and `target_modules`.

    Returns:
        `peft.PeftModel`: the encoder with its adapters, for [`save_adapters`].

    Raises:
        ConfigError: if PEFT is not installed, it does not take the settings, or adapters have no effect in the encoder.
    """
    if not model.encoder.takes_adapters:
        raise ConfigError(
            f"lora: the attention of {model.encoder.model.config.model_type} would not use its adapters: leave lora "
            "out, or choose another encoder"
        )
    try:
        from peft import LoraConfig, get_peft_model
    except ImportError:
        raise ConfigError(needs_extra("lora", "peft", "lora")) from None
    try:
        return get_peft_model(model.encoder.model, LoraConfig(**(DEFAULTS | settings)))
    except (TypeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"lora {settings!r}: {reason}: give fields of peft.LoraConfig, such as {{r: 8}}") from error


def save_adapters(adapted: Any, folder: Path, encoder: str | None) -> None:
    """Saves the adapters alone. `adapted.merge_and_unload()` then adds them to the encoder, which is plain again.

    Args:
        adapted (`peft.PeftModel`): from [`add_lora`].
        folder (`Path`): that of the adapters, which `peft.PeftModel.from_pretrained` opens on top of the encoder.
        encoder (`str`, *optional*): the Hub name of the encoder. A folder of this machine is not written down.
    """
    is_name = encoder is not None and not Path(encoder).exists()
    adapted.peft_config["default"].base_model_name_or_path = encoder if is_name else None
    with model_written_aside(folder) as part:
        adapted.save_pretrained(part)
