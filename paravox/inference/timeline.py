"""The timeline of a long recording: where its sounds are, what a model hears in them, and how sure it is."""

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch

from paravox.inference.defaults import DEFAULT_MODEL
from paravox.inference.opening import FeatureExtractor, Model, open_model
from paravox.inference.prediction import UNUSUAL as HOW_UNUSUAL
from paravox.inference.prediction import describe, pass_settings
from paravox.inference.sound_settings import SoundSettings
from paravox.inference.sounds import Span, find_sounds
from paravox.modeling.audio import AudioSource, load_audio
from paravox.modeling.errors import ConfigError, did_you_mean
from paravox.modeling.tasks import Task, parse_tasks
from paravox.trainers.clip_pass import in_row_order, pass_over_clips
from paravox.trainers.device_features import DeviceFeatures
from paravox.trainers.file_pass import SamplesCollator
from paravox.trainers.sampler import ClipDraw

CERTAIN, UNCERTAIN, UNUSUAL = STATES = ("certain", "uncertain", "unusual")
# A model hears this much before and behind a sound as well, because the clips that it knows do not begin at once.
CONTEXT_SECONDS = 0.1
# What a figure shows of a recording, however long it is.
MOST_COLUMNS = 12_000


@dataclass(frozen=True)
class Event:
    """A sound of a recording, or several that touch and are alike.

    Args:
        start (`float`): in seconds.
        end (`float`): in seconds.
        label (`str`, *optional*): the label with the highest score; none if the sound is unusual.
        certainty (`float`): the highest score, 0 to 1: the intensity or probability of the label, which is calibrated
            if the model was.
        state (`str`): `certain`; `uncertain`, if the certainty is below the least one; or `unusual`, if the sound is
            unlike the recordings that the model was trained on, which a model tells if it was calibrated.
        unusual (`float`, *optional*): how unlike them it is; above 1 it is unusual.
        scores (`dict`): the intensity or probability of each label, 0 to 1.
    """

    start: float
    end: float
    label: str | None
    certainty: float
    state: str
    unusual: float | None
    scores: dict[str, float]

    @property
    def name(self) -> str:
        """What a reader sees, on one line: the label, with a question mark if it is uncertain, or `unusual`."""
        if self.label is None:
            return UNUSUAL
        return " ".join(self.label.split()) + ("?" if self.state == UNCERTAIN else "")


@dataclass(frozen=True, eq=False)
class Timeline:
    """The events of a recording.

    Args:
        events (list of [`Event`]): in their order; they do not overlap.
        seconds (`float`): the length of the recording.
        task (`str`): the name of the task whose labels the events have.
        labels (tuple of `str`): of the task.
        settings (`dict`): the settings with which it was made.
        envelope (`np.ndarray` of shape `(columns, 2)`): the lowest and the highest sample of equal parts of the
            recording, for a figure.
        recording (`str`, *optional*): its path, if it has one.
    """

    events: list[Event]
    seconds: float
    task: str
    labels: tuple[str, ...]
    settings: dict[str, Any]
    envelope: np.ndarray
    recording: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """All but the envelope as plain data, ready for JSON."""
        return {
            "recording": self.recording,
            "seconds": self.seconds,
            "task": self.task,
            "labels": list(self.labels),
            "settings": self.settings,
            "events": [asdict(event) for event in self.events],
        }


def timeline(
    recording: AudioSource,
    model: Any = DEFAULT_MODEL,
    *,
    feature_extractor: FeatureExtractor | None = None,
    task: str | None = None,
    least_certainty: float | None = None,
    keep_uncertain: bool = False,
    threshold_db: float = SoundSettings().threshold_db,
    min_seconds: float = SoundSettings().min_seconds,
    max_gap: float = SoundSettings().max_gap,
    longest_seconds: float = SoundSettings().longest_seconds,
    batch_seconds: float | None = None,
    revision: str | None = None,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Timeline:
    """Finds the sounds of a recording by their energy, names them by a model, and keeps those that it is sure of.

    The recording is decoded once and stays in memory: 230 MB per hour at 16 kHz, and twice as much while it is decoded.
    What else is needed does not grow with its length.

    Args:
        recording ([`AudioSource`]): a path, bytes, a file object, or `(array, rate)`. It lasts at most four hours.
        model (`str`, `Path` or a model): a folder or Hub name, or a model that is open already, which stays where it
            is.
        feature_extractor (*optional*): needed for a model that is open already.
        task (`str`, *optional*): a task of the model, of kind `intensities` or `classes`. By default the first such.
        least_certainty (`float`, *optional*): events with a lower score are left out. By default that of
            [`default_certainty`].
        keep_uncertain (`bool`, *optional*, defaults to `False`): keep them, as `uncertain`.
        threshold_db, min_seconds, max_gap, longest_seconds (`float`, *optional*): as in [`SoundSettings`].
        batch_seconds (`float`, *optional*): seconds of audio per batch. By default it depends on the device.
        revision (`str`, *optional*): a branch, tag or commit of a model on the Hub.
        device (`str` or `torch.device`, *optional*, defaults to `"cpu"`): where a model that is opened runs.
        dtype (`torch.dtype`, *optional*, defaults to `torch.float32`): of the weights and the computation.

    Returns:
        [`Timeline`].

    Raises:
        AudioError: if the recording cannot be used.
        ConfigError: if a setting does not fit, or the model has no task of these kinds.
        CheckpointError: if the model cannot be opened.
    """
    sounds = SoundSettings(threshold_db, min_seconds, max_gap, longest_seconds)
    sounds.check()
    if least_certainty is not None and not 0 <= least_certainty <= 1:
        raise ConfigError(f"least_certainty is {least_certainty}: give a number from 0 to 1")
    if model is None:
        raise ConfigError("no model is named, and none comes with paravox: give a folder, or a name on the Hub")
    if isinstance(model, (str, os.PathLike)):
        model, feature_extractor = open_model(str(model), revision, device, dtype)
    if feature_extractor is None:
        raise ConfigError("a model that is open already needs its feature_extractor: give it, or the model's folder")
    chosen = choose_task(model, task)
    least = default_certainty(chosen) if least_certainty is None else least_certainty
    check_longest(feature_extractor, longest_seconds)
    rate = feature_extractor.sampling_rate
    samples = load_audio(recording, rate)
    found = find_sounds(samples, rate, sounds)
    results = name_sounds(model, feature_extractor, samples, found, batch_seconds)
    return Timeline(
        events=as_events(found, chosen, results, least, keep_uncertain),
        seconds=len(samples) / rate,
        task=chosen.name,
        labels=chosen.labels,
        settings={"least_certainty": least, "keep_uncertain": keep_uncertain, **sounds._asdict()},
        envelope=envelope_of(samples),
        recording=str(recording) if isinstance(recording, (str, os.PathLike)) else None,
    )


def choose_task(model: Model, name: str | None = None) -> Task:
    """The task of a name, or the first that has labels.

    Raises:
        ConfigError: if the model has no such task.
    """
    tasks = {task.name: task for task in parse_tasks(model.config.tasks) if task.kind != "scalar"}
    if not tasks:
        raise ConfigError("the model only predicts scalars, and a timeline needs labels: give another model")
    if name is not None and name not in tasks:
        raise ConfigError(f"the model has no task {name!r} with labels: {did_you_mean(name, tasks)}")
    return next(iter(tasks.values())) if name is None else tasks[name]


def default_certainty(task: Task) -> float:
    """The least certainty of an event, if none is given: the root of the score that guessing gives.

    This is 0.71 with two labels, 0.32 with ten and 0.18 with thirty, because a model of many labels is rarely sure.
    """
    return max(2, task.outputs) ** -0.5


def check_longest(extractor: FeatureExtractor, longest_seconds: float) -> None:
    """Raises [`ConfigError`] if a model does not take sounds that are this long."""
    most = extractor.max_seconds
    if most is not None and longest_seconds + 2 * CONTEXT_SECONDS > most:
        raise ConfigError(
            f"longest_seconds is {longest_seconds:g}, and the model takes {most:g} s: give at most "
            f"{most - 2 * CONTEXT_SECONDS:g}"
        )


def name_sounds(
    model: Model,
    extractor: FeatureExtractor,
    samples: np.ndarray,
    sounds: Sequence[Span],
    batch_seconds: float | None = None,
    show_progress: bool = True,
) -> dict[str, np.ndarray]:
    """Runs a model over the sounds of a recording, in batches.

    Args:
        model ([`Model`]): it runs where it is, in the type of its weights.
        extractor: the feature extractor of the model.
        samples (`np.ndarray` of shape `(samples,)`): the recording, mono, at the rate of the feature extractor.
        sounds (sequence of [`Span`]).
        batch_seconds (`float`, *optional*): seconds of audio per batch. By default it depends on the device.
        show_progress (`bool`, *optional*, defaults to `True`): show one line with the time left.

    Returns:
        `dict` of `np.ndarray`: per task its outputs `(sounds, ...)`, calibrated if the model was, and how unusual each
        sound is `(sounds,)` if the model knows it. It is empty if there is no sound.
    """
    features = DeviceFeatures(extractor)

    def step(model: Any, inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return describe(model, features(**inputs))

    clips = _Sounds(samples, extractor.sampling_rate, sounds)
    # Without workers, each of which would get a copy of the recording.
    settings = replace(pass_settings(model, len(clips), batch_seconds, num_workers=0), show_progress=show_progress)
    results = pass_over_clips(model, clips, SamplesCollator(extractor), step, settings, "sounds")
    return in_row_order(results, len(clips)) if len(clips) else {}


def as_events(
    sounds: Sequence[Span],
    task: Task,
    results: dict[str, np.ndarray],
    least_certainty: float,
    keep_uncertain: bool = False,
) -> list[Event]:
    """The events of sounds that were named. Parts of one sound that touch and are alike become one event.

    Args:
        sounds (sequence of [`Span`]): in their order.
        task ([`Task`]): whose labels the events get.
        results (`dict` of `np.ndarray`): from [`name_sounds`].
        least_certainty (`float`): events with a lower score are left out.
        keep_uncertain (`bool`, *optional*, defaults to `False`): keep them, as `uncertain`.
    """
    groups: list[list[Event]] = []
    for row, sound in enumerate(sounds):
        scores = dict(zip(task.labels, results[task.name][row].tolist(), strict=True))
        unusual = float(results[HOW_UNUSUAL][row]) if HOW_UNUSUAL in results else None
        event = _as_event(sound, scores, unusual, least_certainty)
        if not keep_uncertain and not event.certainty >= least_certainty:
            continue
        before = groups[-1][-1] if groups else None
        if before and (before.end, before.label, before.state) == (event.start, event.label, event.state):
            groups[-1].append(event)
        else:
            groups.append([event])
    return [_joined(group) for group in groups]


def envelope_of(samples: np.ndarray) -> np.ndarray:
    """The lowest and the highest sample of at most 12,000 equal parts of a recording, `(parts, 2)`."""
    starts = np.linspace(0, len(samples), min(len(samples), MOST_COLUMNS), endpoint=False).astype(int)
    return np.stack([np.minimum.reduceat(samples, starts), np.maximum.reduceat(samples, starts)], axis=1)


def _as_event(sound: Span, scores: dict[str, float], unusual: float | None, least_certainty: float) -> Event:
    label = max(scores, key=scores.__getitem__)
    certainty = scores[label]
    is_unusual = unusual is not None and not unusual <= 1
    state = UNUSUAL if is_unusual else CERTAIN if certainty >= least_certainty else UNCERTAIN
    return Event(*sound, None if is_unusual else label, certainty, state, unusual, scores)


def _joined(events: list[Event]) -> Event:
    """One event for several that touch, with the means of their numbers over time."""
    if len(events) == 1:
        return events[0]
    lengths = [event.end - event.start for event in events]
    means = np.average([list(event.scores.values()) for event in events], axis=0, weights=lengths).tolist()
    scores = dict(zip(events[0].scores, means, strict=True))
    unusual = None
    if events[0].unusual is not None:
        unusual = float(np.average([event.unusual for event in events], weights=lengths))
    first, last = events[0], events[-1]
    return Event(first.start, last.end, first.label, max(means), first.state, unusual, scores)


@dataclass(frozen=True)
class _Sounds:
    """The sounds of a decoded recording as a pass reads them: parts of the recording, which are not copied."""

    samples: np.ndarray
    sampling_rate: int
    spans: Sequence[Span]

    @property
    def seconds(self) -> np.ndarray:
        return np.array([len(self.part(span)) / self.sampling_rate for span in self.spans])

    def part(self, span: Span) -> np.ndarray:
        start, end = span.start - CONTEXT_SECONDS, span.end + CONTEXT_SECONDS
        return self.samples[max(0, round(start * self.sampling_rate)) : round(end * self.sampling_rate)]

    def __len__(self) -> int:
        return len(self.spans)

    def __getitem__(self, draw: ClipDraw) -> dict[str, Any]:
        return {"draw": draw, "clip": self.part(self.spans[draw.index])}
