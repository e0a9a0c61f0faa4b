"""What the configs of models with an encoder share: how their outputs are calibrated after training."""

from typing import Any

from .calibration import parse_calibration
from .configuration_saved_model import SavedModelConfig
from .familiarity import parse_familiarity
from .tasks import parse_tasks


class ModelWithEncoderConfig(SavedModelConfig):
    """The base class of configs of models with an encoder, whose outputs can be calibrated after training.

    Args:
        calibration (`dict`, *optional*): by task, the `temperature` and, for intensities, the `offset` of
            [`~calibration.calibrated`].
        familiarity (`dict`, *optional*): the `directions` and the `false_alarm_rate` of a [`Familiarity`], whose
            weights are saved with the model.
        kwargs: of the base class.

    Raises:
        ConfigError: if one of them is of another form.
    """

    tasks: list[dict[str, Any]]

    def __init__(
        self, calibration: dict[str, Any] | None = None, familiarity: dict[str, Any] | None = None, **kwargs: Any
    ) -> None:
        self.calibration = parse_calibration(calibration, parse_tasks(self.tasks))
        self.familiarity = parse_familiarity(familiarity)
        super().__init__(**kwargs)
