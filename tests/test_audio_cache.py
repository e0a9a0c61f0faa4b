"""The cache of decoded audio: never stale, bounded, safe for two processes, and no reason for a run to fail."""

import errno
import multiprocessing
import pickle

import numpy as np
import pytest
import soundfile

from paravox.modeling.audio import load_audio
from paravox.recipes.corpora import audio_cache
from paravox.recipes.corpora.audio_cache import AudioCache


@pytest.fixture
def clips(tmp_path):
    generator = np.random.default_rng(0)
    paths = [tmp_path / f"{number}.wav" for number in range(6)]
    for path in paths:
        soundfile.write(path, generator.normal(scale=0.1, size=4410), 44_100)
    return [str(path) for path in paths]


def entries(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_a_clip_is_decoded_once(clips, tmp_path, monkeypatch):
    cache = AudioCache(tmp_path / "cache")
    first = cache.load(clips[0])
    monkeypatch.setattr(audio_cache, "load_audio", None)
    again = pickle.loads(pickle.dumps(cache)).load({"bytes": None, "path": clips[0]})
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(first, load_audio(clips[0]))
    assert cache.size_bytes() == sum(path.stat().st_size for path in entries(tmp_path / "cache"))


def test_changed_content_or_rate_is_another_entry(clips, tmp_path):
    cache = AudioCache(tmp_path / "cache")
    before = cache.load(clips[0])
    soundfile.write(clips[0], np.zeros(4410), 44_100)
    assert before.any() and not cache.load(clips[0]).any()
    assert len(AudioCache(tmp_path / "cache", sampling_rate=8_000).load(clips[1])) == 800
    assert len(cache.load(clips[1])) == 1600


def test_a_damaged_entry_is_made_anew(clips, tmp_path):
    cache = AudioCache(tmp_path / "cache")
    expected = cache.load(clips[0])
    (entry,) = entries(tmp_path / "cache")
    entry.write_bytes(entry.read_bytes()[:50])
    np.testing.assert_array_equal(cache.load(clips[0]), expected)
    np.testing.assert_array_equal(np.load(entry), expected)


def test_it_stays_within_its_bound(clips, tmp_path, caplog):
    cache = AudioCache(tmp_path / "cache", max_gigabytes=14_000e-9)
    assert all(len(cache.load(clip)) == 1600 for clip in clips)
    assert len(entries(tmp_path / "cache")) == 2 and caplog.text.count("is full") == 1


def test_a_full_disk_does_not_end_a_run(clips, tmp_path, monkeypatch, caplog):
    cache = AudioCache(tmp_path / "cache")

    def refuse(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(audio_cache.np, "save", refuse)
    assert all(len(cache.load(clip)) == 1600 for clip in clips)
    assert not entries(tmp_path / "cache") and caplog.text.count("cannot be written") == 1


def load_all(folder, clips):
    cache = AudioCache(folder)
    for clip in clips:
        cache.load(clip)


def test_two_processes_fill_one_cold_cache(clips, tmp_path):
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=load_all, args=(tmp_path / "cache", clips)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    found = entries(tmp_path / "cache")
    assert len(found) == len(clips) and {path.suffix for path in found} == {".npy"}
    assert all(len(np.load(path)) == 1600 for path in found)
