"""Augments training clips with audiomentations. Each result depends only on the clip and its seed numbers."""

import inspect
import random
import traceback
import typing
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from paravox.modeling.errors import ConfigError, did_you_mean

# Each transform is tried on a clip of this length. It is long enough for the longest part that a transform repeats by
# default, an unusual number so that a fixed length shows, and silent at both ends so that trimming shows.
TRIAL_SAMPLES = 52_823
TRIAL_RATE = 16_000  # hertz
# Below this rate, the stretching library fills in phases from a generator that it seeds itself.
LEAST_SEEDED_RATE = 0.5


class ClipAugmentation:
    """Changes a clip with transforms of audiomentations, one after another, each with its own probability.

    The result depends only on the clip and the seed numbers, not on the process or on earlier calls. Each worker of a
    `DataLoader` can have its own copy.

    All transforms are built and tried at the start, so that a wrong setting is found before a run begins.

    Args:
        transforms (list of `dict`): each with `transform`, the name of a waveform transform of audiomentations, and the
            parameters of that transform. `p`, 0..1, is the probability with which it changes a clip, 0.5 by default.

    Raises:
        ConfigError: if audiomentations or a package that a transform needs is not installed, a transform or parameter
            is unknown or does not fit, or a transform changes a clip's length or cannot be repeated.
    """

    def __init__(self, transforms: list[dict[str, Any]]) -> None:
        if not isinstance(transforms, list):
            raise ConfigError(f"augmentation is {transforms!r}, expected a list, each a mapping: correct it")
        library = _import_audiomentations()
        self._transforms: list[tuple[str, Any]] = []
        for number, entry in enumerate(transforms, start=1):
            name, parameters = _read_entry(f"augmentation {number}", entry, library)
            where = f"augmentation {number} ({name})"
            self._transforms.append((where, _build(where, getattr(library, name), parameters)))
            # A second copy is tried, so that the one in use has made no calls, and it is always applied.
            _try_out(where, _build(where, getattr(library, name), parameters | {"p": 1.0}))

    def __call__(self, samples: np.ndarray, sampling_rate: int, seed_numbers: Sequence[int]) -> np.ndarray:
        """Augments one clip.

        Args:
            samples (`np.ndarray` of shape `(samples,)`): float32, full scale at 1. The array itself is not changed.
            sampling_rate (`int`): in hertz.
            seed_numbers (sequence of `int`): each at least 0, such as the seed, the epoch and the row.

        Returns:
            `np.ndarray` of the same shape, float32, which may exceed full scale.

        Raises:
            ConfigError: if the samples are not float32, or a transform fails, changes the length, or gives samples that
                are NaN or infinite.
        """
        if samples.dtype != np.float32:
            # Whole numbers would not be scaled, and added noise would be far too quiet for them.
            raise ConfigError(f"augmentation got samples of {samples.dtype}, expected float32 in -1..1: convert them")
        # A copy keeps the caller's array unchanged, and some transforms refuse a read-only array.
        samples = samples.copy()
        with seeded_generators(seed_numbers):
            for where, transform in self._transforms:
                samples = _apply(where, transform, samples, sampling_rate)
        return samples


@contextmanager
def seeded_generators(seed_numbers: Sequence[int]) -> Iterator[None]:
    """Seeds `random` and NumPy's global generator, and restores both at the end.

    Of five words of `np.random.SeedSequence(seed_numbers)`, the first seeds `random` and the others seed NumPy. Both
    are Mersenne twisters, and would draw the same numbers from the same seed.

    Args:
        seed_numbers (sequence of `int`): each at least 0.
    """
    states = random.getstate(), np.random.get_state()
    word, *words = np.random.SeedSequence(list(seed_numbers)).generate_state(5).tolist()
    try:
        random.seed(word)
        np.random.seed(words)
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])


def _import_audiomentations() -> ModuleType:
    # Imported here, because it takes seconds and most runs do not augment.
    try:
        import audiomentations
    except ImportError as error:
        raise ConfigError(
            f"augmentation needs audiomentations, which cannot be imported ({error}): "
            "pip install 'audiomentations>=0.43', or leave augmentation out"
        ) from None
    return audiomentations


def _read_entry(where: str, entry: Any, library: ModuleType) -> tuple[str, dict[str, Any]]:
    """The name of a transform and its parameters, checked by name and type."""
    if not isinstance(entry, dict):
        raise ConfigError(f"{where} is {entry!r}, expected a mapping such as {{transform: Gain, p: 0.5}}: correct it")
    if "transform" not in entry:
        keys = ", ".join(map(str, entry)) or "nothing"
        raise ConfigError(f"{where} has no key 'transform' (found {keys}): name one, such as {{transform: Gain}}")
    name = entry["transform"]
    names = _transform_names(library)
    if name not in names:
        raise ConfigError(
            f"{where}: transform {name!r} is not a waveform transform of audiomentations that settings can describe: "
            f"{did_you_mean(name, names)}"
        )
    known = dict(inspect.signature(getattr(library, name).__init__).parameters)
    known = {key: value for key, value in known.items() if key != "self" and value.kind is not value.VAR_KEYWORD}
    parameters = {}
    for key, value in entry.items():
        if key == "transform":
            continue
        if key not in known:
            raise ConfigError(f"{where} ({name}): unknown parameter {key!r}: {did_you_mean(key, known)}")
        parameters[key] = _checked(f"{where} ({name}): {key}", key, value, known[key])
    missing = [key for key, value in known.items() if value.default is value.empty and key not in parameters]
    if missing:
        raise ConfigError(f"{where} ({name}): parameter {missing[0]!r} is missing and has no default: give it")
    return name, parameters


def _transform_names(library: ModuleType) -> list[str]:
    from audiomentations.core.transforms_interface import BaseWaveformTransform

    return [
        name
        for name, value in vars(library).items()
        # Lambda needs a function, which settings cannot describe.
        if inspect.isclass(value) and issubclass(value, BaseWaveformTransform) and name != "Lambda"
    ]


def _checked(where: str, key: str, value: Any, parameter: inspect.Parameter) -> Any:
    """The value of a parameter, checked by its default and annotation, because audiomentations itself checks few."""
    choices = typing.get_args(parameter.annotation) if typing.get_origin(parameter.annotation) is typing.Literal else ()
    kind = type(parameter.default)
    if kind in (int, float) and isinstance(value, str):
        # PyYAML reads 1e-3 as a string.
        with suppress(ValueError):
            value = float(value)
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    expected = None
    if choices and value not in choices:
        expected = f"one of {', '.join(choices)}"
    elif kind is bool and not isinstance(value, bool):
        expected = "true or false"
    elif kind in (int, float) and not number:
        expected = "a number"
    elif kind is int and parameter.annotation is int and not float(value).is_integer():
        expected = "a whole number"
    elif key.endswith("_path") and not _are_paths(value):
        expected = "an audio file, a folder of them, or a list of these, all of which exist"
    if expected:
        raise ConfigError(f"{where} is {value!r}, expected {expected}: correct it")
    return int(value) if kind is int and parameter.annotation is int else value


def _are_paths(value: Any) -> bool:
    paths = value if isinstance(value, list) else [value]
    return bool(paths) and all(isinstance(path, str | Path) and Path(path).exists() for path in paths)


def _build(where: str, transform: Any, parameters: dict[str, Any]) -> Any:
    try:
        return transform(**parameters)
    except ImportError as error:
        raise _missing_package(where, error) from None
    except Exception as error:
        raise ConfigError(f"{where} refuses its parameters ({_reason(error)}): correct them") from None


def _try_out(where: str, transform: Any) -> None:
    samples = np.random.default_rng(0).normal(scale=0.1, size=TRIAL_SAMPLES).astype(np.float32)
    samples[: TRIAL_SAMPLES // 4] = samples[-TRIAL_SAMPLES // 4 :] = 0
    results = []
    for _ in range(2):
        with seeded_generators((0,)):
            results.append(_apply(where, transform, samples.copy(), TRIAL_RATE))
    if not np.array_equal(results[0], results[1]):
        raise ConfigError(
            f"{where} draws from a generator that cannot be seeded, so that no run could be repeated: choose other "
            "parameters or leave it out"
        )
    # The trial above has drawn only one of many possible rates.
    if getattr(transform, "method", None) == "signalsmith_stretch":
        rate = getattr(transform, "min_rate", 1.0)
        if rate < LEAST_SEEDED_RATE:
            raise ConfigError(
                f"{where}: min_rate is {rate:g}, and below {LEAST_SEEDED_RATE:g} signalsmith_stretch draws from a "
                "generator that cannot be seeded: raise it, or set method: librosa_phase_vocoder"
            )


def _apply(where: str, transform: Any, samples: np.ndarray, sampling_rate: int) -> np.ndarray:
    try:
        changed = transform(samples, sampling_rate)
    except ImportError as error:
        raise _missing_package(where, error) from None
    except Exception as error:
        raise ConfigError(
            f"{where} fails on a clip of {len(samples) / sampling_rate:.3f} s ({_reason(error)}): correct its "
            "parameters or leave it out"
        ) from None
    if changed.shape != samples.shape:
        remedy = "set leave_length_unchanged: true" if hasattr(transform, "leave_length_unchanged") else "leave it out"
        raise ConfigError(
            f"{where} turns {len(samples)} samples into {changed.shape[-1]}, but a clip must keep its length, because "
            f"batches are made by length: {remedy}"
        )
    with np.errstate(over="ignore"):  # an overflow becomes an infinity, which is refused below
        # Contiguous, because torch does not accept the view of a reversed array.
        changed = np.ascontiguousarray(changed, dtype=np.float32)
    if not np.isfinite(changed).all():
        raise ConfigError(f"{where} gives samples that are NaN or infinite: correct its parameters or leave it out")
    return changed


def _missing_package(where: str, error: ImportError) -> ConfigError:
    package = (error.name or str(error)).split(".")[0].replace("_", "-")
    return ConfigError(f"{where} needs {package}, which cannot be imported: pip install {package}, or leave it out")


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split()).rstrip(".")
    if isinstance(error, AssertionError) and not text:
        # Most assertions of audiomentations have no message, but their source line says what was expected.
        line = traceback.extract_tb(error.__traceback__)[-1].line or ""
        text = "expected " + line.removeprefix("assert ").replace("self.", "")
    return text or type(error).__name__
