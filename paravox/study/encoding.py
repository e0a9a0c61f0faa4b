"""What trials share, computed once: decoded clips, their features, and every clip's pooled states under a checkpoint."""

import hashlib
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from paravox.corpora.combinations import NO_CORPUS
from paravox.modeling.audio import duration_seconds
from paravox.modeling.encoders import SpeechEncoder, load_encoder_config
from paravox.modeling.errors import CheckpointError
from paravox.modeling.feature_extraction_burst2vec import Burst2VecFeatureExtractor
from paravox.modeling.modeling_prefinetuning import (
    EncoderForPreFinetuning,
    PreFinetuningModel,
    Wav2Vec2ForPreFinetuning,
)
from paravox.modeling.pooling import masked_mean
from paravox.modeling.tasks import Task
from paravox.trainers.sampler import EvaluationBatchSampler

# Seconds of audio a batch, padding counted: always the same, so that a clip's states are.
BATCH_SECONDS = 60.0
BATCH_CLIPS = 32
TRIAL_TASK = Task("emotion", kind="classes", labels=("other", "target"))
_MODEL_CLASSES = {cls.config_class.model_type: cls for cls in (EncoderForPreFinetuning, Wav2Vec2ForPreFinetuning)}


class Clips:
    """The study's clips as the encoder takes them, each decoded and turned into features once, when first asked for.

    Args:
        paths (list of `str`): in the order of the study's table.
        extractor ([`Burst2VecFeatureExtractor`]): of the encoder.
        max_seconds (`float`, *optional*): clips are cut to this length.
    """

    def __init__(
        self, paths: list[str], extractor: Burst2VecFeatureExtractor, max_seconds: float | None = None
    ) -> None:
        self.paths = paths
        self.extractor = extractor
        self.max_seconds = max_seconds
        self._features: dict[int, np.ndarray] = {}
        self._seconds: dict[int, float] = {}

    def features(self, row: int) -> np.ndarray:
        """One clip: `(samples,)` or `(mel bins, frames)`."""
        if row not in self._features:
            samples = self.extractor.load(self.paths[row])
            if self.max_seconds is not None:
                samples = samples[: int(self.max_seconds * self.extractor.sampling_rate)]
            clip = (samples, self.extractor.sampling_rate)
            self._features[row] = self.extractor([clip])[self.extractor.model_input_names[0]][0]
        return self._features[row]

    def batch(self, rows: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        """Clips padded to their longest, and their mask."""
        features = [self.features(int(row)) for row in rows]
        longest = max(clip.shape[-1] for clip in features)
        inputs = np.zeros((len(features), *features[0].shape[:-1], longest), np.float32)
        mask = np.zeros((len(features), longest), np.int64)
        for position, clip in enumerate(features):
            inputs[position, ..., : clip.shape[-1]] = clip
            mask[position, : clip.shape[-1]] = 1
        return torch.from_numpy(inputs), torch.from_numpy(mask)

    def batches(self, rows: np.ndarray) -> list[np.ndarray]:
        """Rows cut into batches of about one length, the same ones for the same rows."""
        seconds = np.array([self._seconds_of(int(row)) for row in rows])
        sampler = EvaluationBatchSampler(seconds, BATCH_CLIPS, max(BATCH_SECONDS, seconds.max()))
        return [rows[[draw.index for draw in draws]] for draws in sampler]

    def prepared(self, batches: list[np.ndarray]) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """What `batch` gives for one batch after the other; while one is used, the next one is decoded."""
        with ThreadPoolExecutor(max_workers=1) as pool:
            coming = pool.submit(self.batch, batches[0])
            for following in [*batches[1:], None]:
                ready = coming.result()
                if following is not None:
                    coming = pool.submit(self.batch, following)
                yield ready

    def _seconds_of(self, row: int) -> float:
        """A clip's length as its file's header states it, so that batches can be made before anything is decoded."""
        if row not in self._seconds:
            seconds = duration_seconds(self.paths[row])
            self._seconds[row] = seconds if self.max_seconds is None else min(seconds, self.max_seconds)
        return self._seconds[row]


def model_around(encoder: str, tasks: list[Task], projection_size: int = 256) -> PreFinetuningModel:
    """A model for pre-finetuning around a published encoder: of the paper's class for wav2vec 2.0.

    Args:
        encoder (`str`): folder or Hub name.
        tasks (list of [`Task`]): one per corpus.
        projection_size (`int`, *optional*, defaults to 256): of the projector that they share.
    """
    is_wav2vec2 = load_encoder_config(encoder).model_type == "wav2vec2"
    model_class = Wav2Vec2ForPreFinetuning if is_wav2vec2 else EncoderForPreFinetuning
    return model_class.from_encoder(encoder, tasks=tasks, projection_size=projection_size)


def open_checkpoint_model(name: str, checkpoints_dir: str | None, encoder: str) -> PreFinetuningModel:
    """The model of a checkpoint of the grid: pre-finetuned, or around the encoder as it is for `none`.

    Raises:
        CheckpointError: if it is not there, or lacks a weight.
    """
    if name == NO_CORPUS:
        return model_around(encoder, [TRIAL_TASK]).eval()
    folder = Path(checkpoints_dir or "") / name / "model"
    if not (folder / "config.json").is_file():
        raise CheckpointError(
            f"checkpoint {name!r}: no model in {folder}: run prefinetune.py for it first, or give its checkpoints_dir"
        )
    model_type = EncoderForPreFinetuning.config_class.get_config_dict(folder)[0].get("model_type")
    if model_type not in _MODEL_CLASSES:
        raise CheckpointError(f"checkpoint {name!r}: {folder} holds a model of {model_type!r}, no pre-finetuned one")
    return _MODEL_CLASSES[model_type].from_pretrained(folder).eval()


def checkpoint_is_there(name: str, checkpoints_dir: str | None) -> bool:
    """Whether a checkpoint of the grid can be opened now."""
    return name == NO_CORPUS or (Path(checkpoints_dir or "") / name / "results.json").is_file()


class LayerStates:
    """Every hidden layer of every clip, averaged over its real frames, under one checkpoint after another.

    A checkpoint is encoded at most once: its states are kept in a folder, by a digest of its weights and of the clips.
    Lower layers that pre-finetuning left as they were are run once for all checkpoints, while their states fit into
    memory.

    Args:
        clips ([`Clips`]).
        names (list of `str`): of the clips, in order.
        folder (`Path`): where states are kept.
        memory_gigabytes (`float`, *optional*, defaults to 4): the most that states of shared lower layers take.
    """

    def __init__(self, clips: Clips, names: list[str], folder: Path, memory_gigabytes: float = 4.0) -> None:
        self.clips = clips
        self.names = names
        self.folder = folder
        self.memory_gigabytes = memory_gigabytes
        self._first: SpeechEncoder | None = None
        self._lower: dict[int, LowerStates] = {}  # by how many layers they are

    def of(self, model: PreFinetuningModel, title: str) -> np.ndarray:
        """The states under a checkpoint: `(clips, layers + 1, hidden)`, float32.

        Args:
            model ([`PreFinetuningModel`]): the checkpoint, in evaluation mode.
            title (`str`): of the progress bar.
        """
        path = self.folder / f"{self._digest(model)}.npy"
        if path.is_file():
            return np.load(path)
        states = self.encode(model.encoder, title)
        self.folder.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f"{uuid.uuid4().hex}.part.npy")
        np.save(part, states)
        part.replace(path)
        return states

    @torch.inference_mode()
    def encode(self, encoder: SpeechEncoder, title: str) -> np.ndarray:
        """One pass of an encoder over all clips, whatever the folder holds; arguments and result as in `of`."""
        shared = 0 if self._first is None else equal_lower_layers(encoder, self._first)
        self._first = self._first or encoder
        batches = self.clips.batches(np.arange(len(self.names)))
        known = self._lower.get(shared)
        made = LowerStates(shared) if shared and known is None else None
        states = None
        prepared = self.clips.prepared(batches) if known is None else None
        for number, rows in enumerate(tqdm(batches, desc=title, unit="batch")):
            if known is not None:
                frame_mask = known.frame_masks[number]
                layers = encoder.upper_states(known.states[number], frame_mask, shared)
            else:
                inputs, mask = next(prepared)
                layers = encoder.layer_states(inputs, mask)
                frame_mask = encoder.frame_mask(mask, layers[0].shape[1])
            pooled = torch.stack([masked_mean(layer, frame_mask) for layer in layers], dim=1).numpy()
            if states is None:
                layer_count = len(encoder.layers) + 1
                states = np.zeros((len(self.names), layer_count, pooled.shape[-1]), np.float32)
                if known is not None:
                    states[:, : shared + 1] = known.pooled
            states[rows, states.shape[1] - pooled.shape[1] :] = pooled
            if made is not None:
                made.add(layers[shared], frame_mask)
                if made.gigabytes > self.memory_gigabytes:
                    made = None
        if made is not None:
            made.pooled = states[:, : shared + 1].copy()
            self._lower = {shared: made}
        return states

    def _digest(self, model: PreFinetuningModel) -> str:
        digest = hashlib.blake2b(digest_size=16)
        digest.update(
            "\n".join([*self.names, str(self.clips.max_seconds), self.clips.extractor.to_json_string()]).encode()
        )
        for name, value in sorted(model.encoder.state_dict().items()):
            digest.update(name.encode() + value.numpy().tobytes())
        return digest.hexdigest()


class LowerStates:
    """What lower layers that checkpoints share give for every batch, and their pooled states."""

    def __init__(self, layers: int) -> None:
        self.layers = layers
        self.states: list[torch.Tensor] = []
        self.frame_masks: list[torch.Tensor] = []
        self.pooled: np.ndarray | None = None
        self.gigabytes = 0.0

    def add(self, states: torch.Tensor, frame_mask: torch.Tensor) -> None:
        self.states.append(states)
        self.frame_masks.append(frame_mask)
        self.gigabytes += states.numel() * states.element_size() / 1e9


def equal_lower_layers(encoder: SpeechEncoder, other: SpeechEncoder) -> int:
    """How many layers of two encoders, from the first one up, give the same: every weight in and below them is equal.

    Never all of them, so that there is a layer to run.
    """
    ours, theirs = encoder.state_dict(), other.state_dict()
    modules = {id(module): f"{name}." for name, module in encoder.named_modules()}
    layers, norm = modules[id(encoder.layers)], modules.get(id(encoder.output_norm), "?")
    if encoder.model.config.model_type == "wavlm":
        return 0  # its first layer's position bias serves the others
    differing = [name for name in ours if not torch.equal(ours[name], theirs[name])]
    if any(not name.startswith((layers, norm)) for name in differing):
        return 0
    changed = [int(name.removeprefix(layers).split(".")[0]) for name in differing if name.startswith(layers)]
    return min([*changed, len(encoder.layers) - 1])
