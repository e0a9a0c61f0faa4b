"""Keeps the states of an encoder's frozen layers on disk, so that a training step runs only the layers that learn."""

import hashlib
import json
import logging
import math
import shutil
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence

from paravox.modeling.errors import ConfigError
from paravox.modeling.model_with_encoder import ModelWithEncoder
from paravox.modeling.pooling import masked_mean

from .clip_pass import PassSettings, pass_over_clips
from .clip_sources import Recordings
from .data_collator import MultiTaskCollator
from .files import file_checksum, written_aside
from .multi_task_dataset import MultiTaskDataset

if TYPE_CHECKING:
    from typing_extensions import Self

logger = logging.getLogger(__name__)

# This is part of every folder's name, so that a newer version does not read the files of an older one.
FORMAT = "float32-3"
# All supported encoders give about this many.
FRAMES_PER_SECOND = 50
_STATES, _INDEX = "states.bin", "index.npz"


class EncodedClip(NamedTuple):
    """One clip as the encoder sees it.

    Args:
        row (`int`): the clip's place in its corpus.
        states (`np.ndarray` of shape `(frames, hidden)`): the real frames, after the frozen layers.
        pooled (`np.ndarray` of shape `(layers, hidden)`): every layer that the model uses, averaged over time.
    """

    row: int
    states: np.ndarray
    pooled: np.ndarray


class LowerStates:
    """A [`ClipSource`] of states that are read from disk when their clip is read.

    Args:
        files (list of `Path`): files of float32 states, frame after frame.
        places (`np.ndarray` of shape `(clips, 3)`): the file, the first frame and the number of frames of each clip.
        pooled (`np.ndarray` of shape `(clips, layers, hidden)`): the pooled states of every layer that the model uses.
        layers (`int`): the number of layers that have run.
        seconds (`np.ndarray` of shape `(clips,)`, *optional*): the lengths of the recordings. By default they are
            computed from the number of frames.
    """

    def __init__(
        self,
        files: list[Path],
        places: np.ndarray,
        pooled: np.ndarray,
        layers: int,
        seconds: np.ndarray | None = None,
    ) -> None:
        self.files = files
        self.places = places
        self.pooled = pooled
        self.layers = layers
        self.seconds = places[:, 2] / FRAMES_PER_SECOND if seconds is None else seconds
        self._maps: dict[int, np.ndarray] = {}

    @classmethod
    def open(cls, folder: Path, seconds: np.ndarray | None = None) -> "Self":
        """Opens the states that [`write_states`] left in a folder. `seconds` is as above."""
        with np.load(folder / _INDEX) as index:
            return cls([folder / _STATES], index["places"], index["pooled"], int(index["layers"]), seconds)

    @classmethod
    def open_whole(cls, folder: Path, seconds: np.ndarray | None = None) -> "Self | None":
        """Opens states if they are there and undamaged; damaged ones are removed. Arguments are as for `open`.

        Raises:
            ConfigError: if damaged states cannot be removed.
        """
        if not folder.is_dir():
            return None
        try:
            with np.load(folder / _INDEX) as index:  # which has checksums of its own
                is_whole = int(index["checksum"]) == file_checksum(folder / _STATES)
            if is_whole:
                return cls.open(folder, seconds)
        except (OSError, ValueError, KeyError, EOFError, NotImplementedError, zipfile.BadZipFile, zlib.error):
            pass
        logger.warning("stored states %s are damaged and are made again", folder)
        shutil.rmtree(folder, ignore_errors=True)
        if folder.exists():
            raise ConfigError(f"stored states {folder} are damaged and cannot be removed: delete this folder")
        return None

    @classmethod
    def join(cls, parts: list["LowerStates"]) -> "Self":
        """The clips of several corpora, one corpus after the other. The states must come from one encoder."""
        files: list[Path] = []
        places = []
        for part in parts:
            places.append(part.places + np.array([len(files), 0, 0]))
            files += part.files
        pooled, seconds = (np.concatenate([getattr(part, name) for part in parts]) for name in ("pooled", "seconds"))
        return cls(files, np.concatenate(places), pooled, parts[0].layers, seconds)

    def select(self, rows: np.ndarray) -> "Self":
        """The clips of some rows, in the given order. A row may be given several times."""
        return type(self)(self.files, self.places[rows], self.pooled[rows], self.layers, self.seconds[rows])

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, row: int) -> np.ndarray:
        """The states of one clip, `(frames, hidden)`, float32."""
        file, first, frames = self.places[row]
        if file not in self._maps:
            hidden = self.pooled.shape[-1]
            self._maps[file] = np.memmap(self.files[file], np.float32, mode="r").reshape(-1, hidden)
        return np.array(self._maps[file][first : first + frames])

    def lower_pooled(self, row: int) -> np.ndarray | None:
        """The pooled states of one clip's lower layers, `(layers + 1, hidden)`.

        None if the model only uses the last layer.
        """
        return self.pooled[row, : self.layers + 1] if self.pooled.shape[1] > 1 else None

    def read(self, row: int, epoch: int) -> tuple[np.ndarray, np.ndarray | None]:
        """The states and the pooled states of one clip."""
        return self[row], self.lower_pooled(row)

    def collate(
        self,
        clips: list[tuple[np.ndarray, np.ndarray | None]],
        feature_extractor: Any,
        padded_seconds: float | None = None,
    ) -> dict[str, torch.Tensor]:
        states = [torch.from_numpy(clip) for clip, _ in clips]
        frames = torch.tensor([len(clip) for clip in states])
        padded = pad_sequence(states, batch_first=True)
        if padded_seconds is not None:
            missing = max(0, math.ceil(padded_seconds * FRAMES_PER_SECOND) - padded.shape[1])
            padded = torch.nn.functional.pad(padded, (0, 0, 0, missing))
        batch = {"lower_states": padded}
        batch["attention_mask"] = (torch.arange(padded.shape[1]) < frames.unsqueeze(1)).long()
        pooled = [pooled for _, pooled in clips]
        if pooled[0] is not None:
            batch["lower_pooled_states"] = torch.from_numpy(np.stack(pooled))
        return batch

    def __getstate__(self) -> dict:
        # Each worker opens the files itself; otherwise their content would be sent to it.
        return self.__dict__ | {"_maps": {}}


def encode_lower_layers(
    model: ModelWithEncoder,
    dataset: MultiTaskDataset,
    feature_extractor: Any,
    cache_dir: str | Path,
    max_gigabytes: float = 20.0,
    settings: PassSettings | None = None,
) -> MultiTaskDataset:
    """Runs the encoder's frozen layers once over all clips, so that only the layers above them run in training.

    The frozen layers then run without dropout or SpecAugment, and a clip is cropped only once. The states are kept on
    disk under a name made of all that they depend on, so that another run with the same encoder and clips reads them.
    At 50 frames per second and a width of 512, one hour of audio takes 0.37 GB.

    Args:
        model ([`ModelWithEncoder`]): a model with some of its encoder's layers frozen.
        dataset ([`MultiTaskDataset`]): of [`Recordings`].
        feature_extractor: the feature extractor of the model.
        cache_dir (`str` or `Path`): where states are kept. It is made if it does not exist.
        max_gigabytes (`float`, *optional*, defaults to 20): the most that the states of this dataset may take.
        settings ([`PassSettings`], *optional*): of the pass over the clips.

    Returns:
        [`MultiTaskDataset`]: the same clips and labels, with [`LowerStates`] as its source.

    Raises:
        ConfigError: if the clips are augmented, nothing or everything of the encoder is frozen, its layers cannot run
            alone, or the states would take too much room.
    """
    settings = settings or PassSettings()
    recordings = dataset.recordings
    recordings.refuse_augmentation()
    lower = model.frozen_lower_layers
    if lower is None or lower == len(model.encoder.layers):
        found = "all layers learn" if lower is None else "no layer learns"
        raise ConfigError(
            f"{found}: cache_lower_layers needs trainable_encoder_layers between 1 and {len(model.encoder.layers)}"
        )
    if not model.encoder.layers_run_alone:
        raise ConfigError(
            f"the upper layers of {model.encoder.model.config.model_type} cannot run without the lower ones: turn "
            "cache_lower_layers off"
        )
    # A corpus that was oversampled has some recordings several times.
    rows, positions = recordings.distinct()
    shared = recordings.with_shared_crops().select(rows)
    folder = states_folder(Path(cache_dir), _states_identity(model, shared, lower, feature_extractor, settings.dtype))
    states = LowerStates.open_whole(folder, shared.seconds)
    if states is None:
        check_room(Path(cache_dir), shared.seconds.sum(), model.encoder.hidden_size, max_gigabytes)
        clips = _encode_clips(model, dataset.with_source(shared), lower, feature_extractor, settings)
        write_states(folder, clips, len(shared), lower)
        states = LowerStates.open(folder, shared.seconds)
    return dataset.with_source(states.select(positions))


def _states_identity(
    model: ModelWithEncoder, recordings: Recordings, lower: int, feature_extractor: Any, dtype: torch.dtype
) -> Iterator[bytes]:
    """All that the states depend on."""
    settings = [lower, model.pools_every_layer, str(dtype), len(recordings)]
    of_extractor = json.loads(feature_extractor.to_json_string())
    of_extractor.pop("auto_map", None)  # one that was saved and opened again names its code there
    yield repr(settings).encode() + (json.dumps(of_extractor, indent=2, sort_keys=True) + "\n").encode()
    for name, value in sorted(model.encoder.state_dict().items()):
        yield name.encode() + value.cpu().numpy().tobytes()
    for row in range(len(recordings)):
        yield recordings.content(row)


def _encode_clips(
    model: ModelWithEncoder, dataset: MultiTaskDataset, lower: int, feature_extractor: Any, settings: PassSettings
) -> Iterator[EncodedClip]:
    collate = MultiTaskCollator(dataset.source, feature_extractor)

    def step(model: ModelWithEncoder, inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        mask = inputs["attention_mask"]
        layers = model.encoder.layer_states(inputs[model.main_input_name], mask)
        frame_mask = model.encoder.frame_mask(mask, layers[0].shape[1])
        used = layers if model.pools_every_layer else layers[-1:]
        pooled = torch.stack([masked_mean(states, frame_mask) for states in used], dim=1)
        return {"states": layers[lower], "frames": frame_mask.sum(dim=1), "pooled": pooled}

    for rows, results in pass_over_clips(model, dataset, collate, step, settings):
        for row, states, frames, pooled in zip(
            rows, results["states"], results["frames"], results["pooled"], strict=True
        ):
            yield EncodedClip(int(row), states[:frames], pooled)


def states_folder(cache_dir: Path, identity: Iterable[bytes]) -> Path:
    """The folder for states, named by a digest of all that they depend on, so that it never holds outdated states.

    Args:
        cache_dir (`Path`): where states are kept.
        identity (iterable of `bytes`): all that the states depend on, in parts.
    """
    digest = hashlib.blake2b(FORMAT.encode(), digest_size=16)
    for part in identity:
        digest.update(hashlib.blake2b(part, digest_size=16).digest())
    return Path(cache_dir) / digest.hexdigest()


def write_states(folder: Path, clips: Iterable[EncodedClip], count: int, layers: int) -> None:
    """Writes the states of a corpus to a folder, which exists only when they are complete.

    Two runs may do so at once. The states of the first one stay, because both are equal.

    Args:
        folder (`Path`): from [`states_folder`].
        clips (iterable of [`EncodedClip`]): every clip once, in any order.
        count (`int`): the number of clips.
        layers (`int`): the number of layers that have run.
    """
    with written_aside(folder) as part:
        part.mkdir()
        places = np.zeros((count, 3), np.int64)
        pooled: list[np.ndarray] = [np.empty(0)] * count
        written = checksum = 0
        with open(part / _STATES, "wb") as file:
            for clip in clips:
                states = np.ascontiguousarray(clip.states, np.float32)
                states.tofile(file)
                checksum = zlib.crc32(states.tobytes(), checksum)
                places[clip.row] = 0, written, len(clip.states)
                pooled[clip.row] = clip.pooled
                written += len(clip.states)
        np.savez(part / _INDEX, places=places, pooled=np.stack(pooled), layers=layers, checksum=checksum)


def check_room(cache_dir: Path, seconds: float, hidden_size: int, max_gigabytes: float) -> None:
    """Raises [`ConfigError`] if the states of this many seconds of audio would take more room than `max_gigabytes`."""
    needed = states_gigabytes(seconds, hidden_size)
    if needed > max_gigabytes:
        raise ConfigError(
            f"the states of {seconds / 3600:.1f} hours would take {needed:.1f} GB in {cache_dir}, more than "
            f"cache_gigabytes of {max_gigabytes:g}: raise it, or turn cache_lower_layers off"
        )


def states_gigabytes(seconds: float, hidden_size: int) -> float:
    """How much room the states of this many seconds of audio take on disk, in gigabytes."""
    return FRAMES_PER_SECOND * seconds * hidden_size * 4 / 1e9
