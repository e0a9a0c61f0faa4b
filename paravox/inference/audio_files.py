"""Finds the recordings that a command line names."""

from collections.abc import Sequence
from pathlib import Path

from paravox.modeling.audio import AUDIO_SUFFIXES
from paravox.modeling.errors import AudioError
from paravox.trainers.files import files_below


def find_audio_files(paths: Sequence[str]) -> list[Path]:
    """The files as given, and for a folder every audio file in it, in its sub-folders and behind its links, sorted.

    Raises:
        AudioError: if a folder holds no audio file, or a folder in it cannot be read.
    """

    def unreadable(error: OSError) -> None:
        raise AudioError(
            f"the folder {error.filename} cannot be read ({error.strerror}): correct its permissions or its link"
        ) from None

    files: list[Path] = []
    for path in map(Path, paths):
        if not path.is_dir():
            files.append(path)
            continue
        inside = [file for file in files_below(path, unreadable) if file.suffix.lower() in AUDIO_SUFFIXES]
        if not inside:
            raise AudioError(
                f"folder {path} holds no audio file ({', '.join(sorted(AUDIO_SUFFIXES))}): give another one"
            )
        files += inside
    return files
