"""What a person sees of a run: one line of progress, one line per evaluation. Everything that is logged goes to a
file."""

import json
import sys
from pathlib import Path
from typing import Any

from tqdm import tqdm
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from .files import write_text

LOG_FILE = "log.jsonl"
# In a file or a pipe, each renewal of the line of progress is a line of its own.
SECONDS_BETWEEN_LINES = 30.0
_TIMINGS = ("runtime", "per_second", "preparation_time")


class ProgressLine(TrainerCallback):
    """Shows one line of progress with epoch, loss and time left, and prints one line per evaluation.

    All that is logged, which for several tasks is dozens of terms, is appended to `output_dir/log.jsonl`, one JSON
    object per line. A run that goes on from a checkpoint drops what was logged after it.

    Args:
        show_bar (`bool`, *optional*, defaults to `True`): whether to show the line of progress.
    """

    def __init__(self, show_bar: bool = True) -> None:
        self.show_bar = show_bar
        self._bar: tqdm | None = None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if not state.is_world_process_zero:
            return
        _drop_later_entries(Path(args.output_dir) / LOG_FILE, state.global_step)
        pause = 0.5 if sys.stderr.isatty() else SECONDS_BETWEEN_LINES
        self._bar = tqdm(
            total=state.max_steps,
            initial=state.global_step,
            desc="training",
            unit="step",
            mininterval=pause,
            dynamic_ncols=True,
            disable=not self.show_bar,
        )

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if self._bar is not None:
            self._bar.update(state.global_step - self._bar.n)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        if not state.is_world_process_zero or not logs:
            return
        if self._bar is not None and "loss" in logs:
            self._bar.set_postfix_str(f"epoch {state.epoch:.2f}, loss {float(logs['loss']):.3f}", refresh=False)
        folder = Path(args.output_dir)
        folder.mkdir(parents=True, exist_ok=True)
        with open(folder / LOG_FILE, "a") as file:
            file.write(json.dumps({"step": state.global_step, **logs}, default=float) + "\n")

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        metrics: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        if state.is_world_process_zero and metrics and self._bar is not None:
            with self._bar.external_write_mode():
                print(evaluation_line(metrics, state.epoch), flush=True)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def evaluation_line(metrics: dict[str, float], epoch: float | None) -> str:
    """The scores of an evaluation as one line: the loss first, the losses of single tasks left out.

    Args:
        metrics (`dict`): names that begin with `eval_`.
        epoch (`float`, *optional*): how far the run is.
    """
    named = {name.removeprefix("eval_"): value for name, value in metrics.items()}
    shown = {"loss": named["loss"]} if "loss" in named else {}
    shown |= {
        name: value
        for name, value in named.items()
        if name != "epoch" and not name.endswith(("loss", *_TIMINGS)) and isinstance(value, (int, float))
    }
    where = "" if epoch is None else f"epoch {epoch:.2f}: "
    return where + ", ".join(f"{_title(name)} {value:.3f}" for name, value in shown.items())


def _title(name: str) -> str:
    task, _, metric = name.rpartition("_")
    return "S_MTL" if name.endswith("s_mtl") else f"{task} {metric.upper()}" if task else name


def _drop_later_entries(file: Path, step: int) -> None:
    """Leaves in a log only what was logged up to a step."""
    if not file.is_file():
        return
    kept = []
    for line in file.read_text().splitlines():
        try:
            earlier = json.loads(line)["step"] <= step
        except (ValueError, KeyError):  # cut off when the run was killed
            earlier = False
        if earlier and step:
            kept.append(line)
    write_text(file, "".join(f"{line}\n" for line in kept))
