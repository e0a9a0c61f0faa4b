"""The same recording under two names, and the same speaker under two spellings, in any corpus.

A recording is known by its content, whatever names and links lead to it. Files are only opened where two of them have
the same size, and they are only read as a whole where samples of both are the same.
"""

import hashlib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.compute
from datasets import Audio, Dataset

from paravox.corpora.faults import Faults, speakers_and_splits, visible
from paravox.corpora.reading import warn_with_examples
from paravox.modeling.audio import duration_seconds
from paravox.modeling.errors import AudioError
from paravox.modeling.tasks import Task

# Looking files up and reading short ones mostly waits for the disk.
THREADS = 4
SAMPLED_BYTES = 4096


@dataclass(frozen=True, eq=False)
class Recording:
    """One row of a corpus, as far as it matters whether two rows are the same recording.

    Args:
        split (`str`): in which it is.
        row (`int`): in its split.
        name (`str`): for messages.
        size (`int`): of the file or of its bytes.
        read (`Callable`): takes an offset and a number of bytes, and returns these bytes.
    """

    split: str
    row: int
    name: str
    size: int
    read: Callable[[int, int], bytes]


def check_doubles(place: str | Path, splits: Mapping[str, Dataset], tasks: Sequence[Task]) -> None:
    """Looks for the same recording under two names and for the same speaker under two spellings.

    Either of them within one split is a warning with the count.

    Args:
        place (`str` or `Path`): the folder of the corpus, for messages.
        splits (`dict` of `datasets.Dataset`): with a column of undecoded audio or a column `path`, whichever has one.
        tasks (sequence of [`Task`]): whose labels must be the same for the same recording. An unknown label fits any.

    Raises:
        CorpusError: if a recording is in two splits or has different labels, or a speaker is in two splits under
            different spellings although the splits share no speaker otherwise, as those of a random split do.
    """
    faults = Faults(Path(place))
    _check_recordings(faults, str(place), splits, tasks)
    _check_spellings(faults, str(place), splits)
    faults.raise_if_any()


def _check_recordings(faults: Faults, place: str, splits: Mapping[str, Dataset], tasks: Sequence[Task]) -> None:
    recordings = [recording for split, clips in splits.items() for recording in _recordings(place, split, clips)]
    groups = [group for group in same_recordings(recordings) if _is_audio(group[0])]
    if not groups:
        return
    columns = [name for task in tasks for name in (task.labels if task.kind == "intensities" else [task.name])]
    labels = {
        split: {name: clips[name][:] for name in columns if name in clips.column_names}
        for split, clips in splits.items()
    }
    repeated = []
    for group in groups:
        shown = " and ".join(visible(recording.name) for recording in group[:2])
        known = [
            {values[name][recording.row] for recording in group if (values := labels[recording.split])}
            for name in columns
        ]
        if len({recording.split for recording in group}) > 1:
            faults.add("the same recording in two splits", [shown])
        elif any(len(values - {None, ""}) > 1 for values in known):
            faults.add("the same recording with different labels", [shown])
        else:
            repeated += [recording.name for recording in group[1:]]
    warn_with_examples(place, "recordings that are in the corpus more than once", repeated)


def _check_spellings(faults: Faults, place: str, splits: Mapping[str, Dataset]) -> None:
    names: list[str | None] = []
    of_split: list[str] = []
    for split, clips in splits.items():
        if "speaker" in clips.column_names:
            names += [None if name is None else str(name) for name in clips["speaker"][:]]
            of_split += [split] * len(clips)
    splits_of, spellings = speakers_and_splits(names, of_split)
    by_split = [{name for name, found in zip(names, of_split, strict=True) if found == split} for split in splits]
    known = set(names) - {None}
    shared_speakers = sum(len(found - {None}) for found in by_split) > len(known)
    several = {speaker: " and ".join(map(visible, found)) for speaker, found in spellings.items() if len(found) > 1}
    apart = [shown for speaker, shown in several.items() if len(splits_of[speaker]) > 1 and not shared_speakers]
    faults.add("the same speaker in two splits under two spellings", apart)
    warn_with_examples(place, "speakers who are spelled in more than one way", set(several.values()) - set(apart))


def same_recordings(recordings: Iterable[Recording]) -> list[list[Recording]]:
    """The groups of recordings that are the same, of at least two, in the order of their first ones."""
    # Empty files are no recordings, and whoever reads them says so.
    groups = _divided([[recording for recording in recordings if recording.size]], lambda recording: recording.size)
    with ThreadPoolExecutor(THREADS) as pool:
        for digest in (_sampled, _whole):
            members = [recording for group in groups for recording in group]
            digests = dict(zip(members, pool.map(digest, members), strict=True))
            groups = _divided(groups, digests.__getitem__)
    return groups


def _is_audio(recording: Recording) -> bool:
    """Whether it can be opened. Damaged files are often alike, and whoever decodes them says what is wrong."""
    try:
        duration_seconds(recording.read(0, recording.size))
    except (AudioError, OSError):
        return False
    return True


def _divided(groups: list[list[Recording]], key: Callable[[Recording], Any]) -> list[list[Recording]]:
    parts = []
    for group in groups:
        of_key: dict[Any, list[Recording]] = {}
        for recording in group:
            of_key.setdefault(key(recording), []).append(recording)
        parts += [part for part in of_key.values() if len(part) > 1]
    return parts


def _sampled(recording: Recording) -> Any:
    """The beginning, the middle and the end of a recording; two of one corpus may begin alike, such as with silence."""
    if recording.size <= 4 * SAMPLED_BYTES:
        return _whole(recording)
    places = {0, recording.size // 2, max(0, recording.size - SAMPLED_BYTES)}
    return _digest(recording, [(place, SAMPLED_BYTES) for place in sorted(places)])


def _whole(recording: Recording) -> Any:
    return _digest(recording, [(0, recording.size)])


def _digest(recording: Recording, parts: list[tuple[int, int]]) -> Any:
    try:
        return hashlib.blake2b(b"".join(recording.read(*part) for part in parts), digest_size=16).digest()
    except OSError:
        # It equals no other one, and whoever decodes it says what is wrong.
        return id(recording)


def _recordings(place: str, split: str, clips: Dataset) -> list[Recording]:
    """The recordings of a split that are there."""
    column = next((name for name, feature in clips.features.items() if isinstance(feature, Audio)), "path")
    if column not in clips.column_names:
        return []
    # As Arrow, whose columns are not copied: the bytes of a corpus may fill the memory.
    sources: Any = clips.select_columns([column]).with_format("arrow")[:].column(0)
    found = []
    if pyarrow.types.is_struct(sources.type):
        content = pyarrow.compute.struct_field(sources, "bytes")
        sources = pyarrow.compute.struct_field(sources, "path")
        sizes = pyarrow.compute.binary_length(content).to_pylist()
    else:
        content, sizes = None, [None] * len(sources)
    paths = sources.to_pylist()
    with ThreadPoolExecutor(THREADS) as pool:
        file_sizes = list(
            pool.map(_file_size, (None if size else path for path, size in zip(paths, sizes, strict=True)))
        )
    for row, (path, size, file_size) in enumerate(zip(paths, sizes, file_sizes, strict=True)):
        name = _relative(str(path), place) if path else f"row {row} of {split}"
        if size:
            found.append(Recording(split, row, name, size, _reader_of_bytes(content, row)))
        elif file_size:
            found.append(Recording(split, row, name, file_size, _reader_of_file(path)))
    return found


def _file_size(path: str | None) -> int:
    try:
        return os.stat(path).st_size if path else 0
    except (OSError, ValueError):
        return 0


def _relative(path: str, place: str) -> str:
    folder = os.path.abspath(place) + os.sep
    return path.removeprefix(folder)


def _reader_of_file(path: str) -> Callable[[int, int], bytes]:
    def read(offset: int, count: int) -> bytes:
        with open(path, "rb", buffering=0) as file:
            file.seek(offset)
            return file.read(count)

    return read


def _reader_of_bytes(content: Any, row: int) -> Callable[[int, int], bytes]:
    return lambda offset, count: content[row].as_py()[offset : offset + count]
