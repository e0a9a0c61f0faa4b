"""Two real processes equal one with twice the batch: what is drawn, losses, gradients, scores."""

import json
import os
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
import soundfile

pytestmark = pytest.mark.slow  # two processes take most of a minute to start and to run

TASKS = ("emotion", "age", "country")
SCRIPT = """
import json, os, sys
import numpy as np
import torch
from datasets import Dataset
from transformers import TrainerCallback, Wav2Vec2Config
from paravox import Burst2VecConfig, Burst2VecFeatureExtractor, Burst2VecForMultiTask, Burst2VecTrainer
from paravox import MultiTaskTrainingArguments
from paravox.modeling.tasks import parse_tasks
from paravox.trainers.multi_task_dataset import MultiTaskDataset

folder = sys.argv[1]
tasks = [{"name": "emotion", "kind": "intensities", "labels": ["awe", "fear"]}]
tasks += [{"name": "age", "kind": "scalar", "range": [20, 40]}]
tasks += [{"name": "country", "kind": "classes", "labels": ["a", "b"]}]
encoder = Wav2Vec2Config(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
                         conv_dim=(8,) * 7, num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=2,
                         feat_extract_norm="layer", mask_time_prob=0.0, layerdrop=0.0, hidden_dropout=0.0,
                         attention_dropout=0.0, activation_dropout=0.0, feat_proj_dropout=0.0)
clips = 13
corpus = Dataset.from_dict({"path": [f"{folder}/{n}.wav" for n in range(clips)],
                            "awe": [n / clips for n in range(clips)], "fear": [1 - n / clips for n in range(clips)],
                            "age": [20.0 + n for n in range(clips)],
                            "country": ["ab"[n % 2] for n in range(clips)]})
dataset = MultiTaskDataset(corpus, parse_tasks(tasks))


def known_rows(labels):
    known = (labels != -100) if labels.dtype == torch.int64 else ~torch.isnan(labels).reshape(len(labels), -1).any(1)
    return known.tolist()


def run(task_batching):
    torch.manual_seed(0)
    sizes = {"projection_size": 8, "feature_size": 8, "dropout": 0.0}
    model = Burst2VecForMultiTask(Burst2VecConfig(encoder=encoder, tasks=tasks, **sizes))
    # The same global batch, whatever the number of processes.
    processes = int(os.environ.get("WORLD_SIZE", 1))
    args = MultiTaskTrainingArguments(output_dir=f"{folder}/run", use_cpu=True, num_train_epochs=1, save_strategy="no",
                                      per_device_train_batch_size=4 // processes, per_device_eval_batch_size=3,
                                      disable_tqdm=True, seed=1, learning_rate=0.1, optim="sgd", max_grad_norm=0.0,
                                      lr_scheduler_type="constant", task_batching=task_batching)
    steps, gradients = [], []

    class Gradients(TrainerCallback):
        def on_pre_optimizer_step(self, args, state, control, model, **kwargs):
            model = getattr(model, "module", model)
            named = model.named_parameters()
            gradients.append({name: p.grad.flatten().tolist() for name, p in named if p.grad is not None})

    extractor = Burst2VecFeatureExtractor.for_config(encoder)
    trainer = Burst2VecTrainer(model, args, extractor, dataset, dataset, callbacks=[Gradients()])
    compute_loss = trainer.compute_loss

    def spy(model, inputs, **options):
        drawn = {task: [n for n, known in zip(inputs["index"].tolist(), known_rows(labels)) if known]
                 for task, labels in inputs["labels"].items()}
        loss = compute_loss(model, inputs, **options)
        steps.append([drawn, loss.item()])
        return loss

    trainer.compute_loss = spy
    trainer.train()
    scores = trainer.evaluate()
    scores = {name: value for name, value in scores.items() if "second" not in name and "runtime" not in name}
    return args, {"steps": steps, "gradients": gradients, "scores": scores}


results = {}
for task_batching in ("proportional", "all_tasks"):
    args, results[task_batching] = run(task_batching)
with open(f"{folder}/rank{args.process_index}of{args.world_size}.json", "w") as file:
    json.dump(results, file)
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


@pytest.fixture(scope="module")
def launched(tmp_path_factory):
    """Both ranks of two processes, and one process, over the same global batches."""
    folder = tmp_path_factory.mktemp("distributed")
    generator = np.random.default_rng(0)
    for number in range(13):
        soundfile.write(folder / f"{number}.wav", generator.normal(scale=0.1, size=2000 + 300 * number), 16_000)
    return *launch(folder, processes=2), *launch(folder, processes=1)


def test_two_processes_hold_one_task_and_draw_every_clip_once(launched):
    first, second, _ = (run["proportional"]["steps"] for run in launched)
    assert [list(drawn) for drawn, _ in first] == [list(drawn) for drawn, _ in second]
    assert all(len(drawn) == 1 for drawn, _ in first)
    counted = Counter((task, clip) for drawn, _ in (*first, *second) for task, clips in drawn.items() for clip in clips)
    assert counted == Counter((task, clip) for task in TASKS for clip in range(13))


@pytest.mark.parametrize("task_batching", ["proportional", "all_tasks"])
def test_two_processes_equal_one_with_twice_the_batch(launched, task_batching):
    """The losses and gradients of all terms are equal at every step, while the weights change."""
    first, second, alone = (run[task_batching] for run in launched)
    assert len(first["steps"]) == len(alone["steps"]) >= 4
    if task_batching == "proportional":
        assert {task for drawn, _ in alone["steps"] for task in drawn} == set(TASKS)
    for ours, theirs, one in zip(first["steps"], second["steps"], alone["steps"], strict=True):
        for task, clips in one[0].items():
            assert sorted(ours[0][task] + theirs[0][task]) == sorted(clips)
        assert ours[1] == theirs[1] == pytest.approx(one[1], abs=1e-5)
    for ours, one in zip(first["gradients"], alone["gradients"], strict=True):
        for name, expected in one.items():
            np.testing.assert_allclose(ours[name], expected, atol=2e-5, rtol=1e-3, err_msg=name)
    assert first["gradients"] == second["gradients"]


def test_two_processes_score_as_one(launched):
    first, second, alone = (run["proportional"]["scores"] for run in launched)
    assert first == second
    assert first == pytest.approx(alone, abs=1e-4)
