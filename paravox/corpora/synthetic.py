"""A corpus of synthetic bursts with ExVo's labels, for the demo and for tests of bias, where the truth must be known.

A burst is a series of pulses of a voice: a glottal source with jitter and breath, filtered by three formants. Age
changes pitch and formants, country changes rhythm and timbre, and each emotion changes a contour of its own. The labels
carry noise. No recording of a person is in it, and nothing that holds for it is evidence about people.
"""

import csv
import io
from pathlib import Path

import numpy as np
import soundfile
from scipy.signal import lfilter

from paravox.corpora.exvo import AGES, COUNTRIES, EMOTIONS
from paravox.trainers.files import written_aside

SAMPLING_RATE = 16_000
CLIPS_PER_SPEAKER = 5
# By country: pulses per second, the share of breath in the source, and how fast the harmonics fall off.
RHYTHM = {"China": 2.5, "South Africa": 4.0, "USA": 5.5, "Venezuela": 7.5}
BREATH = {"China": 0.05, "South Africa": 0.35, "USA": 0.15, "Venezuela": 0.5}
TILT = {"China": 0.97, "South Africa": 0.6, "USA": 0.9, "Venezuela": 0.3}
# Mean age by country at full bias: as in figure 1 of the paper, the speakers from the USA are older.
BIASED_AGE = {"China": 23.0, "South Africa": 25.0, "USA": 35.0, "Venezuela": 27.0}
FORMANTS = (700.0, 1300.0, 2600.0)  # of a neutral vowel, in hertz
NEUTRAL = {"glide": 0.0, "vibrato": 0.0, "pitch": 0.0, "attack": 0.15, "roughness": 0.0, "opening": 0.0, "decay": 1.5}
# What each emotion changes: pitch, its glide over the burst, vibrato and the opening of the first formant (octaves),
# the attack (share of a pulse), the roughness (share of amplitude modulation at 60 Hz), and how fast a pulse decays.
CONTOURS = {
    "Awe": {"glide": -0.3, "attack": 0.4, "opening": 0.5},
    "Excitement": {"pitch": 0.6, "glide": 0.6, "attack": 0.02},
    "Amusement": {"vibrato": 0.25, "decay": 5.0, "pitch": 0.2},
    "Awkwardness": {"pitch": -0.3, "opening": -0.6, "decay": 0.5},
    "Fear": {"pitch": 0.9, "vibrato": 0.12, "attack": 0.05},
    "Horror": {"pitch": 0.7, "roughness": 0.9, "opening": 0.5},
    "Distress": {"roughness": 0.6, "glide": -0.5, "decay": 0.5},
    "Triumph": {"glide": 0.9, "opening": 0.3, "decay": 0.2},
    "Sadness": {"pitch": -0.4, "glide": -0.7, "attack": 0.3},
    "Surprise": {"glide": 1.3, "attack": 0.02, "decay": 4.0},
}


def write_synthetic_corpus(
    folder: str | Path,
    clips_per_split: dict[str, int],
    bias: float = 0.0,
    label_noise: float = 0.05,
    seed: int = 0,
) -> Path:
    """Writes WAV files and a `metadata.csv` that [`read_metadata_csv`] reads.

    Args:
        folder (`str` or `Path`): where to write. It is made if it does not exist.
        clips_per_split (`dict`): the number of clips of `train`, `validation` and `test`. No speaker is in two of them.
        bias (`float`, *optional*, defaults to 0): for which share of the speakers of Train, from 0 to 1, the country
            decides the age. Val and Test are unbiased, so that they show what a model learned from it.
        label_noise (`float`, *optional*, defaults to 0.05): the standard deviation of the noise on the intensities.
        seed (`int`, *optional*, defaults to 0): the same seed writes the same files.

    Returns:
        `Path`: the folder.
    """
    folder = Path(folder)
    (folder / "audio").mkdir(parents=True, exist_ok=True)
    header = ["file_name", "speaker", "split", *EMOTIONS, "age", "country"]
    rows = []
    for split_number, (split, clips) in enumerate(clips_per_split.items()):
        generator = np.random.default_rng([seed, split_number])
        for clip in range(clips):
            if clip % CLIPS_PER_SPEAKER == 0:
                speaker = _draw_speaker(generator, bias if split == "train" else 0.0)
            intensities = draw_intensities(generator)
            samples = synthesise(speaker, intensities, generator)
            file_name = f"audio/{split}_{clip:05d}.wav"
            # By way of the memory, because libsndfile does not say why it cannot write.
            soundfile.write(content := io.BytesIO(), samples, SAMPLING_RATE, format="WAV")
            (folder / file_name).write_bytes(content.getvalue())
            noisy = np.clip(
                intensities + generator.normal(scale=label_noise, size=len(EMOTIONS)) * (intensities < 1), 0, 1
            )
            labels = [*np.round(noisy, 3), round(speaker["age"], 1), speaker["country"]]
            rows.append([file_name, f"{split}_{clip // CLIPS_PER_SPEAKER}", split, *labels])
    with written_aside(folder / "metadata.csv") as part, open(part, "w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return folder


def _draw_speaker(generator: np.random.Generator, bias: float) -> dict:
    country = COUNTRIES[generator.integers(len(COUNTRIES))]
    age = generator.uniform(*AGES)
    if generator.random() < bias:
        age = float(np.clip(generator.normal(BIASED_AGE[country], 1.5), *AGES))
    return {"country": country, "age": age, "voice": generator.normal(scale=0.15)}


def draw_intensities(generator: np.random.Generator) -> np.ndarray:
    """Draws ten intensities in 0..1 as raters give them: one emotion at 1, up to two others below, the rest at 0."""
    intensities = np.zeros(len(EMOTIONS))
    felt = generator.permutation(len(EMOTIONS))[: generator.integers(1, 4)]
    intensities[felt] = generator.uniform(0.2, 0.7, size=len(felt))
    intensities[felt[0]] = 1.0
    return intensities


def synthesise(speaker: dict, intensities: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Synthesises one burst of a speaker.

    Args:
        speaker (`dict`): `country`, `age` in years, and `voice`, the pitch of this speaker relative to others in
            octaves.
        intensities (`np.ndarray` of shape `(10,)`): the intensities of the emotions in 0..1.
        generator (`np.random.Generator`): draws length, jitter, breath and rhythm.

    Returns:
        `np.ndarray` of shape `(samples,)`: at 16 kHz, with a peak of 0.5.
    """
    country = speaker["country"]
    contour = {name: neutral + _moved(name, neutral, intensities) for name, neutral in NEUTRAL.items()}
    seconds = generator.uniform(0.5, 1.4)
    time = np.arange(int(seconds * SAMPLING_RATE)) / SAMPLING_RATE
    youth = (AGES[1] - speaker["age"]) / (AGES[1] - AGES[0])  # 1 for the youngest
    octaves = 0.8 * youth + speaker["voice"] + contour["pitch"] + contour["glide"] * (time / seconds - 0.5)
    octaves = octaves + contour["vibrato"] * np.sin(2 * np.pi * 6 * time) + generator.normal(scale=0.01)
    phase = 2 * np.pi * np.cumsum(110 * 2**octaves) / SAMPLING_RATE
    pulses = np.where(np.diff(np.floor(phase / (2 * np.pi)), prepend=0.0) > 0, 1.0, 0.0)
    voice = lfilter([1.0], [1.0, -TILT[country]], pulses)
    breath = generator.normal(scale=voice.std() + 1e-9, size=len(time))
    source = (1 - BREATH[country]) * voice + BREATH[country] * breath
    sound = source
    for number, formant in enumerate(FORMANTS):
        moved = formant * 2 ** (0.35 * youth + (contour["opening"] if number == 0 else 0.0))
        sound = _resonate(sound, moved, bandwidth=120.0)
    pulses_per_second = RHYTHM[country] * 2 ** generator.normal(scale=0.3)
    sound = sound * _envelope(time, pulses_per_second, contour)
    sound = sound * (1 - contour["roughness"] * (0.5 + 0.5 * np.sin(2 * np.pi * 60 * time)))
    return (0.5 * sound / (np.abs(sound).max() + 1e-9)).astype(np.float32)


def _moved(name: str, neutral: float, intensities: np.ndarray) -> float:
    """Computes how far the emotions, by their intensities, move one parameter of the contour away from neutral."""
    targets = np.array([CONTOURS[emotion].get(name, neutral) for emotion in EMOTIONS])
    return float(((targets - neutral) * intensities).sum() / max(1.0, intensities.sum() ** 0.5))


def _resonate(source: np.ndarray, formant: float, bandwidth: float) -> np.ndarray:
    """Filters the source by a formant, a resonance of two poles, and adds a part of the source that bypasses it."""
    radius = np.exp(-np.pi * bandwidth / SAMPLING_RATE)
    angle = 2 * np.pi * min(formant, 0.45 * SAMPLING_RATE) / SAMPLING_RATE
    resonance = lfilter([1 - radius], [1.0, -2 * radius * np.cos(angle), radius**2], source)
    return resonance / (resonance.std() + 1e-9) + 0.3 * source / (source.std() + 1e-9)


def _envelope(time: np.ndarray, pulses_per_second: float, contour: dict[str, float]) -> np.ndarray:
    within = (time * pulses_per_second) % 1.0  # the position of a sample in its pulse, 0..1
    attack = np.clip(contour["attack"], 0.01, 0.8)
    rise = np.minimum(within / attack, 1.0)
    return rise * np.exp(-np.clip(contour["decay"], 0.0, 8.0) * np.maximum(within - attack, 0.0))
