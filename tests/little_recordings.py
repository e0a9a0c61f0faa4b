"""Recordings as phones and browsers write them, made by PyAV."""

import io

import numpy as np
import pytest


def written_by_pyav(samples, container, codec, rate=16_000, **options):
    """A file from mono samples `(samples,)` at 16 kHz; Opus has 48 kHz inside."""
    av = pytest.importorskip("av", reason="needs PyAV, the extra av")
    file = io.BytesIO()
    inside = 48_000 if codec == "libopus" else rate
    with av.open(file, "w", format=container, options=options) as output:
        try:
            stream = output.add_stream(codec, rate=inside)
        except ValueError:
            pytest.skip(f"this build of PyAV has no {codec}")
        stream.layout = "mono"
        frame = av.AudioFrame.from_ndarray(samples.astype(np.float32)[None], format="fltp", layout="mono")
        frame.rate = rate
        resampler = av.AudioResampler(stream.format, "mono", inside, frame_size=stream.frame_size or 960)
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            output.mux(stream.encode(part))
        output.mux(stream.encode(None))
    return file.getvalue()
