"""From recordings to what all members of an ensemble take."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from transformers import BatchFeature
from transformers.feature_extraction_utils import FeatureExtractionMixin

from .audio import load_clip
from .errors import ConfigError, reason_of
from .feature_extraction_burst2vec import Burst2VecFeatureExtractor
from .feature_extraction_compare import ComParEFeatureExtractor
from .opening import open_checkpoint

if TYPE_CHECKING:
    from typing_extensions import Self

    from .audio_containers import check_length  # noqa: F401
    from .audio_content import open_content  # noqa: F401
    from .audio_decoding import read_parts  # noqa: F401
    from .audio_mpeg import count_frames  # noqa: F401

    # Named because Transformers before 5.6 copies only the files that the one it opens imports itself.
    from .bounds import check_fields  # noqa: F401
    from .configuration_saved_model import SavedModelConfig  # noqa: F401
    from .encoder_loading import load_encoder_config  # noqa: F401
    from .encoders import SpeechEncoder  # noqa: F401
    from .transformers_versions import run_layer  # noqa: F401

MemberExtractor = Burst2VecFeatureExtractor | ComParEFeatureExtractor
# The name under which a model takes its input, per sort of input.
_INPUT_NAMES = {"waveform": "input_values", "log_mel": "input_features", "functionals": "functionals"}
_FIELDS = {
    "waveform": ("front_end", "minimum_samples", "target_rms_db", "max_seconds"),
    "log_mel": ("front_end", "minimum_samples", "target_rms_db", "max_seconds"),
    "functionals": ("sampling_rate", "max_seconds"),
}


class Burst2VecEnsembleFeatureExtractor(FeatureExtractionMixin):
    """Decodes each clip once and prepares it for every member: once for all members that take waveforms, once for all
    that take log-mel frames, and once for all that take functionals.

    Args:
        waveform ([`Burst2VecFeatureExtractor`] or `dict` of its arguments, *optional*): for the members whose encoder
            takes waveforms.
        log_mel ([`Burst2VecFeatureExtractor`] or `dict` of its arguments, *optional*): for the members whose encoder
            takes log-mel frames.
        functionals ([`ComParEFeatureExtractor`] or `dict` of its arguments, *optional*): for the members that are the
            challenge's baseline.

    Raises:
        ConfigError: if all are missing, one of them gives the input of another, or their sampling rates differ.
    """

    def __init__(
        self,
        waveform: Burst2VecFeatureExtractor | dict[str, Any] | None = None,
        log_mel: Burst2VecFeatureExtractor | dict[str, Any] | None = None,
        functionals: ComParEFeatureExtractor | dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        self.waveform = _parse("waveform", waveform)
        self.log_mel = _parse("log_mel", log_mel)
        self.functionals = _parse("functionals", functionals)
        if not self._given:
            raise ConfigError(
                f"an ensemble's feature extractor is empty: give at least one of {', '.join(_INPUT_NAMES)}"
            )
        rates = {field: extractor.sampling_rate for field, extractor in self._given.items()}
        if len(set(rates.values())) > 1:
            found = " and ".join(f"{field} at {rate} Hz" for field, rate in rates.items())
            raise ConfigError(
                f"members take {found}, but a clip is decoded only once: take members of the same sampling rate"
            )
        super().__init__(**kwargs)

    @classmethod
    def from_members(cls, names_or_paths: list[str], hub_options: dict[str, Any] | None = None) -> "Self":
        """The feature extractor for an ensemble of saved models.

        Args:
            names_or_paths (list of `str`): folders or Hub names, each with a [`Burst2VecFeatureExtractor`] or a
                [`ComParEFeatureExtractor`].
            hub_options (`dict`, *optional*): passed to `from_pretrained`, such as `revision` or `token`.

        Raises:
            CheckpointError: if one cannot be opened.
            ConfigError: if two of them prepare the same input differently.
        """
        extractors = [_open(name, hub_options or {}) for name in names_or_paths]
        return cls.joined([str(name) for name in names_or_paths], extractors)

    @classmethod
    def joined(cls, names: list[str], extractors: list[Any]) -> "Self":
        """One feature extractor for several: it keeps their smallest `max_seconds` and their largest `minimum_samples`.

        Args:
            names (list of `str`): the members' names, for messages.
            extractors (list of [`Burst2VecFeatureExtractor`] or [`ComParEFeatureExtractor`]): one per name.

        Raises:
            ConfigError: if two give the same input, but from another sampling rate, level or other setting.
        """
        members = list(zip(names, extractors, strict=True))
        alike = {
            field: [(name, extractor) for name, extractor in members if extractor.model_input_names[0] == input_name]
            for field, input_name in _INPUT_NAMES.items()
        }
        given: dict[str, Any] = {field: _join(some) for field, some in alike.items() if some}
        return cls(**given)

    @property
    def _given(self) -> dict[str, MemberExtractor]:
        found = {field: getattr(self, field) for field in _INPUT_NAMES}
        return {field: extractor for field, extractor in found.items() if extractor is not None}

    @property
    def sampling_rate(self) -> int:
        """In hertz."""
        return next(iter(self._given.values())).sampling_rate

    @property
    def max_seconds(self) -> float | None:
        """The smallest of the members' limits; a longer clip is an error."""
        return _smallest_limit(self._given.values())

    @property
    def model_input_names(self) -> list[str]:
        names = [name for extractor in self._given.values() for name in extractor.model_input_names]
        if self.waveform is not None and self.log_mel is not None:
            # Each has a mask of its own.
            names[names.index("input_features") + 1] = "feature_attention_mask"
        return names

    def __call__(self, clips: Any, sampling_rate: int | None = None, return_tensors: str | None = None) -> BatchFeature:
        """Turns one clip or a list of clips into a batch.

        Args:
            clips: a clip or a list of clips, as for [`Burst2VecFeatureExtractor`].
            sampling_rate (`int`, *optional*): in hertz, of the clips that are bare arrays.
            return_tensors (`str`, *optional*): `"pt"` or `"np"`.

        Returns:
            [`BatchFeature`] with `input_values` `(batch, samples)` or `input_features` `(batch, mel bins, frames)`, and
            `attention_mask` `(batch, samples or frames)`. Where the members need both, `attention_mask` belongs to
            `input_values`, and `feature_attention_mask` `(batch, frames)` to `input_features`. Where a member needs
            them, `functionals` `(batch, 6373)`.

        Raises:
            AudioError: if a clip cannot be used or is longer than `max_seconds`.
        """
        if not isinstance(clips, list):
            clips = [clips]
        read = [(self.load(clip, sampling_rate), self.sampling_rate) for clip in clips]
        values = [
            value
            for extractor in self._given.values()
            for value in extractor(read, return_tensors=return_tensors).values()
        ]
        return BatchFeature(dict(zip(self.model_input_names, values, strict=True)))

    def load(self, clip: Any, sampling_rate: int | None = None) -> np.ndarray:
        """One clip as mono samples `(samples,)`, float32, at `sampling_rate`, not yet levelled or normalised.

        Raises:
            AudioError: if the clip cannot be used or is longer than `max_seconds`.
        """
        # Without a level, because those of the members may differ.
        return load_clip(clip, sampling_rate, self.sampling_rate, max_seconds=self.max_seconds)

    def to_dict(self) -> dict[str, Any]:
        output = super().to_dict()
        for field, extractor in self._given.items():
            output[field] = {name: getattr(extractor, name) for name in _FIELDS[field]}
        return output


def _open(name: str, hub_options: dict[str, Any]) -> MemberExtractor:
    found = open_checkpoint(FeatureExtractionMixin.get_feature_extractor_dict, name, **hub_options)[0]
    if not isinstance(found, dict):
        raise ConfigError(f"{name!r} has a preprocessor_config.json that holds no fields: it is damaged")
    is_baseline = found.get("feature_extractor_type") == ComParEFeatureExtractor.__name__
    extractor_class: Any = ComParEFeatureExtractor if is_baseline else Burst2VecFeatureExtractor
    return open_checkpoint(extractor_class.from_pretrained, name, **hub_options)


def _parse(field: str, given: Any) -> Any:
    extractor_class: Any = ComParEFeatureExtractor if field == "functionals" else Burst2VecFeatureExtractor
    try:
        extractor: Any = extractor_class(**given) if isinstance(given, dict) else given
    except TypeError as error:
        raise ConfigError(
            f"{field} cannot be used ({reason_of(error)}): give the arguments of a feature extractor"
        ) from None
    if extractor is not None and not hasattr(extractor, "model_input_names"):
        raise ConfigError(f"{field} is {extractor!r}: give a feature extractor or its arguments")
    if extractor is not None and extractor.model_input_names[0] != _INPUT_NAMES[field]:
        raise ConfigError(
            f"{field} is a feature extractor that gives {extractor.model_input_names[0]}, not {_INPUT_NAMES[field]}: "
            f"give it as {_field(extractor)}"
        )
    return extractor


def _field(extractor: MemberExtractor) -> str:
    return {name: field for field, name in _INPUT_NAMES.items()}[extractor.model_input_names[0]]


def _smallest_limit(extractors: Iterable[MemberExtractor]) -> float | None:
    limits = [extractor.max_seconds for extractor in extractors if extractor.max_seconds is not None]
    return min(limits, default=None)


def _join(members: list[tuple[str, Any]]) -> MemberExtractor:
    first_name, first = members[0]
    limit = _smallest_limit(extractor for _, extractor in members)
    for name, other in members[1:]:
        differing = [key for key, value in first.input_settings.items() if other.input_settings[key] != value]
        if differing:
            key = differing[0]
            raise ConfigError(
                f"members {first_name!r} and {name!r} both take {first.model_input_names[0]}, but with {key} of "
                f"{first.input_settings[key]!r} and {other.input_settings[key]!r}: leave one out, or average their "
                "predictions instead"
            )
    if isinstance(first, ComParEFeatureExtractor):
        return ComParEFeatureExtractor(first.sampling_rate, limit)
    return Burst2VecFeatureExtractor(
        first.front_end,
        minimum_samples=max(extractor.minimum_samples for _, extractor in members),
        target_rms_db=first.target_rms_db,
        max_seconds=limit,
    )


Burst2VecEnsembleFeatureExtractor.register_for_auto_class("AutoFeatureExtractor")
