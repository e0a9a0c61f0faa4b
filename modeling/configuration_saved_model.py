"""What the configs of all saved models share: the name of the pipeline that comes with a model."""

import copy
from typing import Any

from .errors import ConfigError, ParavoxError, reason_of
from .transformers_versions import PreTrainedConfig

PIPELINES = {
    "vocal-burst-analysis": {"impl": "pipeline_vocal_burst.VocalBurstAnalysisPipeline", "pt": ["AutoModel"]},
}
# Where paravox is installed, it registers the pipeline itself, and the code beside the model is not needed.
_IS_INSTALLED = __name__.startswith("paravox.")


class SavedModelConfig(PreTrainedConfig):
    """The base class of configs that name the model's pipeline when they are saved."""

    # Before 5.20, Transformers makes a config without arguments to find the defaults. These configs need arguments.
    has_no_defaults_at_init = True

    def __init__(self, **kwargs: Any) -> None:
        kwargs.pop("custom_pipelines", None)
        if not _IS_INSTALLED:
            # Transformers refuses the pipeline of a config unless its code is trusted.
            self.custom_pipelines = copy.deepcopy(PIPELINES)
        try:
            super().__init__(**kwargs)
        except ParavoxError:
            raise
        # Transformers raises errors of many classes where one of its own fields has another type than it expects.
        except Exception as error:
            raise ConfigError(f"the config cannot be used ({reason_of(error)}): correct it") from error

    def to_dict(self) -> dict[str, Any]:
        return super().to_dict() | {"custom_pipelines": copy.deepcopy(PIPELINES)}
