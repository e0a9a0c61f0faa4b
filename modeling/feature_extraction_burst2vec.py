"""From recordings to what the encoder of a Burst2Vec model takes."""

from typing import TYPE_CHECKING, Any

import numpy as np
from transformers import AutoFeatureExtractor, BatchFeature
from transformers.feature_extraction_utils import FeatureExtractionMixin

from .audio import load_clip
from .bounds import check_fields, check_number
from .encoder_loading import load_encoder_config
from .encoders import ENCODER_CLASSES, encoder_class
from .errors import AudioError, CheckpointError, ConfigError, ParavoxError, reason_of
from .transformers_versions import PreTrainedConfig

if TYPE_CHECKING:
    from typing_extensions import Self

    from .audio_containers import check_length  # noqa: F401
    from .audio_content import open_content  # noqa: F401
    from .audio_decoding import read_parts  # noqa: F401
    from .audio_mpeg import count_frames  # noqa: F401

    # Named because Transformers before 5.6 copies only the files that the one it opens imports itself.
    from .configuration_saved_model import SavedModelConfig  # noqa: F401
    from .opening import open_checkpoint  # noqa: F401


_FRONT_END_RANGES = {
    "sampling_rate": (1_000, 10**6),
    "feature_size": (1, 1_024),
    "n_fft": (2, 65_536),
    "hop_length": (1, 65_536),
    "chunk_length": (1, 3_600),
    "n_samples": (1, 10**9),
    "nb_max_frames": (1, 10**7),
}


class Burst2VecFeatureExtractor(FeatureExtractionMixin):
    """Decodes, resamples, levels and normalises clips, and pads them to the longest clip of their batch, never further.

    Each clip is normalised (or turned into log-mel frames) alone, before padding, so that its features do not depend on
    its batch.

    Args:
        front_end (`dict`): the encoder's own feature extractor, as its `to_dict()` gives it.
        minimum_samples (`int`, *optional*, defaults to 400): shorter clips are padded with silence to this length, the
            encoder's receptive field.
        target_rms_db (`float`, *optional*): level to which each clip is scaled, in decibels of full scale (the paper
            uses -3). It has no effect where the encoder normalises to zero mean and unit variance; Whisper's log-mel
            frames do depend on it. By default the level is left as it is.
        max_seconds (`float`, *optional*): a longer clip is an error.

    Raises:
        ConfigError: if no supported encoder has such a front end.
    """

    def __init__(
        self,
        front_end: dict[str, Any],
        minimum_samples: int = 400,
        target_rms_db: float | None = None,
        max_seconds: float | None = None,
        **kwargs: Any,
    ) -> None:
        name = front_end.get("feature_extractor_type") if isinstance(front_end, dict) else front_end
        known: dict[str, Any] = {
            encoder.front_end_class.__name__: encoder.front_end_class for encoder in ENCODER_CLASSES.values()
        }
        if not isinstance(name, str) or name not in known:
            raise ConfigError(f"front end {name!r} is not supported: use {' or '.join(known)}")
        self.front_end = dict(front_end)
        self.minimum_samples = minimum_samples
        self.target_rms_db = target_rms_db
        self.max_seconds = max_seconds
        check_number("minimum_samples", minimum_samples, 0, 100_000)
        check_number("target_rms_db", target_rms_db, -1_000, 1_000)
        check_number("max_seconds", max_seconds, 0, 10**6)
        check_fields(f"the front end {name}", front_end, known[name]().to_dict(), free=("mel_filters",))
        for field, (lowest, highest) in _FRONT_END_RANGES.items():
            check_number(f"{field} of the front end", front_end.get(field), lowest, highest)
        super().__init__(**kwargs)
        try:
            self._encoder_extractor = known[name].from_dict(front_end)
        # Of many classes, where a field has another type than it usually has.
        except Exception as error:
            raise ConfigError(f"the front end {name} cannot be used ({reason_of(error)}): correct it") from error
        self.sampling_rate = self._encoder_extractor.sampling_rate

    @classmethod
    def from_encoder(cls, name_or_path: str, hub_options: dict[str, Any] | None = None, **settings: Any) -> "Self":
        """The feature extractor for a pre-trained encoder, from the settings saved beside it.

        Args:
            name_or_path (`str`): a folder or Hub name.
            hub_options (`dict`, *optional*): passed to `from_pretrained`, such as `revision` or `token`.
            settings: `target_rms_db`, `max_seconds`.

        Raises:
            CheckpointError: if there is no encoder, or no `preprocessor_config.json` beside it.
        """
        hub_options = hub_options or {}
        config = load_encoder_config(name_or_path, **hub_options)
        try:
            front_end = AutoFeatureExtractor.from_pretrained(name_or_path, **hub_options)
        except (ParavoxError, ImportError):
            raise
        except Exception as error:  # of many classes, where the file is damaged
            raise CheckpointError(
                f"encoder {str(name_or_path)!r} has no preprocessor_config.json that can be used, which says how its "
                "input is normalised: save its feature extractor beside it with save_pretrained"
            ) from error
        if type(front_end) is not encoder_class(config.model_type).front_end_class:
            raise CheckpointError(
                f"encoder {str(name_or_path)!r} has the preprocessor_config.json of a {type(front_end).__name__}: save "
                "its own feature extractor beside it with save_pretrained"
            )
        return cls._for_front_end(front_end, config, settings)

    @classmethod
    def for_config(cls, encoder_config: PreTrainedConfig, **settings: Any) -> "Self":
        """The feature extractor for an encoder with random weights: the usual front end of its architecture.

        Args:
            encoder_config ([`PreTrainedConfig`]): of a supported encoder.
            settings: `target_rms_db`, `max_seconds`.
        """
        front_end = encoder_class(encoder_config.model_type).new_front_end(encoder_config)
        return cls._for_front_end(front_end, encoder_config, settings)

    @classmethod
    def _for_front_end(cls, front_end: Any, encoder_config: PreTrainedConfig, settings: dict[str, Any]) -> "Self":
        encoder = encoder_class(encoder_config.model_type)
        limit = {"max_seconds": encoder.longest_seconds(front_end)}
        return cls(front_end.to_dict(), minimum_samples=encoder.minimum_samples(encoder_config), **limit | settings)

    @property
    def model_input_names(self) -> list[str]:
        return [self._encoder_extractor.model_input_names[0], "attention_mask"]

    @property
    def stock_extractor(self) -> Any:
        """The encoder's own feature extractor, of one of the classes in Transformers."""
        return self._encoder_extractor

    @property
    def input_settings(self) -> dict[str, Any]:
        """The settings that a clip's features depend on, by name: where these are equal, the features are."""
        stock = self._encoder_extractor
        names = ("sampling_rate", "do_normalize", "hop_length", "n_fft", "dither", "padding_value")
        settings = {name: getattr(stock, name, None) for name in names}
        return settings | {"mel_bins": stock.feature_size, "target_rms_db": self.target_rms_db}

    def __call__(
        self,
        clips: Any,
        sampling_rate: int | None = None,
        return_tensors: str | None = None,
        padded_samples: int | None = None,
    ) -> BatchFeature:
        """Turns one clip or a list of clips into a batch.

        Args:
            clips: a clip or a list of clips, each a path, bytes, a file object, `(array, rate)`, a dict with `array`
                and `sampling_rate` or with `bytes` and `path`, or, with `sampling_rate`, an array of samples.
            sampling_rate (`int`, *optional*): in hertz, of the clips that are bare arrays.
            return_tensors (`str`, *optional*): `"pt"` or `"np"`.
            padded_samples (`int`, *optional*): the length to which the batch is padded, in samples at the encoder's
                rate. By default, and where a clip is longer, it is padded to its longest clip.

        Returns:
            [`BatchFeature`] with `input_values` `(batch, samples)` or `input_features` `(batch, mel bins, frames)`, and
            `attention_mask` `(batch, samples or frames)`.

        Raises:
            AudioError: if a clip cannot be used or is longer than `max_seconds`.
        """
        if not isinstance(clips, list):
            clips = [clips]
        if not clips:
            raise AudioError("an empty list holds no clip: give at least one")
        features = [self._clip_features(self.load(clip, sampling_rate)) for clip in clips]
        # Log-mel frames have a hop length, a waveform is its samples.
        length = (padded_samples or 0) // getattr(self._encoder_extractor, "hop_length", 1)
        batch, mask = pad_features(features, self._encoder_extractor.padding_value, length)
        return BatchFeature(dict(zip(self.model_input_names, (batch, mask), strict=True)), tensor_type=return_tensors)

    def load(self, clip: Any, sampling_rate: int | None = None) -> np.ndarray:
        """One clip as mono samples at the encoder's rate, levelled, but not yet normalised.

        Args:
            clip: as for a call of the feature extractor.
            sampling_rate (`int`, *optional*): in hertz, of a clip that is a bare array.

        Returns:
            `np.ndarray` of shape `(samples,)`, float32.

        Raises:
            AudioError: if the clip cannot be used or is longer than `max_seconds`.
        """
        return load_clip(clip, sampling_rate, self.sampling_rate, self.target_rms_db, self.max_seconds)

    def _clip_features(self, samples: np.ndarray) -> np.ndarray:
        """(samples,) -> (samples,) or (mel bins, frames)"""
        missing = max(0, self.minimum_samples - len(samples))
        samples = np.pad(samples, (0, missing))
        features = self._encoder_extractor(
            samples, sampling_rate=self.sampling_rate, padding="do_not_pad", truncation=False
        )
        return np.asarray(features[self.model_input_names[0]][0], np.float32)

    def to_dict(self) -> dict[str, Any]:
        output = super().to_dict()
        for derived in ("_encoder_extractor", "sampling_rate"):
            output.pop(derived, None)
        return output


def pad_features(
    features: list[np.ndarray], padding_value: float = 0.0, length: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Joins the features of several clips into a batch, padded at their end to the longest of them.

    Args:
        features (list of `np.ndarray` of shape `(samples,)` or `(mel bins, frames)`): one per clip, at least one; only
            the last dimension may differ.
        padding_value (`float`, *optional*, defaults to 0): what the padding is filled with.
        length (`int`, *optional*, defaults to 0): the batch is at least that long.

    Returns:
        The batch `(clips, samples)` or `(clips, mel bins, frames)`, float32, and its mask `(clips, samples or frames)`,
        int64: 1 where the batch is real, 0 where it is padding.
    """
    lengths = np.array([clip.shape[-1] for clip in features])
    longest = max(lengths.max(), length)
    batch = np.full((len(features), *features[0].shape[:-1], longest), padding_value, np.float32)
    for row, clip in enumerate(features):
        batch[row, ..., : clip.shape[-1]] = clip
    mask = np.arange(longest) < lengths[:, None]
    return batch, mask.astype(np.int64)


Burst2VecFeatureExtractor.register_for_auto_class("AutoFeatureExtractor")
