"""From recordings to the 6,373 ComParE 2016 functionals, which openSMILE computes.

openSMILE is free for research and private use; its licence, the audEERING Research License Agreement, does not allow
commercial products. It is imported when functionals are first computed.
"""

import warnings
from collections.abc import Iterable
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from transformers import BatchFeature
from transformers.feature_extraction_utils import FeatureExtractionMixin

from .audio import load_clip
from .bounds import check_number
from .errors import AudioError, ConfigError, needs_extra

if TYPE_CHECKING:
    # Named because Transformers before 5.6 copies only the files that the one it opens imports itself.
    from .audio_containers import check_length  # noqa: F401
    from .audio_content import open_content  # noqa: F401
    from .audio_decoding import read_parts  # noqa: F401
    from .audio_mpeg import count_frames  # noqa: F401
    from .transformers_versions import run_layer  # noqa: F401


class ComParEFeatureExtractor(FeatureExtractionMixin):
    """Decodes and resamples clips, and computes their ComParE 2016 functionals, one vector per clip of any length.

    It needs openSMILE: `pip install opensmile`.

    Args:
        sampling_rate (`int`, *optional*, defaults to 16000): in hertz. Clips are resampled to it.
        max_seconds (`float`, *optional*): a longer clip is an error.
    """

    def __init__(self, sampling_rate: int = 16_000, max_seconds: float | None = None, **kwargs: Any) -> None:
        check_number("sampling_rate", sampling_rate, 1_000, 10**6)
        check_number("max_seconds", max_seconds, 0, 10**6)
        self.sampling_rate = sampling_rate
        self.max_seconds = max_seconds
        super().__init__(**kwargs)

    @property
    def model_input_names(self) -> list[str]:
        return ["functionals"]

    @property
    def input_settings(self) -> dict[str, Any]:
        """The settings that a clip's functionals depend on, by name: where these are equal, the functionals are."""
        return {"sampling_rate": self.sampling_rate}

    def __call__(self, clips: Any, sampling_rate: int | None = None, return_tensors: str | None = None) -> BatchFeature:
        """Turns one clip or a list of clips into a batch.

        Args:
            clips: a clip or a list of clips, each in a form that [`Burst2VecFeatureExtractor`] takes too.
            sampling_rate (`int`, *optional*): in hertz, of the clips that are bare arrays.
            return_tensors (`str`, *optional*): `"pt"` or `"np"`.

        Returns:
            [`BatchFeature`] with `functionals` `(batch, 6373)`, float32.

        Raises:
            AudioError: if a clip cannot be used or is longer than `max_seconds`.
            ConfigError: if openSMILE is not installed.
        """
        if not isinstance(clips, list):
            clips = [clips]
        if not clips:
            raise AudioError("an empty list holds no clip: give at least one")
        samples = (self.load(clip, sampling_rate) for clip in clips)
        functionals = compare_2016_functionals(samples, self.sampling_rate)
        return BatchFeature({"functionals": functionals}, tensor_type=return_tensors)

    def load(self, clip: Any, sampling_rate: int | None = None) -> np.ndarray:
        """One clip as mono samples `(samples,)`, float32, at `sampling_rate` of this feature extractor.

        Args:
            clip: as for a call.
            sampling_rate (`int`, *optional*): in hertz, if the clip is a bare array.

        Raises:
            AudioError: if the clip cannot be used or is longer than `max_seconds`.
        """
        return load_clip(clip, sampling_rate, self.sampling_rate, max_seconds=self.max_seconds)


def compare_2016_functionals(clips: Iterable[np.ndarray], sampling_rate: int) -> np.ndarray:
    """Computes the ComParE 2016 functionals of clips.

    Args:
        clips (iterable of `np.ndarray` of shape `(samples,)`): float32 samples.
        sampling_rate (`int`): of the clips, in hertz.

    Returns:
        `np.ndarray` of shape `(clips, 6373)`, float32. Functionals that are NaN or infinite are 0, as are all those of
        a clip that is too short for openSMILE, which is about a tenth of a second.

    Raises:
        ConfigError: if openSMILE is not installed.
    """
    smile = open_smile()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Segment too short")
        rows = [smile.process_signal(samples, sampling_rate).to_numpy() for samples in clips]
    return np.nan_to_num(np.concatenate(rows), nan=0.0, posinf=0.0, neginf=0.0).astype(np.float32)


@lru_cache(maxsize=1)
def open_smile() -> Any:
    """openSMILE with its ComParE 2016 functionals.

    Raises:
        ConfigError: if openSMILE is not installed.
    """
    try:
        import opensmile
    except ImportError:
        raise ConfigError(needs_extra("the ComParE baseline", "opensmile", "compare")) from None
    return opensmile.Smile(opensmile.FeatureSet.ComParE_2016, opensmile.FeatureLevel.Functionals)


ComParEFeatureExtractor.register_for_auto_class("AutoFeatureExtractor")
