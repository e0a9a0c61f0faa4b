"""What `train.py` leaves in its output folder, for the programs that compare several runs."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paravox.evaluation.predictions_file import SavedPredictions, read_predictions
from paravox.evaluation.score_names import SPLIT_TITLES
from paravox.modeling.configuration_burst2vec import Burst2VecConfig
from paravox.modeling.errors import CheckpointError
from paravox.modeling.tasks import Task, parse_tasks

# The folder of the stage that trains all but the encoder, and the name of that stage in tables.
FROZEN_HEAD = "frozen_head"
RESULTS = "results.json"
LOG = "trainer_state.json"


@dataclass(frozen=True)
class FinishedRun:
    """The output folder of a finished run, or the folder `frozen_head/` of its first stage.

    Args:
        folder (`Path`): the folder itself.

    Raises:
        CheckpointError: if the folder holds no `results.json`, which a run writes at its end.
    """

    folder: Path

    def __post_init__(self) -> None:
        if not is_finished(self.folder):
            raise CheckpointError(f"{self.folder} holds no finished run of train.py: give its output_dir")

    @property
    def config(self) -> Burst2VecConfig:
        """The config of the model that the run saved."""
        return Burst2VecConfig.from_pretrained(self._model)

    @property
    def tasks(self) -> list[Task]:
        # Read from the file, because the config may be that of another model than Burst2Vec.
        return parse_tasks(json.loads((self._model / "config.json").read_text())["tasks"])

    @property
    def _model(self) -> Path:
        return (self.folder.parent if self.folder.name == FROZEN_HEAD else self.folder) / "model"

    @property
    def results(self) -> dict[str, Any]:
        return json.loads((self.folder / RESULTS).read_text())

    @property
    def frozen_head(self) -> "FinishedRun | None":
        """The first stage of the run, if it had one."""
        folder = self.folder / FROZEN_HEAD
        return FinishedRun(folder) if is_finished(folder) else None

    @property
    def log(self) -> dict[str, Any] | None:
        """The state of the Trainer at the end: `log_history`, `global_step` and more. None if nothing was trained."""
        file = self.folder / LOG
        return json.loads(file.read_text()) if file.is_file() else None

    @property
    def selected_on_val(self) -> bool:
        """Whether a score of the validation split was tracked, to keep the best epoch or to stop early."""
        stages = [self, *filter(None, [self.frozen_head])]
        return any((stage.log or {}).get("best_metric") is not None for stage in stages)

    def predictions(self) -> dict[str, SavedPredictions]:
        """The predictions of each split, `val` or `test`; of the first stage, if the run had no other."""
        folder = self.folder / "predictions"
        if not folder.is_dir() and self.frozen_head is not None:
            return self.frozen_head.predictions()
        files = {title: folder / f"{title}.npz" for title in SPLIT_TITLES.values()}
        found = {title: read_predictions(file) for title, file in files.items() if file.is_file()}
        if not found:
            raise CheckpointError(f"{folder} holds no predictions: remove {self.folder} and run it again")
        return found


def is_finished(folder: Path) -> bool:
    """Whether a run in this folder came to its end."""
    return (folder / RESULTS).is_file()
