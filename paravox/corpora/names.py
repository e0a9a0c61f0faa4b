"""The names of all corpora, for help texts: their readers take seconds to import."""

CORPUS_NAMES = (
    "exvo",
    "metadata_csv",
    "class_folders",
    "dataset",
    "iemocap",
    "msp_improv",
    "msp_podcast",
    "masc",
    "esd",
    "emodb",
    "ased",
    "turev",
    "ravdess",
)
