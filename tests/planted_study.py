"""A few-shot study whose effects are planted, as rows and as a results file written by hand."""

import itertools
import json
import sqlite3

CORPORA = ["emodb", "ased", "turev", "ravdess"]  # not in alphabetical order
SPEAKERS = [f"{number:04}" for number in range(8, 14)]
LANGUAGES = {speaker: "Mandarin" if speaker <= "0010" else "English" for speaker in SPEAKERS}
EMOTIONS = ["angry", "neutral"]
SHOTS = [2, 8, 64]
REPETITIONS = 2

# A score is the sum of these. The part of the repetitions is zero on average, and a corpus's effect grows with the
# weight of its speaker.
BASE = {2: 0.30, 8: 0.40, 64: 0.50}
EFFECT = {"emodb": 0.04, "ased": -0.02, "turev": 0.01, "ravdess": 0.05}
WEIGHT = dict(zip(SPEAKERS, [0.5, 0.8, 1.1, 1.0, 1.2, 1.4], strict=True))  # mean 1; Mandarin 0.8, English 1.2
OFFSET = dict(zip(SPEAKERS, [-0.05, 0.01, 0.04, 0.02, -0.03, 0.01], strict=True))  # mean 0; both languages 0
LANGUAGE = {"Mandarin": 0.06, "English": -0.02}  # mean 0.02
EMOTION = {"angry": 0.03, "neutral": -0.01}  # mean 0.01
POSITIVES = {"angry": 20, "neutral": 40}
LEVEL = 0.03  # what language and emotion add on average


def combinations():
    return [names for size in range(5) for names in itertools.combinations(CORPORA, size)]


def name_of(names):
    return "+".join(sorted(names)) or "none"


def planted_score(names, speaker, emotion, k, repetition):
    gain = WEIGHT[speaker] * sum(EFFECT[name] for name in names)
    noise = 0.02 if repetition else -0.02
    return BASE[k] + gain + OFFSET[speaker] + LANGUAGE[LANGUAGES[speaker]] + EMOTION[emotion] + noise


def planted_rows():
    """All rows of the grid, as dicts."""
    grid = itertools.product(combinations(), SPEAKERS, EMOTIONS, SHOTS, range(REPETITIONS))
    return [
        {
            "checkpoint": name_of(names),
            "speaker": speaker,
            "emotion": emotion,
            "k": k,
            "repetition": repetition,
            "status": "finished",
            "macro_f1": planted_score(names, speaker, emotion, k, repetition),
            "test_positives": POSITIVES[emotion],
            "test_clips": 100,
        }
        for names, speaker, emotion, k, repetition in grid
    ]


STUDY = {
    "corpora": CORPORA,
    "checkpoints": [name_of(names) for names in combinations()],
    "speakers": SPEAKERS,
    "languages": LANGUAGES,
    "emotions": EMOTIONS,
    "shots": SHOTS,
    "repetitions": REPETITIONS,
    "mode": "head",
    "layer": "last",
    "selection": "evaluation",
    "seed": 7,
}


def write_results(path, rows, **changes):
    """Writes a results file with SQL of its own; `changes` replace parts of the description, and None removes one."""
    path.unlink(missing_ok=True)
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE study (key TEXT PRIMARY KEY, value TEXT NOT NULL)")
    connection.execute(
        "CREATE TABLE trials (checkpoint TEXT, speaker TEXT, emotion TEXT, k INTEGER, repetition INTEGER, "
        "status TEXT, macro_f1 REAL, accuracy REAL, positive_f1 REAL, evaluation_macro_f1 REAL, best_epoch INTEGER, "
        "epochs INTEGER, test_positives INTEGER, test_clips INTEGER, predictions TEXT, seconds REAL, message TEXT, "
        "PRIMARY KEY (checkpoint, speaker, emotion, k, repetition))"
    )
    study = {key: value for key, value in (STUDY | changes).items() if value is not None}
    connection.executemany("INSERT INTO study VALUES (?, ?)", [(key, json.dumps(study[key])) for key in study])
    for row in rows:
        names, marks = ", ".join(row), ", ".join("?" * len(row))
        connection.execute(f"INSERT INTO trials ({names}) VALUES ({marks})", list(row.values()))
    connection.commit()
    connection.close()
    return path
