"""From recordings to what all encoders of an ensemble take."""

from typing import TYPE_CHECKING, Any

import numpy as np
from transformers import BatchFeature
from transformers.feature_extraction_utils import FeatureExtractionMixin

from .errors import ConfigError
from .feature_extraction_burst2vec import Burst2VecFeatureExtractor
from .opening import open_checkpoint

if TYPE_CHECKING:
    from typing import Self

# The name under which an encoder takes its input, per sort of input.
_INPUT_NAMES = {"waveform": "input_values", "log_mel": "input_features"}
_FIELDS = ("front_end", "minimum_samples", "target_rms_db", "max_seconds")


class Burst2VecEnsembleFeatureExtractor(FeatureExtractionMixin):
    """Decodes each clip once and prepares it for every member: once for all members that take waveforms, and once for
    all that take log-mel frames.

    Args:
        waveform ([`Burst2VecFeatureExtractor`] or `dict` of its arguments, *optional*): for the members whose encoder
            takes waveforms.
        log_mel ([`Burst2VecFeatureExtractor`] or `dict` of its arguments, *optional*): for the members whose encoder
            takes log-mel frames.

    Raises:
        ConfigError: if both are missing, one of them gives the input of the other, or their sampling rates differ.
    """

    def __init__(
        self,
        waveform: Burst2VecFeatureExtractor | dict[str, Any] | None = None,
        log_mel: Burst2VecFeatureExtractor | dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        self.waveform = _parse("waveform", waveform)
        self.log_mel = _parse("log_mel", log_mel)
        given = self._given
        if not given:
            raise ConfigError(f"an ensemble's feature extractor is empty: give {' or '.join(_INPUT_NAMES)}, or both")
        rates = {extractor.sampling_rate for extractor in given}
        if len(rates) > 1:
            raise ConfigError(
                f"waveform is at {self.waveform.sampling_rate} Hz and log_mel at {self.log_mel.sampling_rate} Hz, but "
                "a clip is decoded only once: take members of the same sampling rate"
            )
        limits = [extractor.max_seconds for extractor in given if extractor.max_seconds is not None]
        # It reads for both, and sets no level because theirs may differ.
        self._reader = Burst2VecFeatureExtractor(given[0].front_end, max_seconds=min(limits, default=None))
        super().__init__(**kwargs)

    @classmethod
    def from_members(cls, names_or_paths: list[str], hub_options: dict[str, Any] | None = None) -> "Self":
        """The feature extractor for an ensemble of saved models.

        Args:
            names_or_paths (list of `str`): folders or Hub names, each with a [`Burst2VecFeatureExtractor`].
            hub_options (`dict`, *optional*): passed to `from_pretrained`, such as `revision` or `token`.

        Raises:
            CheckpointError: if one cannot be opened.
            ConfigError: if two of them prepare the same input differently.
        """
        options = hub_options or {}
        extractors = [
            open_checkpoint(Burst2VecFeatureExtractor.from_pretrained, name, **options) for name in names_or_paths
        ]
        return cls.joined([str(name) for name in names_or_paths], extractors)

    @classmethod
    def joined(cls, names: list[str], extractors: list[Burst2VecFeatureExtractor]) -> "Self":
        """One feature extractor for several: it keeps their smallest `max_seconds` and their largest `minimum_samples`.

        Args:
            names (list of `str`): the members' names, for messages.
            extractors (list of [`Burst2VecFeatureExtractor`]): one per name.

        Raises:
            ConfigError: if two give the same input, but from another sampling rate, level or other setting.
        """
        members = list(zip(names, extractors, strict=True))
        alike = {
            field: [(name, extractor) for name, extractor in members if extractor.model_input_names[0] == input_name]
            for field, input_name in _INPUT_NAMES.items()
        }
        return cls(**{field: _join(some) for field, some in alike.items() if some})

    @property
    def _given(self) -> list[Burst2VecFeatureExtractor]:
        return [extractor for extractor in (self.waveform, self.log_mel) if extractor is not None]

    @property
    def sampling_rate(self) -> int:
        """In hertz."""
        return self._reader.sampling_rate

    @property
    def max_seconds(self) -> float | None:
        """The smallest of the members' limits; a longer clip is an error."""
        return self._reader.max_seconds

    @property
    def model_input_names(self) -> list[str]:
        if self.waveform is None or self.log_mel is None:
            return self._given[0].model_input_names
        return [*self.waveform.model_input_names, self.log_mel.model_input_names[0], "feature_attention_mask"]

    def __call__(self, clips: Any, sampling_rate: int | None = None, return_tensors: str | None = None) -> BatchFeature:
        """Turns one clip or a list of clips into a batch.

        Args:
            clips: a clip or a list of clips, as for [`Burst2VecFeatureExtractor`].
            sampling_rate (`int`, *optional*): in hertz, of the clips that are bare arrays.
            return_tensors (`str`, *optional*): `"pt"` or `"np"`.

        Returns:
            [`BatchFeature`] with `input_values` `(batch, samples)` or `input_features` `(batch, mel bins, frames)`, and
            `attention_mask` `(batch, samples or frames)`. Where the members need both, `attention_mask` belongs to
            `input_values`, and `feature_attention_mask` `(batch, frames)` to `input_features`.

        Raises:
            AudioError: if a clip cannot be used or is longer than `max_seconds`.
        """
        if not isinstance(clips, list):
            clips = [clips]
        read = [(self.load(clip, sampling_rate), self.sampling_rate) for clip in clips]
        values = [
            value for extractor in self._given for value in extractor(read, return_tensors=return_tensors).values()
        ]
        return BatchFeature(dict(zip(self.model_input_names, values, strict=True)))

    def load(self, clip: Any, sampling_rate: int | None = None) -> np.ndarray:
        """One clip as mono samples `(samples,)`, float32, at the encoders' rate, not yet levelled or normalised.

        Raises:
            AudioError: if the clip cannot be used or is longer than `max_seconds`.
        """
        return self._reader.load(clip, sampling_rate)

    def to_dict(self) -> dict[str, Any]:
        output = super().to_dict()
        del output["_reader"]
        for field in _INPUT_NAMES:
            extractor = output[field]
            output[field] = extractor and {name: getattr(extractor, name) for name in _FIELDS}
        return output


def _parse(field: str, given: Burst2VecFeatureExtractor | dict[str, Any] | None) -> Burst2VecFeatureExtractor | None:
    extractor = Burst2VecFeatureExtractor(**given) if isinstance(given, dict) else given
    if extractor is not None and extractor.model_input_names[0] != _INPUT_NAMES[field]:
        raise ConfigError(
            f"{field} is a feature extractor that gives {extractor.model_input_names[0]}, not {_INPUT_NAMES[field]}: "
            f"swap {' and '.join(_INPUT_NAMES)}"
        )
    return extractor


def _join(members: list[tuple[str, Burst2VecFeatureExtractor]]) -> Burst2VecFeatureExtractor:
    first_name, first = members[0]
    for name, other in members[1:]:
        differing = [key for key, value in first.input_settings.items() if other.input_settings[key] != value]
        if differing:
            key = differing[0]
            raise ConfigError(
                f"members {first_name!r} and {name!r} both take {first.model_input_names[0]}, but with {key} of "
                f"{first.input_settings[key]!r} and {other.input_settings[key]!r}: leave one out, or average their "
                "predictions instead"
            )
    limits = [extractor.max_seconds for _, extractor in members if extractor.max_seconds is not None]
    return Burst2VecFeatureExtractor(
        first.front_end,
        minimum_samples=max(extractor.minimum_samples for _, extractor in members),
        target_rms_db=first.target_rms_db,
        max_seconds=min(limits, default=None),
    )


Burst2VecEnsembleFeatureExtractor.register_for_auto_class("AutoFeatureExtractor")
