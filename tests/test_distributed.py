"""Two real processes: the same task on each at every step, every clip counted once, evaluation without duplicates."""

import json
import os
import subprocess
import sys
from collections import Counter

import numpy as np
import soundfile

SCRIPT = """
import json, sys
import numpy as np
import torch
from datasets import Dataset
from transformers import Wav2Vec2Config
from paravox import Burst2VecConfig, Burst2VecFeatureExtractor, Burst2VecForMultiTask, Burst2VecTrainer
from paravox import MultiTaskTrainingArguments
from paravox.modeling.tasks import parse_tasks
from paravox.trainers.multi_task_dataset import MultiTaskDataset

folder = sys.argv[1]
torch.manual_seed(0)
tasks = [{"name": "emotion", "kind": "intensities", "labels": ["awe", "fear"]}]
tasks += [{"name": "age", "kind": "scalar", "range": [20, 40]}, {"name": "country", "kind": "classes", "labels": ["a", "b"]}]
encoder = Wav2Vec2Config(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, conv_dim=(8,) * 7,
                         num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=2, feat_extract_norm="layer",
                         mask_time_prob=0.0)
model = Burst2VecForMultiTask(Burst2VecConfig(encoder=encoder, tasks=tasks, projection_size=8, feature_size=8))
clips = 13
corpus = Dataset.from_dict({"path": [f"{folder}/{n}.wav" for n in range(clips)], "awe": [n / clips for n in range(clips)],
                            "fear": [1 - n / clips for n in range(clips)], "age": [20.0 + n for n in range(clips)],
                            "country": ["ab"[n % 2] for n in range(clips)]})
dataset = MultiTaskDataset(corpus, parse_tasks(tasks))
args = MultiTaskTrainingArguments(output_dir=f"{folder}/run", use_cpu=True, num_train_epochs=1, save_strategy="no",
                                  per_device_train_batch_size=2, per_device_eval_batch_size=3, disable_tqdm=True, seed=1,
                                  learning_rate=0.0)
trainer = Burst2VecTrainer(model, args, Burst2VecFeatureExtractor.for_config(encoder), dataset, dataset)
steps, compute_loss = [], trainer.compute_loss

def spy(model, inputs, **options):
    labels = inputs["labels"][inputs["task"]]
    known = (labels != -100) if labels.dtype == torch.int64 else ~torch.isnan(labels).reshape(len(labels), -1).any(1)
    steps.append([inputs["task"], inputs["index"][known].tolist()])
    return compute_loss(model, inputs, **options)

trainer.compute_loss = spy
trainer.train()
scores = trainer.evaluate()
scores = {name: value for name, value in scores.items() if "second" not in name and "runtime" not in name}
with open(f"{folder}/rank{args.process_index}of{args.world_size}.json", "w") as file:
    json.dump({"steps": steps, "scores": scores}, file)
"""


def launch(folder, processes):
    script = folder / "script.py"
    script.write_text(SCRIPT)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
    command = command if processes > 1 else [sys.executable]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [*command, str(script), str(folder)], env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads((folder / f"rank{rank}of{processes}.json").read_text()) for rank in range(processes)]


def test_two_processes_hold_one_task_and_score_as_one(tmp_path):
    generator = np.random.default_rng(0)
    for number in range(13):
        soundfile.write(tmp_path / f"{number}.wav", generator.normal(scale=0.1, size=2000 + 300 * number), 16_000)
    first, second = launch(tmp_path, processes=2)
    (alone,) = launch(tmp_path, processes=1)
    assert [task for task, _ in first["steps"]] == [task for task, _ in second["steps"]]
    counted = Counter((task, clip) for rank in (first, second) for task, clips in rank["steps"] for clip in clips)
    assert counted == Counter((task, clip) for task in ("emotion", "age", "country") for clip in range(13))
    assert first["scores"] == second["scores"]
    for name, value in alone["scores"].items():
        assert abs(first["scores"][name] - value) < 1e-4, name
