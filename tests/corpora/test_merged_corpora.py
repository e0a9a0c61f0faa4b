"""Several corpora as one."""

from datasets import Dataset, DatasetDict

from paravox.corpora.merged_corpora import merge_corpora


def corpus(name, splits):
    """Clips named after their corpus, split and number; every corpus has columns of its own."""
    return DatasetDict(
        {
            split: Dataset.from_dict(
                {
                    "path": [f"{name}/{split}/{n}" for n in reversed(range(clips))],
                    "speaker": [f"{name}{n}" if n else None for n in reversed(range(clips))],
                    "emotion": [f"{name}_emotion{n}" for n in reversed(range(clips))],
                    f"only_{name}": ["x"] * clips,
                }
            )
            for split, clips in splits.items()
        }
    )


def test_clips_keep_their_order_split_speaker_and_emotion():
    # The first corpus has its splits in another order than Train, Val, Test.
    splits = {"z": {"test": 1, "train": 3, "validation": 2}, "a": {"train": 2, "test": 2}}
    merged = merge_corpora({name: corpus(name, sizes) for name, sizes in splits.items()})
    assert list(merged) == ["train", "validation", "test"]
    for split, clips in merged.items():
        expected = [(name, n) for name in ("z", "a") for n in reversed(range(splits[name].get(split, 0)))]
        assert clips.column_names == ["path", "speaker", "split", "z", "a"]
        assert clips["path"][:] == [f"{name}/{split}/{n}" for name, n in expected]
        assert clips["speaker"][:] == [f"{name}{n}" if n else None for name, n in expected]
        assert set(clips["split"]) == {split}
        for column in ("z", "a"):
            assert clips[column][:] == [f"{name}_emotion{n}" if name == column else None for name, n in expected]
