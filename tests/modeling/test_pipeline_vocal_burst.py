"""The pipeline gives what the model gives, whatever a recording comes as."""

import http.server
import io
import json
import threading
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import soxr
import torch
from transformers import pipeline
from transformers.pipelines.pt_utils import KeyDataset

from paravox import (
    Burst2VecEnsemble,
    Burst2VecEnsembleFeatureExtractor,
    EncoderForPreFinetuning,
    VocalBurstAnalysisPipeline,
)
from paravox.modeling import audio_decoding
from paravox.modeling.errors import AudioError, ConfigError
from paravox.modeling.feature_extraction_burst2vec import Burst2VecFeatureExtractor

RATE = 16_000
TASK = "vocal-burst-analysis"


def noise(seconds, seed=0, rate=RATE):
    return np.random.default_rng(seed).normal(scale=0.1, size=round(seconds * rate)).astype(np.float32)


@pytest.fixture
def analyse(make_model):
    model = make_model(layer_weights=True)
    return pipeline(TASK, model=model, feature_extractor=Burst2VecFeatureExtractor.for_config(model.config.encoder))


@pytest.fixture
def clip(tmp_path):
    path = tmp_path / "clip.wav"
    soundfile.write(path, noise(0.5), RATE, subtype="FLOAT")
    return path


def assert_records_equal(found, expected, tolerance=1e-6):
    if isinstance(expected, dict):
        assert list(found) == list(expected)
        for name, value in expected.items():
            assert_records_equal(found[name], value, tolerance)
    elif isinstance(expected, list):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert_records_equal(one, other, tolerance)
    else:
        assert found == pytest.approx(expected, rel=tolerance, abs=tolerance)


def test_the_pipeline_names_what_the_model_predicts(analyse, tasks, clip):
    assert isinstance(analyse, VocalBurstAnalysisPipeline)
    record = analyse(clip)
    with torch.no_grad():
        predictions = analyse.model(**analyse.feature_extractor(clip, return_tensors="pt")).predictions
    assert list(record) == ["emotion", "age", "country"]
    for task in (tasks[0], tasks[2]):
        assert list(record[task["name"]]) == task["labels"]
        assert list(record[task["name"]].values()) == predictions[task["name"]][0].tolist()
    assert record["age"] == predictions["age"].item()
    assert 20 <= record["age"] <= 39 and sum(record["country"].values()) == pytest.approx(1)
    assert json.loads(json.dumps(record)) == record


@pytest.fixture
def server(clip):
    content = clip.read_bytes()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200 if self.path == "/clip.wav" else 404)
            self.end_headers()
            if self.path == "/clip.wav":
                self.wfile.write(content)

        def log_message(self, *arguments):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


def test_a_recording_may_come_as_anything(analyse, clip, server):
    samples = noise(0.5)
    decoder = SimpleNamespace(
        get_all_samples=lambda: SimpleNamespace(data=torch.tensor(samples).unsqueeze(0), sample_rate=RATE)
    )
    forms = {
        "text": str(clip),
        "url": f"{server}/clip.wav",
        "bytes": clip.read_bytes(),
        "file object": io.BytesIO(clip.read_bytes()),
        "array": samples,
        "tensor": torch.tensor(samples),
        "pair": (samples, RATE),
        "stereo": (np.stack([samples, samples], axis=1), RATE),
        "raw": {"raw": samples, "sampling_rate": RATE},
        "tensor with a gradient": torch.tensor(samples, requires_grad=True),
        "pair of a tensor": (torch.tensor(samples, requires_grad=True), RATE),
        "URL in capitals": f"{server}/clip.wav".replace("http", "HTTP"),
        "array of datasets": {"array": torch.tensor(samples), "sampling_rate": RATE, "path": None},
        "undecoded": {"bytes": clip.read_bytes(), "path": "gone.wav"},
        "torchcodec": decoder,
    }
    expected = analyse(clip)
    for name, form in forms.items():
        assert analyse(form) == expected, name


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_a_tensor_in_any_precision_is_taken(analyse, dtype):
    samples = torch.tensor(noise(0.5)).to(dtype)
    expected = analyse(samples.float().numpy())
    for form in (
        samples,
        {"raw": samples, "sampling_rate": RATE},
        {"array": samples, "sampling_rate": RATE},
        (samples, RATE),
    ):
        assert analyse(form) == expected
    assert analyse([samples, samples.numpy() if dtype == torch.float64 else samples])[1] == expected


def test_a_tensor_without_numbers_is_refused(analyse):
    for tensor in (torch.empty(5, device="meta"), torch.eye(3).to_sparse(), torch.zeros(4, dtype=torch.complex64)):
        with pytest.raises(AudioError, match="an array"):
            analyse((tensor, RATE))


def test_a_recording_that_is_too_long_is_refused_before_it_is_decoded(make_model, tmp_path, monkeypatch):
    model = make_model("whisper")
    analyse = pipeline(TASK, model=model, feature_extractor=Burst2VecFeatureExtractor.for_config(model.config.encoder))
    soundfile.write(tmp_path / "long.wav", noise(31), RATE)
    blocks = audio_decoding._blocks
    monkeypatch.setattr(audio_decoding, "_blocks", lambda *given: (pytest.fail("decoded") for _ in "x"))
    with pytest.raises(AudioError, match="long.wav lasts 31.0 s, longer than max_seconds of 30: give window_seconds"):
        analyse(tmp_path / "long.wav")
    monkeypatch.setattr(audio_decoding, "_blocks", blocks)
    assert len(analyse(tmp_path / "long.wav", window_seconds=30)["windows"]) == 2


def test_another_rate_is_resampled(analyse):
    stereo = np.stack([noise(0.5, seed, 44_100) for seed in (1, 2)], axis=1)
    resampled = soxr.resample(stereo.mean(axis=1), 44_100, RATE)
    assert_records_equal(analyse({"raw": stereo, "sampling_rate": 44_100}), analyse(resampled), 1e-5)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_clips_keep_their_order_and_share_batches_with_clips_of_their_length(analyse, num_workers, monkeypatch):
    clips = [noise(seconds, seed) for seed, seconds in enumerate((0.9, 0.1, 0.8, 0.15, 0.85, 0.12))]
    alone = [analyse(clip) for clip in clips]
    lengths = []
    forward = analyse.forward

    def watch(inputs, **options):
        lengths.append(inputs["attention_mask"].sum(dim=1).tolist())
        return forward(inputs, **options)

    monkeypatch.setattr(analyse, "forward", watch)
    assert_records_equal(analyse(clips, batch_size=3, num_workers=num_workers), alone, 1e-5)
    assert lengths == [[1600, 1920, 2400], [12_800, 13_600, 14_400]]


def test_nothing_gives_nothing(analyse):
    assert analyse([]) == []


def test_datasets_and_generators_are_read_as_they_are_used(analyse):
    clips = [noise(0.2, seed) for seed in range(40)]
    expected = analyse(clips)
    dataset = KeyDataset([{"audio": {"array": clip, "sampling_rate": RATE}} for clip in clips], "audio")
    assert_records_equal(list(analyse(dataset, batch_size=4)), expected, 1e-5)
    taken = []

    def generate():
        for number, clip in enumerate(clips):
            taken.append(number)
            yield clip

    for num_workers in (0, 2):
        assert list(analyse(generate(), num_workers=num_workers)) == expected
    taken.clear()
    results = analyse(generate())
    next(results)
    assert 0 < len(taken) < len(clips)


def test_long_recordings_are_cut_into_windows(analyse):
    samples = noise(1.15)
    record = analyse(samples, window_seconds=0.5, stride_seconds=0.25)
    spans = [(window["start"], window["end"]) for window in record["windows"]]
    assert spans == [(0.0, 0.5), (0.25, 0.75), (0.5, 1.0), (0.65, 1.15)]
    windows = [{name: window[name] for name in ("emotion", "age", "country")} for window in record.pop("windows")]
    cut = [samples[round(start * RATE) : round(end * RATE)] for start, end in spans]
    assert_records_equal(windows, [analyse(part) for part in cut])
    assert record["age"] == pytest.approx(np.mean([window["age"] for window in windows]))
    for label, value in record["emotion"].items():
        assert value == pytest.approx(np.mean([window["emotion"][label] for window in windows]))
    assert sum(record["country"].values()) == pytest.approx(1)


def test_a_short_recording_is_one_window_and_windows_do_not_overlap_by_themselves(analyse):
    samples = noise(0.4)
    short = analyse(samples, window_seconds=0.5)
    assert [(window["start"], window["end"]) for window in short["windows"]] == [(0.0, 0.4)]
    assert_records_equal({name: short[name] for name in ("emotion", "age", "country")}, analyse(samples))
    exact = analyse(noise(1.0), window_seconds=0.5)
    assert [window["start"] for window in exact["windows"]] == [0.0, 0.5]


def test_options_may_be_set_for_all_calls(make_model):
    model = make_model()
    extractor = Burst2VecFeatureExtractor.for_config(model.config.encoder)
    analyse = pipeline(TASK, model=model, feature_extractor=extractor, window_seconds=0.5, batch_size=2)
    assert len(analyse(noise(1.0))["windows"]) == 2
    assert len(analyse(noise(1.0), window_seconds=0.25)["windows"]) == 4


def test_embeddings_are_the_representations(analyse, clip):
    found = analyse(clip, return_embeddings=True)["embeddings"]
    with torch.no_grad():
        expected = analyse.model(**analyse.feature_extractor(clip, return_tensors="pt")).representations
    assert found["shared"] == expected["shared"][0].tolist()
    assert list(found["specific"]) == list(found["joint"]) == ["emotion", "age", "country"]
    assert found["joint"]["age"] == expected["joint"]["age"][0].tolist()
    windowed = analyse(noise(1.0), return_embeddings=True, window_seconds=0.5)
    parts = [window["embeddings"]["projected"] for window in windowed["windows"]]
    assert_records_equal(windowed["embeddings"]["projected"], np.mean(parts, axis=0).tolist())


def test_an_ensemble_is_analysed_like_a_model(saved_members, clip):
    model = Burst2VecEnsemble.from_members(saved_members)
    extractor = Burst2VecEnsembleFeatureExtractor.from_members(saved_members)
    analyse = pipeline(TASK, model=model, feature_extractor=extractor)
    with torch.no_grad():
        predictions = model(**extractor(str(clip), return_tensors="pt")).predictions
    assert analyse(str(clip))["age"] == pytest.approx(predictions["age"].item())
    with pytest.raises(ConfigError, match="an ensemble has no embeddings of its own: open one of the models"):
        analyse(str(clip), return_embeddings=True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"window_seconds": 0}, "window_seconds is 0: give a number of seconds above 0"),
        ({"window_seconds": 1, "stride_seconds": -1}, "stride_seconds is -1: give a number of seconds above 0"),
        ({"stride_seconds": 1}, "stride_seconds is given without window_seconds: give both"),
        ({"top_k": 3}, "option 'top_k' is not known: use window_seconds, stride_seconds, return_embeddings"),
    ],
)
def test_impossible_options_are_refused(analyse, options, message):
    with pytest.raises(ConfigError, match=message):
        analyse(noise(0.5), **options)


def test_bad_recordings_are_refused(analyse, server, tmp_path):
    with pytest.raises(AudioError, match="gone.wav does not exist"):
        analyse(str(tmp_path / "gone.wav"))
    with pytest.raises(AudioError, match="gone.wav cannot be downloaded .*404.*check the address"):
        analyse(f"{server}/gone.wav")
    with pytest.raises(AudioError, match="a recording of type int is not understood"):
        analyse([noise(0.5), 3])
    with pytest.raises(AudioError, match="has no sampling rate|sampling rate of None"):
        analyse({"raw": noise(0.5)})


def test_a_recording_longer_than_the_model_takes_wants_windows(make_model):
    model = make_model("whisper")
    extractor = Burst2VecFeatureExtractor.for_config(model.config.encoder)
    analyse = pipeline(TASK, model=model, feature_extractor=extractor)
    with pytest.raises(AudioError, match="a clip lasts 31.0 s, longer than max_seconds of 30: give window_seconds"):
        analyse(noise(31))
    assert len(analyse(noise(31), window_seconds=30)["windows"]) == 2


def test_what_was_saved_opens_without_remote_code_where_paravox_is(analyse, tmp_path, clip):
    for saver in (analyse, analyse.model):
        folder = tmp_path / type(saver).__name__
        saver.save_pretrained(folder)
        analyse.feature_extractor.save_pretrained(folder)
        config = json.loads((folder / "config.json").read_text())
        assert config["custom_pipelines"] == {
            TASK: {"impl": "pipeline_vocal_burst.VocalBurstAnalysisPipeline", "pt": ["AutoModel"]}
        }
        assert (folder / "pipeline_vocal_burst.py").is_file()
        assert_records_equal(pipeline(TASK, model=str(folder))(str(clip)), analyse(str(clip)))


def test_a_pre_finetuned_model_tells_emotions_by_corpus(saved_encoders, clip):
    tasks = [
        {"name": "emodb", "kind": "classes", "labels": ["anger", "fear", "joy"]},
        {"name": "turev", "kind": "classes", "labels": ["calm", "sad"]},
    ]
    model = EncoderForPreFinetuning.from_encoder(str(saved_encoders["whisper"]), tasks=tasks).eval()
    extractor = Burst2VecFeatureExtractor.from_encoder(str(saved_encoders["whisper"]))
    record = pipeline(TASK, model=model, feature_extractor=extractor)(str(clip), return_embeddings=True)
    with torch.no_grad():
        output = model(**extractor(str(clip), return_tensors="pt"))
    for task in tasks:
        assert list(record[task["name"]]) == task["labels"]
        assert list(record[task["name"]].values()) == output.predictions[task["name"]][0].tolist()
    assert record["embeddings"] == {"pooled": output.pooled_states[0].tolist()}
