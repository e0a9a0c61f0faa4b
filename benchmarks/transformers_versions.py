"""Opens saved models in several versions of Transformers, and writes the table of docs/environments.md.

    python benchmarks/transformers_versions.py
    python benchmarks/transformers_versions.py --versions 4.57.6 5.0.0

Models of every class and every encoder, with small random weights, are saved by this environment. Another one is made
that has torch, soundfile, soxr and one version of Transformers after the other. There, each model is opened from its
folder and from a Hub on loopback, without paravox, and its predictions are compared with those of this environment. The
ComParE baseline has openSMILE beside it. The program fails if a model does not open, or if a prediction differs by more
than `TOLERANCE`. The numbers are kept in benchmarks/environments.json.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from typing import Any

import numpy as np
import torch
from environments import ROOT, pinned, record_environments
from open_saved_models import outputs_of
from transformers import AutoConfig
from transformers.utils.logging import disable_progress_bar

import paravox

sys.path.append(str(ROOT / "tests" / "hub"))
from hub_server import HubServer  # noqa: E402

VERSIONS = ("4.57.6", "5.0.0", "5.5.4", "5.10.4", "5.17.0", "5.20.2", "5.23.0", "5.24.0")
PACKAGES = ("torch", "soundfile", "soxr")
# Kernels of attention and convolution differ between the versions, which moves the last bits.
TOLERANCE = 1e-5
RATE = 16_000
WAVEFORM_SIZES = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "conv_dim": (8,) * 7,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 2,
}
WHISPER_SIZES = {
    "d_model": 16,
    "encoder_layers": 2,
    "encoder_attention_heads": 2,
    "encoder_ffn_dim": 16,
    "decoder_layers": 1,
    "decoder_attention_heads": 2,
    "decoder_ffn_dim": 16,
}
ENCODERS = {
    "wav2vec 2.0 base": {"model_type": "wav2vec2", **WAVEFORM_SIZES},
    "wav2vec 2.0 large": {
        "model_type": "wav2vec2",
        "feat_extract_norm": "layer",
        "do_stable_layer_norm": True,
        **WAVEFORM_SIZES,
    },
    "HuBERT": {"model_type": "hubert", **WAVEFORM_SIZES},
    "WavLM": {"model_type": "wavlm", **WAVEFORM_SIZES},
    "Whisper": {"model_type": "whisper", **WHISPER_SIZES},
}
TASKS = [
    {"name": "emotion", "kind": "intensities", "labels": ["awe", "fear"]},
    {"name": "age", "kind": "scalar", "range": [20, 40]},
    {"name": "country", "kind": "classes", "labels": ["a", "b"]},
]
CORPUS = [{"name": "emodb", "kind": "classes", "labels": ["anger", "joy", "sadness"]}]
COMPARE = "ComParE baseline"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--versions", nargs="+", default=VERSIONS, help="Versions of Transformers to try.")
    parser.add_argument("--folder", type=Path, help="Make the environment here and keep it.")
    arguments = parser.parse_args()
    disable_progress_bar()
    with tempfile.TemporaryDirectory() as temporary, HubServer({"paravox": "hf_writer"}) as hub:
        folder = Path(temporary)
        expected = save_models(folder / "models")
        upload(hub, folder / "models", list(expected))
        python, opensmile = make_environment((arguments.folder or folder / "environment").resolve())
        found = {}
        for version in arguments.versions:
            install(python, f"transformers=={version}")
            found[version] = try_version(version, python, opensmile, folder, hub, expected)
    record_environments("transformers", found)
    if not all(fits(row) for rows in found.values() for row in rows.values()):
        sys.exit("some models do not open, or predict something else")


def fits(row: dict[str, Any]) -> bool:
    return "error" not in row and row["largest_difference"] <= TOLERANCE


def make_clips() -> list[np.ndarray]:
    """Two tones with noise, of different lengths."""
    generator = np.random.default_rng(0)
    lengths = (RATE, 3 * RATE // 4)
    tones = [np.sin(2 * np.pi * pitch * np.arange(n) / RATE) for pitch, n in zip((220, 330), lengths, strict=True)]
    return [(tone + 0.1 * generator.standard_normal(len(tone))).astype(np.float32) for tone in tones]


def save_models(folder: Path) -> dict[str, dict[str, dict[str, list]]]:
    """Saves one model of each class and encoder, and returns what each predicts for the clips."""
    torch.manual_seed(0)
    models: dict[str, tuple[Any, Any]] = {}
    for name, settings in ENCODERS.items():
        encoder = AutoConfig.for_model(**settings)
        config = paravox.Burst2VecConfig(encoder=encoder, tasks=TASKS, projection_size=8, feature_size=8)
        models[name] = paravox.Burst2VecForMultiTask(config), paravox.Burst2VecFeatureExtractor.for_config(encoder)
    for name, model_class in (
        ("HuBERT", paravox.EncoderForPreFinetuning),
        ("wav2vec 2.0 base", paravox.Wav2Vec2ForPreFinetuning),
    ):
        encoder = AutoConfig.for_model(**ENCODERS[name])
        model = model_class(model_class.config_class(encoder=encoder, tasks=CORPUS))
        models[f"{name}, pre-finetuned"] = model, paravox.Burst2VecFeatureExtractor.for_config(encoder)
    models |= changed_whispers()
    models[COMPARE] = paravox.ComParEForMultiTask(paravox.ComParEConfig(tasks=TASKS)), paravox.ComParEFeatureExtractor()
    for model, _ in models.values():
        spread(model)
    expected = {name: save(folder / slug(name), model, extractor) for name, (model, extractor) in models.items()}
    members = [str(folder / slug(name)) for name in ("wav2vec 2.0 large", "WavLM", "Whisper")]
    ensemble = paravox.Burst2VecEnsemble.from_members(members)
    extractor = paravox.Burst2VecEnsembleFeatureExtractor.from_members(members)
    return expected | {"ensemble": save(folder / slug("ensemble"), ensemble, extractor)}


def changed_whispers() -> dict[str, tuple[Any, Any]]:
    """Models as `paravox calibrate` and `paravox adapt` leave them."""
    encoder = AutoConfig.for_model(**ENCODERS["Whisper"])
    extractor = paravox.Burst2VecFeatureExtractor.for_config(encoder)
    calibrated = paravox.Burst2VecConfig(
        encoder=encoder,
        tasks=TASKS,
        projection_size=8,
        feature_size=8,
        calibration={"emotion": {"temperature": 0.3, "offset": 0.4}, "country": {"temperature": 2.0}},
        familiarity={"directions": 2, "false_alarm_rate": 0.05},
    )
    model = paravox.Burst2VecForMultiTask(calibrated)
    model.familiarity.mean.normal_()
    model.familiarity.directions.copy_(torch.eye(2, len(model.familiarity.mean)))
    adapted = paravox.EncoderForPreFinetuning.config_class(encoder=encoder, tasks=CORPUS, layer=1)
    return {
        "Whisper, calibrated": (model, extractor),
        "Whisper, adapted": (paravox.EncoderForPreFinetuning(adapted), extractor),
    }


def spread(model: Any) -> None:
    """Gives the heads weights with which clips differ in what is predicted, and hardly anything is clipped."""
    with torch.no_grad():
        for name, parameter in model.heads.named_parameters():
            parameter.normal_(0.5 if name.endswith("bias") else 0.0, 0.1)


def save(folder: Path, model: Any, extractor: Any) -> dict[str, dict[str, list]]:
    model.eval().save_pretrained(folder)
    extractor.save_pretrained(folder)
    clips = [(clip, RATE) for clip in make_clips()]
    with torch.inference_mode():
        together = outputs_of(model(**extractor(clips, return_tensors="pt")))
        alone = [outputs_of(model(**extractor([clip], return_tensors="pt"))) for clip in clips]
    # Some encoders give a clip other states in a padded batch, and the pipeline sees one clip at a time.
    return {
        "together": {task: values.tolist() for task, values in together.items()},
        "alone": {task: [predictions[task][0].tolist() for predictions in alone] for task in together},
    }


def slug(name: str) -> str:
    return name.lower().replace(" ", "-").replace(",", "").replace(".", "")


def upload(hub: HubServer, folder: Path, names: list[str]) -> None:
    """Puts the folders on the Hub as they are, each as a repository of `paravox`."""
    code = (
        "import sys; from huggingface_hub import HfApi; api = HfApi()\n"
        "for folder, repo in zip(sys.argv[1::2], sys.argv[2::2]):\n"
        "    api.create_repo(repo); api.upload_folder(repo_id=repo, folder_path=folder)"
    )
    places = [place for name in names for place in (str(folder / slug(name)), f"paravox/{slug(name)}")]
    # A process of its own, because the client reads the address of the Hub when it is imported.
    environment = hub.environment(folder.parent / "home_of_writer", token="hf_writer")
    subprocess.run([sys.executable, "-c", code, *places], env=environment, check=True)


def make_environment(folder: Path) -> tuple[Path, Path]:
    """An environment with what a saved model needs, but for Transformers.

    Returns:
        its Python, and the folder in which openSMILE lies apart.
    """
    python, opensmile = folder / "bin" / "python", folder / "opensmile"
    if not opensmile.is_dir():
        venv.create(folder, with_pip=True)
        install(python, *PACKAGES)
        install(python, "opensmile", "--target", str(opensmile))
    return python, opensmile


def install(python: Path, *packages: str) -> None:
    pinned_packages = [f"{name}=={pinned(name)}" if name in PACKAGES else name for name in packages]
    subprocess.run([python, "-m", "pip", "install", "--quiet", *pinned_packages], check=True)


def try_version(
    version: str, python: Path, opensmile: Path, folder: Path, hub: HubServer, expected: dict[str, Any]
) -> dict[str, dict[str, Any]]:
    """What came of each model in one version of Transformers: the largest difference, or the error."""
    home = folder / f"home_{version}"
    found: dict[str, dict[str, Any]] = {}
    clips = json.dumps([clip.tolist() for clip in make_clips()])
    for names, beside in (([name for name in expected if name != COMPARE], None), ([COMPARE], opensmile)):
        places = [str(folder / "models" / slug(name)) for name in names] + [f"paravox/{slug(name)}" for name in names]
        environment = hub.environment(home) | ({"PYTHONPATH": str(beside)} if beside else {})
        command = [python, Path(__file__).with_name("open_saved_models.py"), *places]
        done = subprocess.run(command, input=clips, env=environment, cwd=folder, capture_output=True, text=True)
        lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        if len(lines) != len(places) or {line["transformers"] for line in lines} != {version}:
            raise SystemExit(f"Transformers {version}: {done.stdout}{done.stderr[-2000:]}")
        for name, *answers in zip(names, lines[: len(names)], lines[len(names) :], strict=True):
            found[name] = compare(answers, expected[name])
    print(f"Transformers {version}: {sum(map(fits, found.values()))} of {len(found)} models are right", flush=True)
    for name, row in found.items():
        if not fits(row):
            print(f"  {name}: {row}", flush=True)
    return found


def compare(answers: list[dict[str, Any]], expected: dict[str, dict[str, list]]) -> dict[str, Any]:
    """The largest difference of the predictions, from folder and Hub, by the model and by its pipeline; or an error."""
    differences = []
    for answer in answers:
        if "error" in answer:
            return {"error": answer["error"]}
        for task, values in expected["together"].items():
            differences.append(np.abs(np.array(answer["predictions"][task]) - values).max())
            for record, row in zip(answer["records"], expected["alone"][task], strict=True):
                differences.append(np.abs(np.array(values_of(record[task])) - row).max())
    return {"largest_difference": float(f"{max(differences):.1e}")}


def values_of(answer: dict[str, float] | float) -> list[float] | float:
    """The numbers of one task in a record of the pipeline or of `paravox predict`."""
    return list(answer.values()) if isinstance(answer, dict) else answer


if __name__ == "__main__":
    main()
