"""Finds the recordings that a command line names, and sets those aside that cannot be read."""

from collections.abc import Sequence
from pathlib import Path

from datasets import Dataset

from paravox.modeling.errors import AudioError
from paravox.trainers.multi_task_dataset import MultiTaskDataset

SUFFIXES = frozenset((".wav", ".flac", ".ogg", ".opus", ".mp3", ".aiff", ".au", ".w64", ".caf", ".webm"))


def find_audio_files(paths: Sequence[str]) -> list[Path]:
    """The files as given, and for a folder every audio file in it and its sub-folders, sorted.

    Raises:
        AudioError: if a folder holds no audio file.
    """
    files: list[Path] = []
    for path in map(Path, paths):
        if not path.is_dir():
            files.append(path)
            continue
        inside = sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES)
        if not inside:
            raise AudioError(f"folder {path} holds no audio file ({', '.join(sorted(SUFFIXES))}): give another one")
        files += inside
    return files


def as_dataset(paths: Sequence[str | Path], sampling_rate: int) -> MultiTaskDataset:
    """Recordings without labels, as one pass of a model over clips takes them.

    Args:
        paths (sequence of `str` or `Path`).
        sampling_rate (`int`): that of the model's feature extractor, in hertz.
    """
    clips = Dataset.from_dict({"path": [str(path) for path in paths]})
    return MultiTaskDataset(clips, tasks=[], sampling_rate=sampling_rate)


def readable_files(paths: Sequence[str | Path], sampling_rate: int) -> tuple[list[str], list[str]]:
    """Decodes every file and sorts out those that cannot be used.

    Args:
        paths (sequence of `str` or `Path`).
        sampling_rate (`int`): as in [`as_dataset`].

    Returns:
        The files that can be read, in the order given, and one message for each of the others.
    """
    if not paths:
        return [], []
    readable, messages = as_dataset(paths, sampling_rate).skip_unreadable()
    return list(readable.recordings.clips["path"]), messages
