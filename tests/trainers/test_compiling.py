"""A compiled encoder learns what the uncompiled one does, with a fixed number of graphs and without a break."""

import copy

import pytest
import torch
from torch._dynamo.utils import counters

from paravox.trainers.compiling import compile_layers

TASKS = ("emotion", "age", "country")
# Of the convolutions, those with another kernel, norm or input; and the layers, of which WavLM's first is another.
GRAPHS = {"wav2vec2_layer": 6, "wav2vec2_group": 6, "hubert_layer": 6, "wavlm_layer": 7, "whisper": 2}


def losses_of_training(model, batches):
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    losses = []
    for task, inputs, labels in batches:
        loss = model(**inputs, task=task, labels={task: labels}).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    return losses


@pytest.mark.slow
@pytest.mark.parametrize("encoder", GRAPHS)
def test_compiled_training_equals_the_uncompiled_one(make_model, make_inputs, labels, encoder):
    batches = []
    for step in range(20):
        seconds = [0.3 + 0.05 * (step % 7)] * 5 + [0.25]
        task = TASKS[step % 3]
        batches.append((task, make_inputs(encoder, seconds, seed=step), labels[task]))
    model = make_model(encoder).train()
    compiled = copy.deepcopy(model)
    expected = losses_of_training(model, batches)
    torch._dynamo.reset()
    counters.clear()
    # On a processor, inductor compiles convolutions anew for each length, which takes minutes.
    compile_layers(compiled, backend="inductor" if encoder == "whisper" else "aot_eager")
    assert losses_of_training(compiled, batches) == pytest.approx(expected, abs=1e-4)
    assert not counters["graph_break"]
    # Three tasks and seven lengths, and yet no more graphs than kinds of layers.
    assert counters["stats"]["unique_graphs"] <= GRAPHS[encoder]
    assert set(compiled.state_dict()) == set(model.state_dict())


def test_the_layers_that_take_the_time_are_compiled(make_model):
    model = make_model("hubert_layer")
    compile_layers(model, backend="eager")
    compiled = {name for name, module in model.named_modules() if module._compiled_call_impl is not None}
    convolutions = {f"encoder.model.feature_extractor.conv_layers.{n}" for n in range(7)}
    assert compiled == convolutions | {f"encoder.model.encoder.layers.{n}" for n in range(2)}
