"""A Trainer for models with several tasks: one-task batches, the loss of each term, each clip encoded once to evaluate."""

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader
from transformers import EarlyStoppingCallback, Trainer
from transformers.trainer_utils import EvalLoopOutput

from paravox.modeling.errors import ConfigError
from paravox.modeling.tasks import Task, parse_tasks

from .data_collator import MultiTaskCollator
from .multi_task_arguments import MultiTaskTrainingArguments
from .multi_task_dataset import MultiTaskDataset
from .sampler import EvaluationBatchSampler, OneTaskBatchSampler
from .scoring import metric_names, score_split


class MultiTaskTrainer(Trainer):
    """Trains a model whose config lists `tasks`, on batches of one task each.

    The model is called with a batch's inputs, its `task` and the `labels` of that task, and gives `loss` and
    `loss_terms`; without labels it gives `logits` and `predictions` for every task. A model with a method
    `task_loss(task, logits, labels)` says by it what a task's loss over a whole split is.

    What is logged: `loss/<task>/<term>`, the mean since the last log, for every term the model reports. `evaluate()`
    encodes each clip once for all its tasks and scores the whole split: `eval_<task>_<metric>`, `eval_<task>_loss`,
    `eval_loss` (the mean of the tasks') and, where there is one task of each kind, `eval_s_mtl`.

    Args:
        model ([`PreTrainedModel`]): as above.
        args ([`MultiTaskTrainingArguments`]).
        feature_extractor: turns clips into the model's inputs; saved with every checkpoint.
        train_dataset ([`MultiTaskDataset`], *optional*).
        eval_dataset ([`MultiTaskDataset`] or a `dict` of them, *optional*).
        kwargs: what else a `Trainer` takes.

    Raises:
        ConfigError: if a setting names a task or a metric that the model does not have.
    """

    # A batch's loss is a mean: micro-batches are averaged over an accumulation window.
    loss_is_scaled_for_ga = False

    def __init__(
        self,
        model: Any,
        args: MultiTaskTrainingArguments,
        feature_extractor: Any = None,
        train_dataset: MultiTaskDataset | None = None,
        eval_dataset: MultiTaskDataset | dict[str, MultiTaskDataset] | None = None,
        **kwargs,
    ) -> None:
        self.tasks = {task.name: task for task in parse_tasks(model.config.tasks)}
        check_task_names(self.tasks, args)
        check_metric_name(self.tasks, args, eval_dataset)
        if args.trainable_encoder_layers is not None:
            model.freeze_encoder(args.trainable_encoder_layers)
        self._term_sums: dict[str, torch.Tensor] = {}
        self._term_counts: dict[str, int] = defaultdict(int)
        super().__init__(
            model=model,
            args=args,
            train_dataset=train_dataset,
            eval_dataset=eval_dataset,
            data_collator=MultiTaskCollator(feature_extractor),
            processing_class=feature_extractor,
            **kwargs,
        )
        if args.early_stopping_patience is not None:
            self.add_callback(EarlyStoppingCallback(args.early_stopping_patience))

    def train_batch_sampler(self) -> OneTaskBatchSampler:
        """The sampler of training batches, before its batches are dealt to the processes."""
        args = self.args
        sizes = {task: args.per_device_train_batch_size for task in self.tasks} | (args.task_batch_sizes or {})
        return OneTaskBatchSampler(
            {task: self.train_dataset.labelled_clips(task) for task in self.tasks},
            self.train_dataset.seconds,
            sizes,
            task_batching=args.task_batching,
            length_buckets=args.length_buckets,
            max_batch_seconds=args.max_batch_seconds,
            processes=args.world_size,
            seed=args.data_seed if args.data_seed is not None else args.seed,
        )

    def get_train_dataloader(self) -> DataLoader:
        if self.train_dataset is None:
            raise ConfigError("training needs a train_dataset: give one to the trainer")
        return self._dataloader(self.train_dataset, self.train_batch_sampler())

    def get_eval_dataloader(self, eval_dataset: MultiTaskDataset | str | None = None) -> DataLoader:
        if isinstance(eval_dataset, str):
            eval_dataset = self.eval_dataset[eval_dataset]
        dataset = self.eval_dataset if eval_dataset is None else eval_dataset
        args = self.args
        # A batch size per process, so that the number of processes does not change what is padded with what.
        sampler = EvaluationBatchSampler(
            dataset.seconds, args.per_device_eval_batch_size, args.max_batch_seconds, processes=args.world_size
        )
        return self._dataloader(dataset, sampler)

    def get_test_dataloader(self, test_dataset: MultiTaskDataset) -> DataLoader:
        return self.get_eval_dataloader(test_dataset)

    def _dataloader(self, dataset: MultiTaskDataset, batch_sampler: torch.utils.data.Sampler) -> DataLoader:
        args = self.args
        loader = DataLoader(
            dataset,
            batch_sampler=batch_sampler,
            collate_fn=self.data_collator,
            num_workers=args.dataloader_num_workers,
            pin_memory=args.dataloader_pin_memory and args.device.type != "cpu",
            persistent_workers=args.dataloader_persistent_workers,
            prefetch_factor=args.dataloader_prefetch_factor,
        )
        return self.accelerator.prepare(loader)

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
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

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> torch.Tensor | tuple[torch.Tensor, Any]:
        output = model(**{name: value for name, value in inputs.items() if name != "index"})
        task = inputs["task"]
        if not torch.isfinite(output.loss):
            raise FloatingPointError(
                f"the loss of task {task!r} is {output.loss.item()} at step {self.state.global_step + 1}, clips "
                f"{inputs['index'].tolist()}: lower the learning rate, or look at these clips and their labels"
            )
        for term, value in output.loss_terms.items():
            name = f"loss/{task}/{term}"
            self._term_sums[name] = self._term_sums.get(name, 0) + value.detach()
            self._term_counts[name] += 1
        return (output.loss, output) if return_outputs else output.loss

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        if "loss" in logs and self._term_sums:
            for name, total in self._term_sums.items():
                mean = total / self._term_counts[name]
                logs[name] = self.accelerator.gather(mean.reshape(1)).mean().item()
            self._term_sums.clear()
            self._term_counts.clear()
        super().log(logs, start_time)

    def evaluation_loop(
        self,
        dataloader: DataLoader,
        description: str,
        prediction_loss_only: bool | None = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
    ) -> EvalLoopOutput:
        """Scores a split by the joint pass of every task; predictions come in the order of the dataset's rows."""
        dataset = dataloader.dataset
        outputs = self.run_clips(dataloader, lambda model, inputs: _flat_outputs(model(**inputs)))
        logits = {task: outputs[f"logits/{task}"] for task in self.tasks}
        predictions = {task: outputs[f"predictions/{task}"] for task in self.tasks}
        loss = getattr(self.accelerator.unwrap_model(self.model), "task_loss", None)
        scores = score_split(list(self.tasks.values()), predictions, dataset.labels, logits, loss)
        metrics = {f"{metric_key_prefix}_{name}": value for name, value in scores.items()}
        return EvalLoopOutput(
            predictions=predictions, label_ids=dataset.labels, metrics=metrics, num_samples=len(dataset)
        )

    def run_clips(
        self, dataloader: DataLoader, step: Callable[[Any, dict[str, Any]], dict[str, torch.Tensor]]
    ) -> dict[str, np.ndarray]:
        """Runs the model once over every clip, without gradient.

        Args:
            dataloader (`DataLoader`): from [`~MultiTaskTrainer.get_eval_dataloader`].
            step (`Callable`): from the model and a batch's inputs to named results, each `(batch, ...)`.

        Returns:
            `dict` of `np.ndarray`, each `(clips, ...)` in the order of the dataset's rows.
        """
        # Not wrapped for data parallelism: nothing is learned here, and gathering is done below.
        model = self.accelerator.unwrap_model(self.model).to(self.args.device)
        was_training = model.training
        model.eval()
        self.callback_handler.eval_dataloader = dataloader
        results: dict[str, np.ndarray] = {}
        for inputs in dataloader:
            inputs = self._prepare_inputs(inputs)
            index = inputs.pop("index")
            with torch.no_grad(), self.compute_loss_context_manager():
                outputs = step(model, inputs)
            index = self._gather_rows(index, padding=-1)
            rows = index >= 0
            for name, values in outputs.items():
                values = self._gather_rows(values.float(), padding=0)[rows].cpu().numpy()
                if name not in results:
                    results[name] = np.zeros((len(dataloader.dataset), *values.shape[1:]), np.float32)
                results[name][index[rows].cpu().numpy()] = values
            self.control = self.callback_handler.on_prediction_step(self.args, self.state, self.control)
        model.train(was_training)
        return results

    def _gather_rows(self, values: torch.Tensor, padding: int) -> torch.Tensor:
        values = self.accelerator.pad_across_processes(values, dim=0, pad_index=padding)
        return self.accelerator.gather(values)


def _flat_outputs(output: Any) -> dict[str, torch.Tensor]:
    return {
        f"{kind}/{task}": values for kind in ("logits", "predictions") for task, values in getattr(output, kind).items()
    }


def check_task_names(tasks: dict[str, Task], args: MultiTaskTrainingArguments) -> None:
    strange = [task for task in args.task_batch_sizes or {} if task not in tasks]
    if strange:
        raise ConfigError(f"task_batch_sizes names {strange[0]!r}: the tasks are {', '.join(tasks)}")


def check_metric_name(tasks: dict[str, Task], args: MultiTaskTrainingArguments, eval_dataset: Any) -> None:
    if args.metric_for_best_model is None:
        return
    names = metric_names(list(tasks.values()))
    if isinstance(eval_dataset, dict):
        names = [f"{split}_{name}" for split in eval_dataset for name in names]
    if args.metric_for_best_model.removeprefix("eval_") not in names:
        raise ConfigError(
            f"metric_for_best_model {args.metric_for_best_model!r} is never measured: use {', '.join(names)}"
        )
