"""The four open corpora, from trees as their owners lay them out, compared with what their documentation says."""

from pathlib import Path

import pytest
from little_corpora import write_clip

from paravox.corpora.acted_corpora import ASED, EMODB, RAVDESS, TUREV
from paravox.modeling.errors import CorpusError

CORPORA = {"emodb": EMODB, "ased": ASED, "turev": TUREV, "ravdess": RAVDESS}
# One clip per emotion code, each of another speaker: path, speaker, emotion. The order of the emotions is that of the
# label sets, on which the positions in saved models depend. Sources: Burkhardt et al. 2005 (the letters stand for Wut,
# Langeweile, Ekel, Angst, Freude, Trauer and neutral), Retta et al. 2022, Canpolat et al. 2020, Livingstone and Russo
# 2018.
DOCUMENTED = {
    "emodb": [
        ("wav/03a01Wa.wav", "03", "anger"),
        ("wav/08a02Lb.wav", "08", "boredom"),
        ("wav/09b01Ea.wav", "09", "disgust"),
        ("wav/10a04Ad.wav", "10", "fear"),
        ("wav/11b10Fc.wav", "11", "happiness"),
        ("wav/12a05Ta.wav", "12", "sadness"),
        ("wav/13b03N.wav", "13", "neutral"),
    ],
    "ased": [
        ("01Neutral/n1-01-02-01-07.wav", "07", "neutral"),
        ("02Fearful/f2-03-02-02-65.wav", "65", "fearful"),
        ("03Happy/h3-02-01-01-11.wav", "11", "happy"),
        ("04Sad/S4-05-01-02-32.wav", "32", "sad"),
        ("05Angry/a5-04-02-01-02.wav", "02", "angry"),
    ],
    "turev": [
        ("Sound Source/Angry/1157_kz_acik.wav", "1157", "angry"),
        ("Sound Source/Calm/1358_sk_bana.wav", "1358", "calm"),
        ("Sound Source/Happy/6783_mt_elma.wav", "6783", "happy"),
        ("Sound Source/Sad/8843_hl_uzun_yol.wav", "8843", "sad"),
    ],
    "ravdess": [
        ("Actor_01/03-01-01-01-02-01-01.wav", "01", "neutral"),
        ("Actor_02/03-01-02-02-01-01-02.wav", "02", "calm"),
        ("Actor_03/03-01-03-02-02-01-03.wav", "03", "happy"),
        ("Actor_04/03-01-04-01-01-02-04.wav", "04", "sad"),
        ("Actor_05/03-01-05-01-01-02-05.wav", "05", "angry"),
        ("Actor_06/03-01-06-02-02-02-06.wav", "06", "fearful"),
        ("Actor_07/03-01-07-01-01-01-07.wav", "07", "disgust"),
        ("Actor_24/03-01-08-02-02-01-24.wav", "24", "surprised"),
    ],
}
CLIPS = {"emodb": 535, "ased": 2474, "turev": 1735, "ravdess": 1440}


@pytest.mark.parametrize("name", CORPORA)
def test_every_code_has_its_documented_speaker_and_emotion(name, tmp_path, caplog):
    for path, _, _ in DOCUMENTED[name]:
        write_clip(tmp_path / path, seed=0, seconds=0.02)
    clips = CORPORA[name].read(tmp_path)
    found = {clip["path"]: (clip["speaker"], clip["emotion"]) for clip in clips}
    assert found == {str(tmp_path / path): (speaker, emotion) for path, speaker, emotion in DOCUMENTED[name]}
    assert CORPORA[name].labels == tuple(emotion for _, _, emotion in DOCUMENTED[name])
    assert clips["path"][:] == sorted(clips["path"])
    assert f"{name}: {len(clips)} clips instead of the paper's {CLIPS[name]:,}" in caplog.text


# One clip per speaker: file and sex. EmoDB: the table on its website; ASED: the fourth field; RAVDESS: even numbers are
# women.
SEXES = {
    "emodb": {
        f"wav/{speaker}a01Wa.wav": {"m": "male", "f": "female"}[sex]
        for speaker, sex in zip("03 08 09 10 11 12 13 14 15 16".split(), "m f f m m m f f m f".split(), strict=True)
    },
    "ased": {
        "01Neutral/n1-01-02-01-07.wav": "female",
        "02Fearful/f2-03-01-02-65.wav": "male",
        # The same speaker once more, as in the corpus itself.
        "02Fearful/f2-03-02-01-65.wav": "female",
    },
    "ravdess": {
        "Actor_01/03-01-01-01-02-01-01.wav": "male",
        "Actor_02/03-01-01-01-02-01-02.wav": "female",
        "Actor_13/03-01-01-01-02-01-13.wav": "male",
        "Actor_24/03-01-01-01-02-01-24.wav": "female",
    },
}


@pytest.mark.parametrize("name", SEXES)
def test_the_sex_of_every_speaker_is_the_documented_one(name, tmp_path):
    for path in SEXES[name]:
        write_clip(tmp_path / path, seed=0, seconds=0.02)
    clips = CORPORA[name].read(tmp_path)
    found = dict(zip(clips["path"], clips["sex"], strict=True))
    assert found == {str(tmp_path / path): sex for path, sex in SEXES[name].items()}


def test_a_sex_that_is_not_documented_stays_unknown(tmp_path, open_corpora):
    write_clip(tmp_path / "wav/99a01Wa.wav", seed=0)
    write_clip(tmp_path / "wav/03a01Wa.wav", seed=0)
    assert EMODB.read(tmp_path)["sex"][:] == ["male", None]
    assert "sex" not in TUREV.read(open_corpora / "turev").column_names


@pytest.mark.parametrize("name", CORPORA)
def test_speakers_are_read_from_small_trees(name, open_corpora):
    clips = CORPORA[name].read(open_corpora / name)
    speakers = [f"115{n}" if name == "turev" else f"{n:02}" for n in range(1, 5)]
    # Four speakers, two clips of each emotion.
    assert sorted(clips["speaker"]) == sorted(speakers * 2 * len(DOCUMENTED[name]))


def test_other_files_are_ignored(tmp_path):
    # RAVDESS has songs (channel 02) and videos (modality 02) beside its speech.
    names = ("03-01-05-01-01-02-05.wav", "03-02-05-01-01-02-05.wav", "02-01-05-01-01-02-05.wav", "notes.wav")
    for name in names:
        write_clip(tmp_path / "Actor_05" / name, seed=0, seconds=0.02)
    (tmp_path / "Actor_05/03-01-04-01-01-02-05.txt").touch()
    assert [Path(path).name for path in RAVDESS.read(tmp_path)["path"]] == [names[0]]


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
