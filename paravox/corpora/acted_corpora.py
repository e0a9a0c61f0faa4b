"""Four open corpora of acted emotional speech, each in its owners' layout: EmoDB, ASED, TurEV-DB and RAVDESS.

Speaker and emotion stand in the names of folders and files, whose suffix may be any that soundfile reads.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from datasets import Dataset

from paravox.corpora.faults import Faults
from paravox.corpora.reading import as_clips, list_audio, list_files, no_clips, warn_about_count


@dataclass(frozen=True)
class NamedClips:
    """A corpus whose clips say in their path who speaks and how.

    Args:
        name (`str`): of the corpus.
        pattern (`str`): a regular expression for `folder/stem`, with the groups `speaker` and `code`.
        emotions (`dict`): from a code to its emotion.
        clips (`int`): how many the corpus has.
    """

    name: str
    pattern: str
    emotions: dict[str, str]
    clips: int

    @property
    def labels(self) -> tuple[str, ...]:
        """All emotions, in the order of their codes."""
        return tuple(self.emotions.values())

    def read(self, data_dir: str | Path) -> Dataset:
        """Reads the corpus from a folder.

        Args:
            data_dir (`str` or `Path`): the corpus's folder, or one above it.

        Returns:
            `datasets.Dataset` with `path`, `speaker` and `emotion`, sorted by path.

        Raises:
            CorpusError: if there is no clip, or one whose emotion is not known.
        """
        root, rows = Path(data_dir), []
        faults = Faults(root)
        for path in list_audio(list_files(root)):
            found = re.search(self.pattern, f"{path.parent.name}/{path.stem}")
            if found and found["code"] not in self.emotions:
                faults.add(f"emotion that is none of {', '.join(self.emotions)}", [path])
            elif found:
                emotion = self.emotions[found["code"]]
                rows.append({"path": str(path), "speaker": found["speaker"], "emotion": emotion})
        faults.raise_if_any()
        if not rows:
            raise no_clips(
                root, f"clip of {self.name}", "give the folder of the corpus, its files named as its owners do"
            )
        warn_about_count(self.name, len(rows), self.clips)
        return as_clips(rows)


# Burkhardt et al. 2005: 03a01Fa is speaker 03, text a01, emotion F (the German word's letter), take a.
EMODB = NamedClips(
    "emodb",
    r"/(?P<speaker>\d\d)[ab]\d\d(?P<code>[A-Z])[a-z]?$",
    {
        "W": "anger",
        "L": "boredom",
        "E": "disgust",
        "A": "fear",
        "F": "happiness",
        "T": "sadness",
        "N": "neutral",
    },
    clips=535,
)

# Retta et al. 2022: 02Fearful/f2-03-02-02-65 is emotion and folder, sentence, repetition, sex, speaker.
ASED = NamedClips(
    "ased",
    r"\d\d(?P<code>\w+)/[a-zA-Z]\d-\d+-\d+-\d+-(?P<speaker>\d+)$",
    {"Neutral": "neutral", "Fearful": "fearful", "Happy": "happy", "Sad": "sad", "Angry": "angry"},
    clips=2474,
)

# Canpolat et al. 2020: Angry/1157_kz_acik is speaker, emotion (in Turkish, again in the folder), word.
TUREV = NamedClips(
    "turev",
    r"(?P<code>\w+)/(?P<speaker>\d+)_[a-z]+_\w+$",
    {"Angry": "angry", "Calm": "calm", "Happy": "happy", "Sad": "sad"},
    clips=1735,
)

# Livingstone and Russo 2018: 03-01-05-01-01-02-05 is modality, channel, emotion, intensity, statement, repetition, actor.
RAVDESS = NamedClips(
    "ravdess",
    r"/03-01-(?P<code>\d\d)-\d\d-\d\d-\d\d-(?P<speaker>\d\d)$",
    {
        "01": "neutral",
        "02": "calm",
        "03": "happy",
        "04": "sad",
        "05": "angry",
        "06": "fearful",
        "07": "disgust",
        "08": "surprised",
    },
    clips=1440,
)
