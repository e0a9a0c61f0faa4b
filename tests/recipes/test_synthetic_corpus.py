"""The program that writes synthetic bursts: its options reach the corpus."""

import pandas as pd

from paravox.corpora.synthetic import write_synthetic_corpus
from paravox.recipes import synthetic_corpus


def test_options_reach_the_corpus(tmp_path, capsys):
    sizes = {"train": 40, "validation": 3, "test": 2}
    options = [part for split, clips in sizes.items() for part in (f"--{split}", str(clips))]
    synthetic_corpus.main(["--output_dir", str(tmp_path / "a"), *options, "--bias", "0.9", "--seed", "5"])
    assert f"45 bursts written to {tmp_path / 'a'}" in capsys.readouterr().out
    write_synthetic_corpus(tmp_path / "b", sizes, bias=0.9, seed=5)
    found, expected = (pd.read_csv(tmp_path / name / "metadata.csv") for name in "ab")
    pd.testing.assert_frame_equal(found, expected)
    assert found["split"].value_counts().to_dict() == sizes
    assert len(list((tmp_path / "a" / "audio").glob("*.wav"))) == 45
