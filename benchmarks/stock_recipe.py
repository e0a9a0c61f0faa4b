"""Training from files, end to end: the stock Trainer's audio-classification recipe and paravox, with the same encoder.

    python benchmarks/stock_recipe.py --data_dir BURSTS --encoder HL --device cuda --steps 60

Both decode real clips in as many workers, start from the same random weights of the encoder and compute in bfloat16
where `--dtype` says so. The stock recipe is Transformers' audio-classification example reduced to what it does:
`HubertForSequenceClassification`, its feature extractor in the dataset, random batches padded to their longest clip.
Paravox trains with what its documents recommend: batches of clips of about one length, padded to a few lengths, a
budget of audio and, with `--cache_dir`, decoded audio on disk. The first steps of each are not counted: workers start,
and a compiler compiles.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from datasets import Audio, Dataset
from training_steps import encoder_config
from transformers import (
    DataCollatorWithPadding,
    HubertForSequenceClassification,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    Wav2Vec2FeatureExtractor,
)

from paravox import (
    Burst2VecConfig,
    Burst2VecFeatureExtractor,
    Burst2VecForMultiTask,
    Burst2VecTrainer,
    MultiTaskTrainingArguments,
)
from paravox.corpora.audio_cache import AudioCache
from paravox.modeling.audio import load_audio
from paravox.modeling.tasks import parse_tasks
from paravox.trainers.devices import choose_device
from paravox.trainers.multi_task_dataset import MultiTaskDataset

RATE = 16_000
LABELS = [f"class_{number}" for number in range(10)]


def main(argv: list[str] | None = None) -> dict[str, Any]:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--data_dir", type=Path, required=True, help="Folder with recordings, at any depth.")
    parser.add_argument("--encoder", default="HL", help="HB, HL or tiny.")
    parser.add_argument("--device", help="By default the accelerator where there is one.")
    parser.add_argument("--dtype", default="bfloat16", choices=["float32", "bfloat16"])
    parser.add_argument("--compile", action="store_true", help="Train paravox with torch_compile.")
    parser.add_argument("--steps", type=int, default=60, help="Steps of the stock recipe; paravox gets as many clips.")
    parser.add_argument("--skip", type=int, default=10, help="Steps at the start that are not counted.")
    parser.add_argument("--batch_size", type=int, default=32, help="Clips of a batch.")
    parser.add_argument("--max_batch_seconds", type=float, default=192.0, help="Budget of audio of a batch of paravox.")
    parser.add_argument("--cache_dir", type=Path, help="Folder for decoded audio of paravox, filled in an earlier run.")
    parser.add_argument("--num_workers", type=int, default=0, help="Processes that read clips, on both sides.")
    arguments = parser.parse_args(argv)
    files = sorted(path for path in arguments.data_dir.rglob("*") if path.suffix in (".wav", ".flac", ".ogg"))
    options = {name: getattr(arguments, name) for name in ("steps", "skip", "batch_size", "num_workers")}
    options |= {"device": choose_device(arguments.device), "bf16": arguments.dtype == "bfloat16"}
    config = encoder_config(arguments.encoder)
    stock = stock_clips_per_second(config, files, **options)
    ours = paravox_clips_per_second(
        config,
        files,
        **options,
        max_batch_seconds=arguments.max_batch_seconds,
        compiled=arguments.compile,
        cache_dir=arguments.cache_dir,
    )
    measured = {"stock": stock, "paravox": ours, "ratio": round(ours / stock, 3), "unit": "clips per second"}
    print(json.dumps(measured))
    return measured


class Clock(TrainerCallback):
    """Counts the clips of the steps after the first ones, and the seconds that they take.

    Args:
        clips_of_steps (sequence of `int`): how many clips each step learns from.
        skip (`int`): the number of steps that are not counted.
        device (`torch.device`): whose work a time includes.
    """

    def __init__(self, clips_of_steps: Sequence[int], skip: int, device: torch.device) -> None:
        self.clips_of_steps = clips_of_steps
        self.skip = skip
        self.device = device
        self.started = self.ended = 0.0
        self.steps = 0

    def on_step_end(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        self.steps = state.global_step
        if self.steps == self.skip:
            self.started = self._now()
        elif self.steps == state.max_steps:
            self.ended = self._now()

    def clips_per_second(self) -> float:
        """The rate of the steps that are counted."""
        return round(sum(self.clips_of_steps[self.skip : self.steps]) / (self.ended - self.started), 2)

    def _now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()


class StockClips(torch.utils.data.Dataset):
    """Clips as the stock example reads them: decoded and normalised one by one, where a worker asks for them."""

    def __init__(self, files: Sequence[Path], extractor: Wav2Vec2FeatureExtractor, count: int) -> None:
        self.files = files
        self.extractor = extractor
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, row: int) -> dict[str, Any]:
        samples = load_audio(str(self.files[row % len(self.files)]), RATE)
        values = self.extractor(samples, sampling_rate=RATE).input_values[0]
        return {"input_values": values, "labels": row % len(LABELS)}


def stock_clips_per_second(
    config: Any,
    files: Sequence[Path],
    device: torch.device,
    bf16: bool,
    steps: int,
    skip: int,
    batch_size: int,
    num_workers: int,
) -> float:
    """The clips per second of the stock recipe.

    Args:
        config ([`HubertConfig`]): of the encoder, whose weights are random.
        files (list of `Path`): recordings, which are repeated where there are too few.
        device (`torch.device`): where it trains.
        bf16 (`bool`): whether it computes in bfloat16.
        steps (`int`): how many it takes.
        skip (`int`): how many of these are not counted, at least 1.
        batch_size (`int`): the number of clips of a step.
        num_workers (`int`): the processes that read clips.
    """
    torch.manual_seed(0)
    config.num_labels = len(LABELS)
    extractor = Wav2Vec2FeatureExtractor(do_normalize=True, return_attention_mask=True)
    args = TrainingArguments(
        max_steps=steps, per_device_train_batch_size=batch_size, **_shared(device, bf16, num_workers)
    )
    clock = Clock([batch_size] * steps, skip, device)
    trainer = Trainer(
        HubertForSequenceClassification(config),
        args,
        DataCollatorWithPadding(extractor),
        StockClips(files, extractor, steps * batch_size),
        callbacks=[clock],
    )
    trainer.train()
    return clock.clips_per_second()


def paravox_clips_per_second(
    config: Any,
    files: Sequence[Path],
    device: torch.device,
    bf16: bool,
    steps: int,
    skip: int,
    batch_size: int,
    num_workers: int,
    max_batch_seconds: float | None = None,
    compiled: bool = False,
    cache_dir: Path | None = None,
) -> float:
    """The clips per second of Burst2Vec in one epoch over as many clips as the stock recipe learns from.

    Args:
        config ([`HubertConfig`]): as above, like `files`, `device`, `bf16`, `steps`, `skip` and `num_workers`.
        batch_size (`int`): the largest number of clips of a step.
        max_batch_seconds (`float`, *optional*): the most seconds of audio of a step.
        compiled (`bool`, *optional*, defaults to `False`): train with `torch_compile`.
        cache_dir (`Path`, *optional*): a folder for decoded audio. By default nothing is cached.
    """
    torch.manual_seed(0)
    clips = steps * batch_size
    tasks = parse_tasks([{"name": "emotion", "kind": "classes", "labels": LABELS}])
    columns = {
        "audio": [str(files[row % len(files)]) for row in range(clips)],
        "emotion": [LABELS[row % len(LABELS)] for row in range(clips)],
    }
    corpus = Dataset.from_dict(columns).cast_column("audio", Audio(decode=False))
    cache = AudioCache(cache_dir, 20.0, RATE) if cache_dir is not None else None
    dataset = MultiTaskDataset(corpus, tasks, cache.load if cache else None)
    args = MultiTaskTrainingArguments(
        num_train_epochs=1,
        per_device_train_batch_size=batch_size,
        max_batch_seconds=max_batch_seconds,
        pad_to_buckets=True,
        torch_compile=compiled,
        **_shared(device, bf16, num_workers),
    )
    extractor = Burst2VecFeatureExtractor.for_config(config)
    trainer = Burst2VecTrainer(
        Burst2VecForMultiTask(Burst2VecConfig(encoder=config, tasks=tasks)), args, extractor, dataset
    )
    counts = [sum(draw.counted for draw in batch) for batch in trainer.train_batch_sampler()]
    clock = Clock(counts, skip, device)
    trainer.add_callback(clock)
    trainer.train()
    return clock.clips_per_second()


def _shared(device: torch.device, bf16: bool, num_workers: int) -> dict[str, Any]:
    return {
        "output_dir": tempfile.mkdtemp(),
        "use_cpu": device.type == "cpu",
        "bf16": bf16,
        "dataloader_num_workers": num_workers,
        "save_strategy": "no",
        "logging_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
    }


if __name__ == "__main__":
    main()
