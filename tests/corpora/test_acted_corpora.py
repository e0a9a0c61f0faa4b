"""The four open corpora, from trees as their owners lay them out."""

from collections import Counter

import pytest
from little_corpora import write_clip

from paravox.corpora.acted_corpora import ASED, EMODB, RAVDESS, TUREV
from paravox.modeling.errors import CorpusError

EMOTIONS = {
    "emodb": {"anger", "boredom", "disgust", "fear", "happiness", "sadness", "neutral"},
    "ased": {"neutral", "fearful", "happy", "sad", "angry"},
    "turev": {"angry", "calm", "happy", "sad"},
    "ravdess": {"neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised"},
}
SPEAKERS = {"emodb": "01", "ased": "01", "turev": "1151", "ravdess": "01"}


@pytest.mark.parametrize("corpus", [EMODB, ASED, TUREV, RAVDESS], ids=lambda corpus: corpus.name)
def test_reads_speaker_and_emotion(corpus, open_corpora, caplog):
    clips = corpus.read(open_corpora / corpus.name)
    assert set(clips["emotion"]) == EMOTIONS[corpus.name] == set(corpus.labels)
    # Four speakers, two clips of each emotion.
    assert set(Counter(zip(clips["speaker"], clips["emotion"], strict=True)).values()) == {2}
    assert len(clips) == 8 * len(corpus.labels) and clips["speaker"][0] == SPEAKERS[corpus.name]
    assert clips["path"][:] == sorted(clips["path"]) and f"{len(clips)} clips" in caplog.text


def test_an_unknown_emotion_is_named(tmp_path):
    write_clip(tmp_path / "wav/03a01Xa.wav", seed=0)
    write_clip(tmp_path / "wav/03a01Wa.wav", seed=0)
    with pytest.raises(CorpusError, match=r"emotion that is none of W, L, E, A, F, T, N: 1 \(.*03a01Xa.wav"):
        EMODB.read(tmp_path)


def test_a_folder_of_something_else(tmp_path, open_corpora):
    with pytest.raises(CorpusError, match="no clip of ravdess .*give the folder of the corpus"):
        RAVDESS.read(open_corpora / "emodb")
    with pytest.raises(CorpusError, match="no such folder"):
        ASED.read(tmp_path / "nowhere")
