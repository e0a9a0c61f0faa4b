"""Finds the recordings that a command line names."""

from collections.abc import Sequence
from pathlib import Path

from paravox.modeling.errors import AudioError

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
