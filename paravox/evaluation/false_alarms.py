"""How often significance tests find a difference between two equally good models, on simulated shared, clustered clips.

Every simulated clip has one error per model, with the same distribution for both. Two numbers shape the errors:

- `sharing`, the correlation of the two models' errors: a clip is hard or easy for both.
- `clustering`, the share of the variance of the difference between the errors that speakers explain: on one speaker the
  first model is better, on another the second, with a mean of 0 over all speakers.
"""

from collections.abc import Sequence
from itertools import product
from typing import NamedTuple

import numpy as np
from scipy.stats import binomtest
from tqdm import tqdm

from paravox.evaluation.bootstrap import bootstrap_scores, draw_speakers
from paravox.evaluation.significance import bootstrap_test, paired_test, paper_test, speaker_test
from paravox.modeling.errors import ConfigError
from paravox.modeling.tasks import Task

LEVEL = 0.05
"""A test raises a false alarm where p <= 0.05, as in the paper's Table 2."""
TASKS = (
    Task("emotion", "intensities", labels=("Amusement", "Awe", "Fear", "Sadness")),
    Task("age", "scalar", range=(20, 60), unit="years"),
    Task("origin", "classes", labels=("A", "B", "C")),
)
SCORES = {"intensities": "ccc", "scalar": "mae", "classes": "uar"}
"""The score that the bootstrap compares."""
PAPER, PAIRED, SPEAKERS, BOOTSTRAP = TESTS = ("paper", "paired", "speakers", "bootstrap")
# The mean error and its standard deviation. An error is a normal number, and is below 0 once in a thousand clips.
_ERRORS = {"intensities": (0.15, 0.05), "scalar": (8.0, 2.5)}
_WRONG = 0.25  # the share of clips whose class is wrong


class Size(NamedTuple):
    """How large a simulated split is."""

    clips: int
    speakers: int


class Setting(NamedTuple):
    """What shapes the errors; see the head of this file. Both numbers are at least 0, and their sum is below 1."""

    sharing: float
    clustering: float


def draw_clips(size: Size, generator: np.random.Generator) -> np.ndarray:
    """Draws the speaker of each clip. Speakers have unequal numbers of clips, and each has at least one.

    Returns:
        `np.ndarray` of integers of shape `(clips,)`, sorted.

    Raises:
        ConfigError: if there are fewer than two speakers, or fewer clips than speakers.
    """
    clips, speakers = size
    if not 2 <= speakers <= clips:
        raise ConfigError(f"{clips} clips of {speakers} speakers: give at least 2 speakers, and a clip for each")
    shares = generator.dirichlet(np.full(speakers, 3.0))
    return np.repeat(np.arange(speakers), 1 + generator.multinomial(clips - speakers, shares))


def simulate(
    task: Task, setting: Setting, speaker_of_clip: np.ndarray, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draws labels, and the predictions of two equally good models.

    For classes, all clips of a speaker have the same label, as countries do.

    Args:
        task ([`Task`]): one of [`TASKS`].
        setting ([`Setting`]).
        speaker_of_clip (`np.ndarray` of shape `(clips,)`): from [`draw_clips`].
        generator (`np.random.Generator`).

    Returns:
        the predictions of the first and of the second model, and the labels, as [`clip_errors`] takes them. For a clip,
        the errors that it finds have the correlation and the share of variance that `setting` states.
    """
    clips = len(speaker_of_clip)
    if task.kind == "classes":
        labels = speaker_of_clip % task.outputs
        wrong = _wrong_clips(setting, speaker_of_clip, generator)
        guesses = np.where(wrong, (labels[:, None] + 1) % task.outputs, labels[:, None])
        predictions = np.eye(task.outputs)[guesses]
        return predictions[:, 0], predictions[:, 1], labels
    low, high = task.range or (0.0, 1.0)
    mean, spread = _ERRORS[task.kind]
    labels = generator.uniform(low, high, (clips, task.outputs))
    sizes = mean + spread * _normal_errors(setting, speaker_of_clip, generator)
    signs = generator.choice([-1.0, 1.0], size=(2, clips, task.outputs))
    first, second = (labels + signs[model] * sizes[:, [model]] for model in range(2))
    if task.kind == "scalar":
        return first[:, 0], second[:, 0], labels[:, 0]
    return first, second, labels


def _normal_errors(setting: Setting, speaker_of_clip: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Standard normal errors `(clips, 2)` of two models: a shared part, one of the speaker, and the rest."""
    sharing, clustering = setting
    clips = len(speaker_of_clip)
    shared = generator.normal(size=(clips, 1))
    of_speaker = generator.normal(size=(speaker_of_clip[-1] + 1, 2))[speaker_of_clip]
    own = np.sqrt(clustering) * of_speaker + np.sqrt(1 - clustering) * generator.normal(size=(clips, 2))
    return np.sqrt(sharing) * shared + np.sqrt(1 - sharing) * own


def _wrong_clips(setting: Setting, speaker_of_clip: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Which clips `(clips, 2)` each of two models gets wrong.

    A share of the clips, `sharing`, is wrong or right for both models. On the other clips, each model has its own rate
    for each speaker, drawn from a beta distribution. The variance of its rates is that of a wrong clip times
    `clustering / (1 - sharing)`, because speakers can explain the variance on these clips alone.
    """
    sharing, clustering = setting
    clips, speakers = len(speaker_of_clip), speaker_of_clip[-1] + 1
    rates = np.full((speakers, 2), _WRONG)
    if clustering:
        total = (1 - sharing) / clustering - 1
        rates = generator.beta(_WRONG * total, (1 - _WRONG) * total, size=(speakers, 2))
    own = generator.random((clips, 2)) < rates[speaker_of_clip]
    shared = generator.random((clips, 1)) < _WRONG
    return np.where(generator.random((clips, 1)) < sharing, shared, own)


def p_values(
    task: Task,
    first: np.ndarray,
    second: np.ndarray,
    labels: np.ndarray,
    speaker_of_clip: np.ndarray,
    counts: np.ndarray,
) -> dict[str, float]:
    """The p-value of every test in [`TESTS`] on the same two models.

    Args:
        task, first, second, labels, speaker_of_clip: as in [`simulate`].
        counts (`np.ndarray` of shape `(draws + 1, clips)`): from [`draw_speakers`].
    """
    score = f"{task.name}_{SCORES[task.kind]}"
    drawn = [
        bootstrap_scores([task], {task.name: model}, {task.name: labels}, counts)[score] for model in (first, second)
    ]
    return {
        PAPER: paper_test(task, first, second, labels),
        PAIRED: paired_test(task, first, second, labels),
        SPEAKERS: speaker_test(task, first, second, labels, speaker_of_clip),
        BOOTSTRAP: bootstrap_test(*drawn),
    }


def measure_false_alarms(
    sizes: Sequence[Size], settings: Sequence[Setting], repetitions: int, draws: int, seed: int
) -> list[dict]:
    """Simulates every size, setting and kind of task, and counts how often each test finds p <= 0.05.

    A repetition draws the clips of the speakers and the draws of the bootstrap once, for all settings and kinds.

    Args:
        sizes (sequence of [`Size`]).
        settings (sequence of [`Setting`]).
        repetitions (`int`): how often each is simulated.
        draws (`int`): of the bootstrap in each repetition. With one less than a multiple of 40, p <= 0.05 stands for
            exactly 5 % of the draws.
        seed (`int`): the same arguments give the same rates.

    Returns:
        list of `dict`: for each, `clips`, `speakers`, `sharing`, `clustering`, `kind`, `test`, the `rate` of false
        alarms (0 to 1), and `interval`, its 95 % interval over the repetitions (Wilson's).

    Raises:
        ConfigError: if a size or a setting is not possible.
    """
    for setting in settings:
        if min(setting) < 0 or not sum(setting) < 1:
            raise ConfigError(
                f"sharing {setting.sharing:g} with clustering {setting.clustering:g}: give numbers of at least 0 whose "
                "sum is below 1"
            )
    cells = list(product(sizes, settings, TASKS))
    alarms = {cell: dict.fromkeys(TESTS, 0) for cell in cells}
    simulations = list(product(range(repetitions), sizes))
    for repetition, size in tqdm(simulations, desc="simulations", leave=False):
        generator = np.random.default_rng([seed, repetition, *size])
        speaker_of_clip = draw_clips(size, generator)
        names = [str(speaker) for speaker in speaker_of_clip]
        counts = draw_speakers(names, draws, seed=int(generator.integers(2**32)))
        for setting, task in product(settings, TASKS):
            models_and_labels = simulate(task, setting, speaker_of_clip, generator)
            for test, p in p_values(task, *models_and_labels, speaker_of_clip, counts).items():
                alarms[size, setting, task][test] += p <= LEVEL
    return [
        {**size._asdict(), **setting._asdict(), "kind": task.kind, "test": test, **_rate(count, repetitions)}
        for (size, setting, task), by_test in alarms.items()
        for test, count in by_test.items()
    ]


def _rate(count: int, repetitions: int) -> dict:
    ends = binomtest(count, repetitions).proportion_ci(confidence_level=0.95, method="wilson")
    return {"rate": round(count / repetitions, 4), "interval": [round(float(end), 4) for end in ends]}
