"""Four open corpora of acted emotional speech, each in its owners' layout: EmoDB, ASED, TurEV-DB and RAVDESS.

The names of folders and files say who speaks and with which emotion. Any audio format that soundfile reads will do.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path

from datasets import Dataset

from paravox.corpora.faults import Faults
from paravox.corpora.reading import clips_by_path, list_audio, list_files, nothing_found, warn_unless_complete


@dataclass(frozen=True)
class NamedClips:
    """A corpus whose paths say who speaks and with which emotion.

    Args:
        name (`str`): the name of the corpus.
        pattern (`str`): a regular expression that is searched in `folder/file`, without the file's suffix, and has the
            groups `speaker` and `code`. Other files are ignored.
        emotions (`dict`): from code to emotion.
        clips (`int`): how many clips the corpus has.
        sexes (`dict`, *optional*): from the group `sex` of the pattern, or from the speaker if the pattern has no such
            group, to `female` or `male`; empty if the owners do not say it.
    """

    name: str
    pattern: str
    emotions: dict[str, str]
    clips: int
    sexes: dict[str, str] = field(default_factory=dict)

    @property
    def labels(self) -> tuple[str, ...]:
        """The label set, in the order of the codes."""
        return tuple(self.emotions.values())

    def read(self, data_dir: str | Path) -> Dataset:
        """Reads the corpus from a folder.

        Args:
            data_dir (`str` or `Path`): the folder of the corpus, or one above it.

        Returns:
            `datasets.Dataset` with `path`, `speaker`, `emotion` and, if the owners say it, `sex`, sorted by path.

        Raises:
            CorpusError: if there is no clip, or an emotion code is unknown.
        """
        root, rows = Path(data_dir), []
        faults = Faults(root)
        for path in list_audio(list_files(root)):
            found = re.search(self.pattern, f"{path.parent.name}/{path.stem}")
            if found and found["code"] not in self.emotions:
                faults.add(f"emotion that is none of {', '.join(self.emotions)}", [path])
            elif found:
                emotion = self.emotions[found["code"]]
                clip = {"path": str(path), "speaker": found["speaker"], "emotion": emotion}
                sex = {"sex": self.sexes.get(found.groupdict().get("sex", clip["speaker"]))} if self.sexes else {}
                rows.append(clip | sex)
        faults.raise_if_any()
        if not rows:
            raise nothing_found(
                root, f"clip of {self.name}", "give the folder of the corpus, its files named as its owners do"
            )
        warn_unless_complete(self.name, len(rows), self.clips)
        return clips_by_path(rows)


# Burkhardt et al. 2005. In 03a01Fa, 03 is the speaker, a01 the text, F the emotion (the first letter of the German
# word) and a the take. The sexes of the speakers are those on the corpus's website.
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
    sexes=dict.fromkeys(("08", "09", "13", "14", "16"), "female")
    | dict.fromkeys(("03", "10", "11", "12", "15"), "male"),
)

# Retta et al. 2022. In 02Fearful/f2-03-02-02-65, f2 is the emotion, 03 the sentence, 02 the repetition, 02 the sex and
# 65 the speaker. Five speakers have files of both sexes.
ASED = NamedClips(
    "ased",
    r"\d\d(?P<code>\w+)/[a-zA-Z]\d-\d+-\d+-(?P<sex>\d+)-(?P<speaker>\d+)$",
    {"Neutral": "neutral", "Fearful": "fearful", "Happy": "happy", "Sad": "sad", "Angry": "angry"},
    clips=2474,
    sexes={"01": "female", "02": "male"},
)

# Canpolat et al. 2020. In Angry/1157_kz_acik, 1157 is the speaker, kz the emotion (in Turkish) and acik the word.
TUREV = NamedClips(
    "turev",
    r"(?P<code>\w+)/(?P<speaker>\d+)_[a-z]+_\w+$",
    {"Angry": "angry", "Calm": "calm", "Happy": "happy", "Sad": "sad"},
    clips=1735,
)

# Livingstone and Russo 2018. The fields of 03-01-05-01-01-02-05 are modality, channel, emotion, intensity, statement,
# repetition and actor. Actors with an even number are women.
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
    sexes={f"{actor:02}": "male" if actor % 2 else "female" for actor in range(1, 25)},
)
