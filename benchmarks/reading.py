"""Rows reading and frozen_layers: what an epoch costs without a cache, with a cold and with a warm one.

    python benchmarks/reading.py --data_dir BURSTS --encoder WHISPER_BASE

- reading: all batches of an epoch, from the files to the encoder's input, without any model.
- frozen_layers: an epoch of training with frozen lower layers that run each time, against one on their stored states;
  the pass that stores them stands beside it.
"""

import argparse
import tempfile
import time
from pathlib import Path

import yaml
from timing import record

from paravox.corpora.audio_cache import AudioCache
from paravox.corpora.class_weights import without_balanced_weights
from paravox.corpora.registry import load_corpus
from paravox.modeling.audio import load_audio
from paravox.modeling.feature_extraction_burst2vec import Burst2VecFeatureExtractor
from paravox.modeling.modeling_burst2vec import Burst2VecForMultiTask
from paravox.modeling.tasks import parse_tasks
from paravox.recipes.burst2vec import train
from paravox.trainers.burst2vec_trainer import Burst2VecTrainer
from paravox.trainers.clip_pass import PassSettings
from paravox.trainers.lower_states import encode_lower_layers
from paravox.trainers.multi_task_arguments import MultiTaskTrainingArguments
from paravox.trainers.multi_task_dataset import MultiTaskDataset

CONFIG = Path(train.__file__).parent / "configs" / "real_bursts.yaml"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data_dir", required=True, help="a corpus with the labels of real_bursts.yaml")
    parser.add_argument("--encoder", required=True, help="folder or name of a Whisper")
    parser.add_argument("--clips", type=int, default=800, help="of Train, drawn at random (default %(default)s)")
    parser.add_argument("--trainable_encoder_layers", type=int, default=3, help="(default %(default)s)")
    arguments = parser.parse_args()
    tasks = parse_tasks(without_balanced_weights(yaml.safe_load(CONFIG.read_text())["tasks"]))
    clips = load_corpus("metadata_csv", arguments.data_dir, tasks)["train"].shuffle(seed=0)
    clips = clips.select(range(min(arguments.clips, len(clips))))
    extractor = Burst2VecFeatureExtractor.from_encoder(arguments.encoder)
    with tempfile.TemporaryDirectory() as folder:

        def make_trainer(load) -> Burst2VecTrainer:
            model = Burst2VecForMultiTask.from_encoder(arguments.encoder, tasks=tasks, layer_weights=True)
            args = MultiTaskTrainingArguments(
                output_dir=folder,
                use_cpu=True,
                disable_tqdm=True,
                num_train_epochs=1,
                per_device_train_batch_size=32,
                per_device_eval_batch_size=32,
                max_batch_seconds=96,
                save_strategy="no",
                trainable_encoder_layers=arguments.trainable_encoder_layers,
            )
            return Burst2VecTrainer(model, args, extractor, MultiTaskDataset(clips, tasks, load))

        cache = AudioCache(Path(folder) / "audio")
        measure_reading(make_trainer, cache)
        measure_frozen_layers(make_trainer, cache, Path(folder) / "states")


def measure_reading(make_trainer, cache: AudioCache) -> None:
    without = read_epoch(make_trainer(load_audio))
    cold, warm = (read_epoch(make_trainer(cache.load)) for _ in range(2))
    values = {"ratio": round(warm / without, 3), "ours": round(warm, 2), "alternative": round(without, 2)}
    record("reading", values | {"unit": "seconds an epoch", "cold_cache": round(cold, 2)})


def read_epoch(trainer: Burst2VecTrainer) -> float:
    loader = trainer.get_train_dataloader()
    start = time.perf_counter()
    for _ in loader:
        pass
    return time.perf_counter() - start


def measure_frozen_layers(make_trainer, cache: AudioCache, states_dir: Path) -> None:
    each_time, once = make_trainer(cache.load), make_trainer(cache.load)
    start = time.perf_counter()
    once.train_dataset = encode_lower_layers(
        once.model,
        once.train_dataset,
        once.processing_class,
        states_dir,
        settings=PassSettings.from_arguments(once.args),
    )
    storing = time.perf_counter() - start
    seconds = [train_epoch(trainer) for trainer in (each_time, once)]
    values = {"ratio": round(seconds[1] / seconds[0], 3), "ours": round(seconds[1], 2)}
    values |= {"alternative": round(seconds[0], 2), "unit": "seconds an epoch", "storing": round(storing, 2)}
    record("frozen_layers", values)


def train_epoch(trainer: Burst2VecTrainer) -> float:
    start = time.perf_counter()
    trainer.train()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
