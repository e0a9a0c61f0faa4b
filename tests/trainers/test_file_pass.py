"""A pass over files: results in the order of the files, whatever the workers, windows and batches."""

import numpy as np
import pytest
import soundfile
import torch
from little_corpora import write_clip

from paravox.modeling.feature_extraction_burst2vec import Burst2VecFeatureExtractor
from paravox.modeling.records import Windows
from paravox.trainers import file_pass
from paravox.trainers.clip_pass import PassSettings
from paravox.trainers.file_pass import DecodedFiles, default_workers, pass_over_files

BAD = (4, 17, 18, 39)


@pytest.fixture
def files(tmp_path):
    """Forty files of 0.1 to 0.5 s, four of which cannot be used: no audio, missing, empty and too long."""
    generator = np.random.default_rng(1)
    paths = [tmp_path / f"{number}.wav" for number in range(40)]
    for number, path in enumerate(paths):
        write_clip(path, number, 3.0 if number == 39 else generator.uniform(0.1, 0.5))
    paths[4].write_bytes(b"no audio")
    paths[17].unlink()
    paths[18].write_bytes(b"")
    return [str(path) for path in paths]


@pytest.fixture
def model(make_model):
    model = make_model("whisper")
    for head in model.heads.values():
        torch.nn.init.normal_(head.weight, std=3.0, generator=torch.Generator().manual_seed(1))
        torch.nn.init.constant_(head.bias, 0.5)
    return model


@pytest.fixture
def extractor(model):
    return Burst2VecFeatureExtractor.for_config(model.config.encoder, max_seconds=2.0)


def step(model, inputs):
    return {"age": model(**inputs).predictions["age"]}


def run(model, extractor, files, **settings):
    settings = PassSettings(**{"max_batch_seconds": 1.0, "show_progress": False, **settings})
    return list(pass_over_files(model, extractor, files, step, settings))


def joined(parts):
    assert all(len(part.results["age"]) == part.files for part in parts)
    errors, done = {}, 0
    for part in parts:
        errors |= {done + row: message for row, message in part.errors.items()}
        done += part.files
    return np.concatenate([part.results["age"] for part in parts]), errors


def one_by_one(model, extractor, files):
    ages = np.zeros(len(files), np.float32)
    for row, path in enumerate(files):
        if row not in BAD:
            with torch.no_grad():
                ages[row] = model(**extractor([path], return_tensors="pt")).predictions["age"].item()
    return ages


@pytest.mark.parametrize("settings", [{}, {"num_workers": 2}, {"max_batch_seconds": 0.2}, {"max_batch_seconds": 100.0}])
def test_results_are_those_of_each_file_alone_in_the_given_order(model, extractor, files, settings):
    parts = run(model, extractor, files, **settings)
    found, errors = joined(parts)
    expected = one_by_one(model, extractor, files)
    assert np.ptp(expected[expected > 0]) > 1
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    assert tuple(errors) == BAD
    for row, words in zip(
        BAD, ("not audio", "does not exist", "is empty", "longer than max_seconds of 2"), strict=True
    ):
        assert files[row] in errors[row] and words in errors[row]


def test_groups_are_small_at_first_and_hold_some_batches(model, extractor, files):
    # Sixteen files, one chunk, have about 5 s: with a tenth of that in a batch, each chunk is a group.
    assert [part.files for part in run(model, extractor, files, max_batch_seconds=0.3)] == [16, 16, 8]
    assert [part.files for part in run(model, extractor, files, max_batch_seconds=4.0)] == [32, 8]
    assert [part.files for part in run(model, extractor, files, max_batch_seconds=50.0)] == [40]


def test_batches_are_sorted_by_length_and_within_their_budget(model, extractor, files, monkeypatch):
    shapes = []
    forward = model.forward
    monkeypatch.setattr(
        model, "forward", lambda **inputs: shapes.append(inputs["input_features"].shape) or forward(**inputs)
    )
    run(model, extractor, files[:16], max_batch_seconds=1.0)
    frames = [shape[-1] for shape in shapes]
    assert sum(shape[0] for shape in shapes) == 15 and frames == sorted(frames, reverse=True)
    assert max(shape[0] * shape[2] / 100 for shape in shapes) <= 1.0


@pytest.mark.parametrize("settings", [{}, {"num_workers": 2, "max_batch_seconds": 0.3}])
def test_files_that_are_cut_have_a_result_per_window(model, extractor, files, settings):
    cut, rate = Windows(0.2, 0.15), 16_000
    settings = PassSettings(**{"max_batch_seconds": 1.0, "show_progress": False, **settings})
    row, errors, longest = 0, {}, 0
    for part in pass_over_files(model, extractor, files[:20] + files[39:], step, settings, cut=cut):
        done = 0
        for position, spans in enumerate(part.spans):
            path = (files[:20] + files[39:])[row]
            row += 1
            ages = part.results["age"][done : done + len(spans)] if part.results else []
            done += len(spans)
            if position in part.errors:
                errors[path] = part.errors[position]
                assert spans == [(0, 0)] and not np.any(ages)
                continue
            samples = extractor.load(path) if path != files[39] else soundfile.read(path, dtype="float32")[0]
            assert spans[0][0] == 0 and spans[-1][1] == len(samples)
            longest = max(longest, len(spans))
            with torch.no_grad():
                parts = [(samples[start:end], rate) for start, end in spans]
                alone = [model(**extractor([one], return_tensors="pt")).predictions["age"].item() for one in parts]
            np.testing.assert_allclose(ages, alone, rtol=1e-5, atol=1e-5)
        assert not part.results or len(part.results["age"]) == done
    # A file of 3 s, which the model does not take whole, can be cut.
    assert row == 21 and list(errors) == [files[4], files[17], files[18]] and longest == 20


def test_functionals_go_with_their_windows(extractor):
    group = file_pass._Group(10, Windows(1.0, 1.0))
    lengths = [25, 0, 8, 12]
    sizes = [end - start for length in lengths if length for start, end in group.cut.spans(length, 10)]
    samples = torch.arange(float(sum(lengths)))
    group.add(file_pass.Decoded(samples, lengths, {1: "bad"}, torch.tensor(sizes)[:, None] + 0.5))
    batches = list(file_pass._batches(group, 10, PassSettings(max_batch_seconds=1.0)))
    rows = torch.cat([batch["index"] for batch in batches]).tolist()
    assert sorted(rows) == [0, 1, 2, 4, 5, 6] and group.lengths == [10, 10, 10, 0, 8, 10, 10]
    for batch in batches:
        assert torch.equal(batch["functionals"][:, 0], batch["lengths"] + 0.5)


def test_files_none_of_which_can_be_used_give_errors_alone(model, extractor, files):
    (part,) = run(model, extractor, [files[row] for row in BAD])
    assert part.files == 4 and set(part.errors) == {0, 1, 2, 3} and part.results == {}
    assert run(model, extractor, []) == []


def test_a_worker_sends_one_tensor(extractor, files):
    decoded = DecodedFiles(extractor)[files[3:6]]
    expected = [extractor.load(files[3]), extractor.load(files[5])]
    assert decoded.lengths == [len(expected[0]), 0, len(expected[1])] and set(decoded.errors) == {1}
    assert decoded.samples.numpy().tolist() == np.concatenate(expected).tolist() and decoded.functionals is None


def test_how_many_workers_there_are(monkeypatch):
    cuda, cpu = torch.device("cuda"), torch.device("cpu")
    monkeypatch.setattr(file_pass.os, "sched_getaffinity", lambda process: range(16))
    assert default_workers(cuda, 1_000) == 15 and default_workers(cuda, 1_000, processes=4) == 3
    assert default_workers(cpu, 1_000) == 2 and default_workers(cuda, 10) == 0
    monkeypatch.setattr(file_pass.os, "sched_getaffinity", lambda process: range(2))
    assert default_workers(cuda, 1_000) == default_workers(cpu, 1_000) == 0


@pytest.mark.slow
def test_workers_beside_an_accelerator_are_not_forked(extractor, files, monkeypatch):
    context = file_pass._worker_context(torch.device("cuda"))
    assert context.get_start_method() == "forkserver"
    assert file_pass._worker_context(torch.device("cpu")) is None
    monkeypatch.setattr(file_pass, "_worker_context", lambda device: context)
    chunks = list(file_pass._loader(extractor, files, PassSettings(num_workers=2)))
    assert [len(chunk.lengths) for chunk in chunks] == [16, 16, 8]
    assert torch.equal(chunks[1].samples, DecodedFiles(extractor)[files[16:32]].samples)
