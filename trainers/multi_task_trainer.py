"""A Trainer for models with several tasks: one-task batches, logs of each term of the loss, and scores per task."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from inspect import signature
from typing import Any

import numpy as np
import torch
from accelerate.utils import DynamoBackend
from torch.utils.data import DataLoader
from transformers import EarlyStoppingCallback, PrinterCallback, ProgressCallback
from transformers.trainer_utils import EvalLoopOutput, IntervalStrategy

from paravox.modeling.errors import ConfigError, ParavoxError, reason_of
from paravox.modeling.losses import fully_known
from paravox.modeling.tasks import Task, parse_tasks

from .clip_pass import PassSettings, Step, in_row_order, own_generator, run_batches
from .clip_sources import PooledStates
from .compiling import compile_layers
from .data_collator import MultiTaskCollator
from .finite_losses import FiniteLosses
from .gathering import gather_batch
from .multi_task_arguments import MultiTaskTrainingArguments
from .multi_task_dataset import MultiTaskDataset
from .progress import ProgressLine
from .publishing import PublishingTrainer
from .sampler import AllTasksBatchSampler, EvaluationBatchSampler, OneTaskBatchSampler
from .scoring import metric_names, score_split
from .sorted_arguments import refuse_hooks_without_effect


class MultiTaskTrainer(PublishingTrainer):
    """Trains a model whose config lists `tasks`, on batches of one task each.

    In training, the model is called with the inputs of a batch, its `task` and the `labels` of that task, and returns
    `loss` and `loss_terms`. Without labels it returns `logits` and `predictions` for every task. If a model has a
    method `task_loss(task, logits, labels)`, it computes the loss of a task over a whole split.

    The trainer logs `loss/<task>/<term>`, the mean since the last log, for every term that the model reports.
    `evaluate()` encodes each clip once for all its tasks and scores the whole split: `eval_<task>_<metric>`,
    `eval_<task>_loss`, `eval_loss` (the mean of the tasks' losses) and, where there is exactly one task of each kind,
    `eval_s_mtl`.

    Args:
        model ([`PreTrainedModel`], *optional*): as described above. It may be left out if `model_init` is given, a
            function that makes one, as for `hyperparameter_search`.
        args ([`MultiTaskTrainingArguments`]): the settings of the run.
        feature_extractor: turns clips into the model's inputs, and is saved with every checkpoint.
        train_dataset ([`MultiTaskDataset`], *optional*): the clips to train on.
        eval_dataset ([`MultiTaskDataset`] or a `dict` of them, *optional*): the clips to evaluate on.
        kwargs: further arguments of `Trainer`.

    Raises:
        ConfigError: if a setting names a task or a metric that the model does not have, if an argument would have no
            effect, if a dataset is none of ours, or if this process sees several GPUs.
    """

    args: MultiTaskTrainingArguments
    # The loss of a batch is a mean, so the micro-batches of an accumulation window are averaged.
    loss_is_scaled_for_ga = False

    def __init__(
        self,
        model: Any = None,
        args: MultiTaskTrainingArguments | None = None,
        feature_extractor: Any = None,
        train_dataset: MultiTaskDataset | None = None,
        eval_dataset: MultiTaskDataset | dict[str, MultiTaskDataset] | None = None,
        **kwargs: Any,
    ) -> None:
        refuse_hooks_without_effect(kwargs)
        check_dataset("train_dataset", train_dataset)
        for dataset in eval_dataset.values() if isinstance(eval_dataset, dict) else [eval_dataset]:
            check_dataset("eval_dataset", dataset)
        args = MultiTaskTrainingArguments() if args is None else args
        self.tasks = {task.name: task for task in parse_tasks(_config_of(model, kwargs.get("model_init")).tasks)}
        check_devices(args)
        check_task_names(self.tasks, args)
        check_metric_name(list(self.tasks.values()), args, eval_dataset)
        if model is not None:
            prepare_encoder(model, args)
        self._sums: dict[str, torch.Tensor] = {}
        self._counts: dict[str, int] = defaultdict(int)
        self._finite_losses = FiniteLosses()
        self._sampler: OneTaskBatchSampler | None = None
        given = {"train_dataset": train_dataset, "eval_dataset": eval_dataset, "processing_class": feature_extractor}
        with _one_sentence("the Trainer does not take these arguments"):
            super().__init__(model=model, args=args, **given, **kwargs)
        if args.torch_compile:
            # The layers are compiled already. Accelerate would compile the whole model, and for each task anew.
            self.accelerator.state.dynamo_plugin.backend = DynamoBackend.NO
        # The Trainer's own show every log entry as a dictionary, between broken lines of progress.
        self.remove_callback(ProgressCallback)
        self.remove_callback(PrinterCallback)
        self.add_callback(ProgressLine(show_bar=not args.disable_tqdm))
        if args.early_stopping_patience is not None:
            self.add_callback(EarlyStopping(args.early_stopping_patience, args.early_stopping_threshold))

    def call_model_init(self, trial: Any = None) -> Any:
        """A new model for a run or a trial, with the layers frozen that the arguments name."""
        model = super().call_model_init(trial)
        prepare_encoder(model, self.args)
        return model

    def train_batch_sampler(self) -> OneTaskBatchSampler:
        """The sampler of training batches, before its batches are distributed to the processes."""
        args, dataset = self.args, self.train_dataset
        settings = {
            "length_buckets": args.length_buckets,
            "max_batch_seconds": args.max_batch_seconds,
            "processes": args.world_size,
            "seed": args.data_seed if args.data_seed is not None else args.seed,
            "pad_to_buckets": args.repeats_shapes,
        }
        clips = {task: dataset.labelled_clips(task) for task in self.tasks}
        if args.task_batching == "all_tasks":
            labelled = np.unique(np.concatenate(list(clips.values())))
            return AllTasksBatchSampler(labelled, dataset.seconds, self._train_batch_size, **settings)
        given: Any = args.task_batch_sizes or {}
        # With auto_find_batch_size, the Trainer lowers the size after each attempt that did not fit into the memory.
        share = self._train_batch_size / args.per_device_train_batch_size
        sizes = {task: self._train_batch_size for task in self.tasks}
        sizes |= {task: max(1, int(size * share)) for task, size in given.items()}
        return OneTaskBatchSampler(clips, dataset.seconds, sizes, task_batching=args.task_batching, **settings)

    def get_train_dataloader(self) -> DataLoader:
        if self.train_dataset is None:
            raise ConfigError("training needs a train_dataset: give one to the trainer")
        self._sampler = self.train_batch_sampler()
        return self._dataloader(self.train_dataset, self._sampler)

    def _run_epoch(self, *, epoch: int, **settings: Any) -> None:
        # When it resumes from the last checkpoint of a run, the Trainer would take one more step.
        over = self.state.global_step >= self.state.max_steps or self._lost_patience()
        if settings["resume_from_checkpoint"] is not None and over:
            self.control.should_training_stop = True
            return
        # When several processes resume within an epoch, the Trainer does not reach the sampler through its two
        # wrappers.
        self._sampler.set_epoch(epoch)
        super()._run_epoch(epoch=epoch, **settings)

    def _save_checkpoint(self, *arguments: Any, **options: Any) -> None:
        self._finite_losses.check()
        super()._save_checkpoint(*arguments, **options)

    def _lost_patience(self) -> bool:
        return any(
            callback.early_stopping_patience_counter >= callback.early_stopping_patience
            for callback in self.callback_handler.callbacks
            if isinstance(callback, EarlyStoppingCallback)
        )

    def _save_rng_state(self, output_dir: str) -> None:
        super()._save_rng_state(output_dir)
        # The file that is written next marks the checkpoint as complete, so every process must have saved its state.
        self.accelerator.wait_for_everyone()

    def get_eval_dataloader(self, eval_dataset: MultiTaskDataset | str | None = None) -> DataLoader:
        dataset: Any = self.eval_dataset if eval_dataset is None else eval_dataset
        if isinstance(dataset, str):
            dataset = self.eval_dataset[dataset]
        args = self.args
        # Batches do not depend on the number of processes, so that the padding of a clip does not either.
        sampler = EvaluationBatchSampler(
            dataset.seconds, args.per_device_eval_batch_size, args.max_batch_seconds, processes=args.world_size
        )
        return self._dataloader(dataset, sampler)

    def get_test_dataloader(self, test_dataset: MultiTaskDataset) -> DataLoader:
        return self.get_eval_dataloader(test_dataset)

    def _dataloader(self, dataset: MultiTaskDataset, batch_sampler: torch.utils.data.Sampler) -> DataLoader:
        args = self.args
        # Vectors lie in memory: processes that read them would only cost the time of their start.
        workers = 0 if isinstance(dataset.source, PooledStates) else args.dataloader_num_workers
        loader = DataLoader(
            dataset,
            batch_sampler=batch_sampler,
            collate_fn=MultiTaskCollator(dataset.source, self.processing_class),
            num_workers=workers,
            pin_memory=args.dataloader_pin_memory and args.device.type != "cpu",
            persistent_workers=args.dataloader_persistent_workers and workers > 0,
            prefetch_factor=args.dataloader_prefetch_factor if workers else None,
            # Older versions of Transformers do not have these two.
            multiprocessing_context=getattr(args, "dataloader_multiprocessing_context", None) if workers else None,
            in_order=getattr(args, "dataloader_in_order", True),
            generator=own_generator(),
        )
        return self.accelerator.prepare(loader)

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        with _one_sentence("no optimizer can be made of these arguments"):
            optimizer = super().create_optimizer(model)
        if self.args.encoder_learning_rate is not None:
            encoder = {id(parameter) for parameter in self.model.encoder.parameters()}
            for group in list(optimizer.param_groups):
                ours = [parameter for parameter in group["params"] if id(parameter) in encoder]
                if ours:
                    group["params"] = [parameter for parameter in group["params"] if id(parameter) not in encoder]
                    settings = {key: value for key, value in group.items() if key not in ("params", "lr")}
                    optimizer.add_param_group({"params": ours, "lr": self.args.encoder_learning_rate, **settings})
        return optimizer

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        with _one_sentence("no schedule of the learning rate can be made of these arguments"):
            return super().create_scheduler(num_training_steps, optimizer)

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> torch.Tensor | tuple[torch.Tensor, Any]:
        several = torch.distributed.is_initialized() and self.args.world_size > 1
        options = {"gather": gather_batch} if several else {}
        output = model(**{name: value for name, value in inputs.items() if name != "index"}, **options)
        self._finite_losses.add(output.loss, self.state.global_step + 1, inputs)
        for name, value in self.logged_values(output, inputs.get("task")).items():
            self._sums[name] = self._sums.get(name, 0) + value.detach()
            self._counts[name] += 1
        return (output.loss, output) if return_outputs else output.loss

    def logged_values(self, output: Any, task: str | None) -> dict[str, torch.Tensor]:
        """The values of a training batch that are logged, as means since the last log: `loss/<task>/<term>`.

        Args:
            output: of the model.
            task (`str`, *optional*): the task of the batch; None for a batch of all tasks.
        """
        prefix = f"loss/{task}" if task is not None else "loss"
        return {f"{prefix}/{term}": value for term, value in output.loss_terms.items()}

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        # The Trainer also logs at the end of a run, after the last step.
        self._finite_losses.check()
        if "loss" in logs and self._sums:
            for name, total in self._sums.items():
                mean = total / self._counts[name]
                logs[name] = self.accelerator.gather(mean.reshape(1)).mean().item()
            self._sums.clear()
            self._counts.clear()
        super().log(logs, start_time)

    def evaluation_loop(
        self,
        dataloader: DataLoader,
        description: str,
        prediction_loss_only: bool | None = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
    ) -> EvalLoopOutput:
        """Scores the predictions of a split, which are returned in the order of the dataset's rows."""
        dataset = dataloader.dataset
        outputs = self.run_clips(dataloader, lambda model, inputs: _flat_outputs(model(**inputs)))
        logits = {task: outputs[f"logits/{task}"] for task in self.tasks}
        predictions = {task: outputs[f"predictions/{task}"] for task in self.tasks}
        loss = getattr(self.accelerator.unwrap_model(self.model), "task_loss", None)
        scores = score_split(list(self.tasks.values()), predictions, dataset.labels, logits, loss)
        metrics = {f"{metric_key_prefix}_{name}": value for name, value in scores.items()}
        named: Any = predictions  # by task, where the Trainer's own loop has one array
        return EvalLoopOutput(predictions=named, label_ids=dataset.labels, metrics=metrics, num_samples=len(dataset))

    def run_clips(self, dataloader: DataLoader, step: Step) -> dict[str, np.ndarray]:
        """Runs the model once over every clip, on all processes of the run.

        Args:
            dataloader (`DataLoader`): from [`~MultiTaskTrainer.get_eval_dataloader`].
            step ([`Step`]): gets the model and the inputs of a batch.

        Returns:
            `dict` of `np.ndarray`, each `(clips, ...)` in the order of the dataset's rows.
        """
        settings = PassSettings.from_arguments(self.args)
        # The model without its wrapper for data parallelism: nothing is learned here, and results are gathered per
        # batch.
        model = self.accelerator.unwrap_model(self.model)
        self.callback_handler.eval_dataloader = dataloader
        batches = run_batches(model, dataloader, step, settings.device, settings.dtype, self._gather_rows)
        # Evaluation has other shapes than training, and one pass does not repay graphs for them.
        with torch.compiler.set_stance("force_eager"):
            return in_row_order(self._with_progress(batches), len(dataloader.dataset))

    def _with_progress(self, batches: Iterator[Any]) -> Iterator[Any]:
        for batch in batches:
            yield batch
            self.control = self.callback_handler.on_prediction_step(self.args, self.state, self.control)

    def _gather_rows(self, values: torch.Tensor, padding: int) -> torch.Tensor:
        values = self.accelerator.pad_across_processes(values, dim=0, pad_index=padding)
        return self.accelerator.gather(values)


class EarlyStopping(EarlyStoppingCallback):
    """Early stopping that resumes with the counter of the checkpoint and the patience of the arguments.

    A score counts as better if its gain over the last one that counted exceeds the threshold. So several small gains
    count together, where the stock callback compares with the best score and would count none of them.
    """

    def __init__(self, early_stopping_patience: int = 1, early_stopping_threshold: float = 0.0) -> None:
        super().__init__(early_stopping_patience, early_stopping_threshold)
        self.last_counted: float | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        super().on_train_begin(args, state, control, **kwargs)
        self.early_stopping_patience = args.early_stopping_patience
        self.early_stopping_threshold = args.early_stopping_threshold

    def check_metric_value(self, args: Any, state: Any, control: Any, metric_value: float) -> None:
        # Checkpoints of paravox before version 0.2 hold none.
        last = state.best_metric if self.last_counted is None else self.last_counted
        gain = None if last is None else (metric_value - last) * (1 if args.greater_is_better else -1)
        if gain is None or gain > self.early_stopping_threshold:
            self.early_stopping_patience_counter = 0
            self.last_counted = metric_value
        else:
            self.early_stopping_patience_counter += 1

    def state(self) -> dict[str, Any]:
        state = super().state()
        state["attributes"]["last_counted"] = self.last_counted
        return state


def _flat_outputs(output: Any) -> dict[str, torch.Tensor]:
    return {
        f"{kind}/{task}": values for kind in ("logits", "predictions") for task, values in getattr(output, kind).items()
    }


def _config_of(model: Any, model_init: Callable[..., Any] | None) -> Any:
    """The config of the model, or of what `model_init` makes.

    Raises:
        ConfigError: if neither is given.
    """
    if model is None and model_init is None:
        raise ConfigError("the trainer has no model: give model, or model_init, a function that makes one")
    if model is None:
        # With one argument, it takes the trial of a search, and None where there is no search.
        model = model_init(*[None] * len(signature(model_init).parameters))
    return model.config


@contextmanager
def _one_sentence(what: str) -> Iterator[None]:
    """Turns what the Trainer says of arguments, in errors of many classes, into a [`ConfigError`]."""
    try:
        yield
    except ParavoxError:
        raise
    except Exception as error:
        raise ConfigError(f"{what} ({reason_of(error)}): correct them") from error


def check_dataset(name: str, dataset: Any) -> None:
    """Raises [`ConfigError`] if a dataset does not know the lengths and labels of its clips."""
    if dataset is not None and not isinstance(dataset, MultiTaskDataset):
        raise ConfigError(
            f"{name} is a {type(dataset).__name__}: give a MultiTaskDataset, which is made of a datasets.Dataset; for "
            "a part of a corpus, select its rows before"
        )


def prepare_encoder(model: Any, args: MultiTaskTrainingArguments) -> None:
    """Freezes and compiles the layers of a model's encoder, as the arguments say."""
    if args.trainable_encoder_layers is not None:
        model.freeze_encoder(args.trainable_encoder_layers)
    if args.torch_compile:
        compile_layers(model, args.torch_compile_backend, args.torch_compile_mode)


def check_devices(args: MultiTaskTrainingArguments) -> None:
    """Raises [`ConfigError`] if the Trainer would split each batch over several GPUs within one process.

    It would average the losses of the parts, which is not the loss of the batch, because CCC is not a mean over clips.
    """
    if args.n_gpu > 1:
        raise ConfigError(
            f"this process sees {args.n_gpu} GPUs: start one process for each with accelerate launch, or show it only "
            "one with CUDA_VISIBLE_DEVICES=0"
        )


def check_task_names(tasks: dict[str, Task], args: MultiTaskTrainingArguments) -> None:
    """Raises [`ConfigError`] if `task_batch_sizes` names a task that the model does not have."""
    unknown = [task for task in args.task_batch_sizes or {} if task not in tasks]
    if unknown:
        raise ConfigError(f"task_batch_sizes names {unknown[0]!r}: the tasks are {', '.join(tasks)}")


def check_metric_name(tasks: Sequence[Task], args: MultiTaskTrainingArguments, eval_dataset: Any) -> None:
    """Raises [`ConfigError`] if `metric_for_best_model` is not one of the scores that an evaluation gives.

    Args:
        tasks (sequence of [`Task`]): of the model.
        args ([`MultiTaskTrainingArguments`]): of the run.
        eval_dataset ([`MultiTaskDataset`] or a `dict` of them, *optional*): the clips to evaluate on. A task without
            any label among them has no score.
    """
    if args.metric_for_best_model is None:
        return
    wanted = args.metric_for_best_model.removeprefix("eval_")
    datasets = eval_dataset if isinstance(eval_dataset, dict) else {"": eval_dataset}
    known: list[str] = []
    measured: list[str] = []
    for split, dataset in datasets.items():
        prefix = f"{split}_" if split else ""
        known += [prefix + name for name in metric_names(list(tasks))]
        labels = getattr(dataset, "labels", None)
        labelled = tasks if labels is None else [task for task in tasks if fully_known(labels[task.name]).any()]
        names = metric_names(list(labelled)) if labelled else []
        measured += [prefix + name for name in names if name != "s_mtl" or len(labelled) == len(tasks)]
    if wanted not in known:
        raise ConfigError(
            f"metric_for_best_model {args.metric_for_best_model!r} is never measured: use {', '.join(known)}"
        )
    if wanted not in measured and args.eval_strategy != IntervalStrategy.NO:
        others = f"use {', '.join(measured)}, or add" if measured else "add"
        raise ConfigError(
            f"metric_for_best_model {args.metric_for_best_model!r} cannot be measured, because the clips to evaluate "
            f"on lack the labels: {others} labels"
        )
