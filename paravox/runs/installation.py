"""What is installed and works here: packages, extras, the device, formats of recordings, and the places of caches.

Each library is imported only by the check that needs it, so that one that is missing or broken is a finding and no
traceback. Nothing uses the network.
"""

import io
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

import paravox

# What each extra is for. Those that only developers need are left out.
EXTRAS = {
    "study": "significance tests: table_2, the report of the few-shot study",
    "compare": "the ComParE baseline, with openSMILE",
    "av": "recordings of phones and browsers: M4A, MP4, 3GP, WebM, AAC, AMR, Windows Media",
    "lora": "adapters in the encoder",
    "optuna": "a search of settings",
    "onnx": "export to ONNX",
    "ray": "the few-shot study on a cluster",
    "secrets": "a search for keys and passwords before a model is published",
    "tensorboard": "training curves in TensorBoard",
}
SHOWN_PACKAGES = ("torch", "transformers")
OLDEST_PYTHON = (3, 10)
LITTLE_SPACE = 2e9  # bytes, in which the weights of a large encoder do not fit
# Formats that libsndfile reads, with the format and coding that it knows them by.
FORMATS = {
    "WAV": ("WAV", "PCM_16"),
    "FLAC": ("FLAC", "PCM_16"),
    "Ogg Vorbis": ("OGG", "VORBIS"),
    "Ogg Opus": ("OGG", "OPUS"),
    "MP3": ("MP3", "MPEG_LAYER_III"),
    "AIFF": ("AIFF", "PCM_16"),
}
# Formats that PyAV reads: the container and the encoder by the names of FFmpeg.
PYAV_FORMATS = {
    "M4A, MP4, 3GP": ("mp4", "aac"),
    "WebM": ("webm", "libopus"),
    "AAC": ("adts", "aac"),
}
PYAV_DECODERS = {"AMR": "amrnb", "Windows Media": "wmav2"}  # which PyAV may read and not write
RATE, SECONDS = 16_000, 0.5


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    Args:
        state (`str`): `ok`, `missing` (of what is optional) or `wrong` (of what is needed).
        what (`str`): what was looked at, and what was found.
        advice (`str`, *optional*): what to do.
    """

    state: str
    what: str
    advice: str = ""


def look_at_installation() -> Iterator[tuple[str, list[Finding]]]:
    """Looks at everything, one heading with its findings after the other."""
    for title, check in CHECKS.items():
        try:
            yield title, list(check())
        except metadata.PackageNotFoundError:
            found = "paravox is only found as a folder, so what it needs is not known"
            yield title, [Finding("missing", found, f"install it: pip install {Path(paravox.__file__).parents[1]}")]
        # A broken library may raise anything when it is imported.
        except Exception as error:
            yield title, [Finding("wrong", f"this could not be looked at ({type(error).__name__}: {error})")]


def check_python() -> Iterator[Finding]:
    """paravox itself and Python."""
    yield Finding("ok", f"paravox {paravox.__version__} in {Path(paravox.__file__).parent}")
    found = f"Python {platform.python_version()} on {platform.system()}, {os.cpu_count()} cores"
    oldest = ".".join(map(str, OLDEST_PYTHON))
    new_enough = sys.version_info >= OLDEST_PYTHON
    yield Finding("ok", found) if new_enough else Finding("wrong", found, f"install Python {oldest} or newer")


def check_packages() -> Iterator[Finding]:
    """The packages that paravox needs; those that fit are counted."""
    needed = _requirements("")
    unfit = {requirement.name for requirement in needed if not _fits(requirement)}
    for requirement in needed:
        version = _version(requirement.name)
        if requirement.name in unfit:
            found = "is not installed" if version is None else f"{version} does not fit {requirement.specifier}"
            yield Finding("wrong", f"{requirement.name} {found}", _pip_line([requirement]))
        elif requirement.name.lower() in SHOWN_PACKAGES:
            yield Finding("ok", f"{requirement.name} {version}")
    others = [one.name for one in needed if one.name not in unfit and one.name.lower() not in SHOWN_PACKAGES]
    yield Finding("ok", f"{len(others)} other packages that are needed")


def check_extras() -> Iterator[Finding]:
    """Checks which extras are installed, and says what each of them is for."""
    for extra, purpose in EXTRAS.items():
        needed = _requirements(extra)
        unfit = [requirement for requirement in needed if not _fits(requirement)]
        if unfit:
            yield Finding("missing", f"{extra} ({purpose})", _pip_line(unfit))
        else:
            versions = ", ".join(f"{requirement.name} {_version(requirement.name)}" for requirement in needed)
            yield Finding("ok", f"{extra} ({purpose}): {versions}")


def check_device() -> Iterator[Finding]:
    """The device and precision that programs choose by themselves."""
    import torch

    from paravox.trainers.devices import choose_device, choose_dtype, device_line

    device = choose_device()
    yield Finding("ok", device_line(device, choose_dtype(None, device)))
    if device.type == "cpu" and shutil.which("nvidia-smi"):
        if torch.version.cuda is None:
            advice = "install the torch for CUDA from pytorch.org"
            yield Finding("missing", "there is an NVIDIA driver, but this torch is built without CUDA", advice)
        else:
            advice = "run nvidia-smi; the driver may be older than this CUDA, or CUDA_VISIBLE_DEVICES hides the GPU"
            yield Finding("missing", f"torch is built for CUDA {torch.version.cuda}, but finds no GPU", advice)


def check_recordings() -> Iterator[Finding]:
    """Writes a short recording in each format and reads it, which needs no ffmpeg."""
    yield from _read_back({name: partial(_by_soundfile, *how) for name, how in FORMATS.items()})
    pyav = [requirement for requirement in _requirements("av") if not _fits(requirement)]
    if pyav:
        names = ", ".join([*PYAV_FORMATS, *PYAV_DECODERS])
        yield Finding("missing", f"{names}: these need PyAV", _pip_line(pyav))
        return
    yield from _read_back({name: partial(_by_pyav, *how) for name, how in PYAV_FORMATS.items()})
    import av

    for name, decoder in PYAV_DECODERS.items():
        if decoder in av.codecs_available:
            yield Finding("ok", f"{name}: PyAV has its decoder")
        else:
            yield Finding("missing", f"{name}: this PyAV has no decoder", "convert such recordings to WAV")


def check_places() -> Iterator[Finding]:
    """Where downloads and temporary files go, and how much space is there."""
    from huggingface_hub import constants

    home = Path(constants.HF_HOME)
    places = {
        "downloaded models": Path(constants.HF_HUB_CACHE),
        "downloaded corpora": Path(os.environ.get("HF_DATASETS_CACHE", home / "datasets")),
        "code of models": Path(os.environ.get("HF_MODULES_CACHE", home / "modules")),
        "temporary files": Path(tempfile.gettempdir()),
        "this folder": Path.cwd(),
    }
    for name, place in places.items():
        existing = next(folder for folder in (place, *place.parents) if folder.exists())
        free = shutil.disk_usage(existing).free
        found = f"{name}: {place}, {free / 1e9:.1f} GB free"
        if not os.access(existing, os.W_OK):
            yield Finding("missing", found, f"{existing} cannot be written to: correct its permissions, or set HF_HOME")
        elif free < LITTLE_SPACE:
            yield Finding("missing", found, "make space, or set HF_HOME or TMPDIR to a folder with more")
        else:
            yield Finding("ok", found)
    if constants.HF_HUB_OFFLINE:
        yield Finding("ok", "HF_HUB_OFFLINE is set, so nothing is downloaded")


CHECKS: dict[str, Callable[[], Iterator[Finding]]] = {
    "paravox": check_python,
    "packages": check_packages,
    "extras": check_extras,
    "device": check_device,
    "recordings": check_recordings,
    "places": check_places,
}


def _requirements(extra: str) -> list[Any]:
    """The packages of an extra, or with an empty name those that are always needed."""
    from packaging.requirements import Requirement  # which Transformers needs, too

    found = [Requirement(line) for line in metadata.requires("paravox") or ()]
    always = [one for one in found if one.marker is None or one.marker.evaluate({"extra": ""})]
    if not extra:
        return always
    return [one for one in found if one not in always and one.marker.evaluate({"extra": extra})]


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _fits(requirement: Any) -> bool:
    version = _version(requirement.name)
    return version is not None and requirement.specifier.contains(version, prereleases=True)


def _pip_line(requirements: list[Any]) -> str:
    # The packages themselves, because paravox is on no package index from which an extra could be named.
    return "pip install " + " ".join(f"'{one.name}{one.specifier}'" for one in requirements)


def _read_back(written: dict[str, Callable[[], bytes]]) -> Iterator[Finding]:
    """One finding for all formats that work, and one for each that does not."""
    from paravox.modeling.audio import load_audio

    working = []
    for name, write in written.items():
        try:
            seconds = len(load_audio(write(), RATE)) / RATE
            # Some codings add their delay, or whole frames.
            if abs(seconds - SECONDS) > 0.2:
                raise ValueError(f"{seconds:.2f} s came back of {SECONDS}")
            working.append(name)
        except Exception as error:
            yield Finding("missing", f"{name} cannot be read here ({error})", "convert such recordings to WAV")
    if working:
        yield Finding("ok", f"{', '.join(working)}: written and read, without ffmpeg")


def _tone() -> Any:
    import numpy as np

    return np.sin(2 * np.pi * 440 * np.arange(round(RATE * SECONDS)) / RATE).astype(np.float32) / 2


def _by_soundfile(container: str, coding: str) -> bytes:
    import soundfile

    file = io.BytesIO()
    soundfile.write(file, _tone(), RATE, format=container, subtype=coding)
    return file.getvalue()


def _by_pyav(container: str, encoder: str) -> bytes:
    import av

    file = io.BytesIO()
    rate = 48_000 if encoder == "libopus" else RATE
    with av.open(file, "w", format=container) as output:
        stream = output.add_stream(encoder, rate=rate)
        stream.layout = "mono"
        frame = av.AudioFrame.from_ndarray(_tone()[None], format="fltp", layout="mono")
        frame.rate = RATE
        resampler = av.AudioResampler(stream.format, "mono", rate, frame_size=stream.frame_size or 960)
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            output.mux(stream.encode(part))
        output.mux(stream.encode(None))
    return file.getvalue()
