"""Decoded audio on disk: never stale, whole whatever happens, and no reason for a run to end."""

import errno
import logging
import multiprocessing
import os
import pickle
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from paravox.corpora import audio_cache
from paravox.corpora.audio_cache import AudioCache
from paravox.modeling.audio import load_audio
from paravox.modeling.errors import AudioError, ConfigError

SECOND = 16_000 * 4 + 128 + 4  # bytes of an entry that holds one second at 16 kHz


def write_clip(path, seed=0, rate=48_000, seconds=1.0):
    samples = np.random.default_rng(seed).uniform(-0.5, 0.5, int(rate * seconds))
    soundfile.write(path, samples, rate, format="FLAC")
    return path


def entries(folder):
    return sorted(Path(folder).rglob("*.npy"))


def files(folder):
    return sorted(path for path in Path(folder).rglob("*") if path.is_file())


@pytest.fixture
def decoded(monkeypatch):
    """What is decoded from here on, by path, in order."""
    calls = []

    def spy(source, sampling_rate=16_000):
        calls.append(source["path"] if isinstance(source, dict) else source)
        return load_audio(source, sampling_rate)

    monkeypatch.setattr(audio_cache, "load_audio", spy)
    return calls


def test_a_clip_is_decoded_once_and_stays_the_same(tmp_path, decoded):
    clip = write_clip(tmp_path / "clip.flac")
    cache = AudioCache(tmp_path / "cache" / "deep")
    first = cache.load(clip)
    again = cache.load(clip)
    other_run = AudioCache(tmp_path / "cache" / "deep").load(str(clip))
    assert decoded == [clip]
    for samples in (first, again, other_run):
        assert samples.dtype == np.float32
        np.testing.assert_array_equal(samples, load_audio(clip))
    assert len(entries(tmp_path / "cache")) == 1


def test_every_source_of_equal_content_shares_one_entry(tmp_path, decoded):
    clip = write_clip(tmp_path / "clip.flac")
    copy = shutil.copy(clip, tmp_path / "copy.flac")
    content = clip.read_bytes()
    cache = AudioCache(tmp_path / "cache")
    for source in (clip, copy, content, {"bytes": content, "path": None}, {"bytes": None, "path": str(clip)}):
        np.testing.assert_array_equal(cache.load(source), load_audio(clip))
    assert len(decoded) == len(entries(tmp_path / "cache")) == 1


def test_changed_content_is_never_answered_with_the_old(tmp_path):
    clip = write_clip(tmp_path / "clip.flac", seed=1)
    seen = clip.stat()
    cache = AudioCache(tmp_path / "cache")
    cache.load(clip)
    # The same name, size and time: only the content tells.
    old = clip.read_bytes()
    other = write_clip(tmp_path / "other.flac", seed=2).read_bytes()
    assert other != old
    clip.write_bytes(other)
    os.utime(clip, ns=(seen.st_atime_ns, seen.st_mtime_ns))
    np.testing.assert_array_equal(cache.load(clip), load_audio(other))
    assert len(entries(tmp_path / "cache")) == 2


def test_each_rate_and_format_has_its_own_entry(tmp_path, monkeypatch):
    clip = write_clip(tmp_path / "clip.flac")
    for number, rate in enumerate((16_000, 8_000, 48_000), start=1):
        assert AudioCache(tmp_path / "cache", sampling_rate=rate).load(clip).shape == (rate,)
        assert len(entries(tmp_path / "cache")) == number
    monkeypatch.setattr(audio_cache, "FORMAT", "another")
    AudioCache(tmp_path / "cache").load(clip)
    assert len(entries(tmp_path / "cache")) == 4


def test_arrays_and_file_objects_are_read_without_being_kept(tmp_path):
    clip = write_clip(tmp_path / "clip.flac", rate=16_000)
    cache = AudioCache(tmp_path / "cache")
    expected = load_audio(clip)
    for source in ((expected, 16_000), {"array": expected, "sampling_rate": 16_000}):
        np.testing.assert_array_equal(cache.load(source), expected)
    with open(clip, "rb") as file:
        np.testing.assert_array_equal(cache.load(file), expected)
    assert not files(tmp_path / "cache")


def test_bad_clips_are_refused_by_name_and_not_kept(tmp_path):
    cache = AudioCache(tmp_path / "cache")
    (tmp_path / "empty.wav").touch()
    (tmp_path / "notes.wav").write_text("a shopping list\n" * 100)
    for name, message in [
        ("nowhere.wav", "nowhere.wav does not exist"),
        ("empty.wav", "empty.wav is empty"),
        ("notes.wav", "notes.wav is not audio"),
        ("", "is a folder"),
    ]:
        with pytest.raises(AudioError, match=message):
            cache.load(tmp_path / name)
    with pytest.raises(AudioError, match="type NoneType is not understood"):
        cache.load(None)
    assert not files(tmp_path / "cache")


@pytest.mark.parametrize(
    "damage",
    [
        "empty",
        "half",
        "not an array",
        "zeros",
        "another type",
        "pickle",
        "no checksum",
        "a bit of the samples",
        "a bit of the header",
    ],
)
def test_a_damaged_entry_is_made_anew(tmp_path, damage, decoded, caplog):
    clip = write_clip(tmp_path / "clip.flac")
    cache = AudioCache(tmp_path / "cache")
    expected = cache.load(clip)
    (entry,) = entries(tmp_path / "cache")
    whole = entry.read_bytes()
    if damage == "another type":
        np.save(entry, expected.astype(np.float64))
    elif damage == "no checksum":
        np.save(entry, expected)
    elif damage.startswith("a bit"):
        flipped = bytearray(whole)
        flipped[whole.index(b"16000") + 4 if damage.endswith("header") else 5_000] ^= 1  # 16001 samples, or another one
        entry.write_bytes(flipped)
    elif damage == "pickle":
        np.save(entry, np.array([{"not": "audio"}]), allow_pickle=True)
    else:
        half = whole[: len(whole) // 2]
        entry.write_bytes({"empty": b"", "half": half, "not an array": b"x" * 999, "zeros": bytes(len(whole))}[damage])
    with caplog.at_level(logging.WARNING):
        np.testing.assert_array_equal(cache.load(clip), expected)
    assert f"entry {entry} of the audio cache is damaged" in caplog.text
    assert entry.read_bytes() == whole and files(tmp_path / "cache") == [entry]
    cache.load(clip)
    assert len(decoded) == 2


def test_what_never_ends_is_not_read_by_the_cache(tmp_path):
    os.mkfifo(tmp_path / "pipe.wav")
    for path in ("/dev/zero", tmp_path / "pipe.wav"):
        with pytest.raises(AudioError, match="is a (device|pipe), expected an audio file"):
            AudioCache(tmp_path / "cache").load(path)


def test_a_large_file_is_read_without_being_kept(tmp_path, monkeypatch, decoded):
    clip = write_clip(tmp_path / "clip.flac")
    monkeypatch.setattr(audio_cache, "_MOST_BYTES", clip.stat().st_size - 1)
    cache = AudioCache(tmp_path / "cache")
    for _ in range(2):
        np.testing.assert_array_equal(cache.load(clip), load_audio(clip))
    assert decoded == [clip, clip] and not files(tmp_path / "cache")


def test_the_bound_is_kept(tmp_path, decoded, caplog):
    clips = [write_clip(tmp_path / f"{number}.flac", seed=number) for number in range(5)]
    cache = AudioCache(tmp_path / "cache", max_gigabytes=3.5 * SECOND / 1e9)
    with caplog.at_level(logging.WARNING):
        for clip in clips * 2:
            np.testing.assert_array_equal(cache.load(clip), load_audio(clip))
    assert cache.size_bytes() == sum(path.stat().st_size for path in files(tmp_path / "cache")) == 3 * SECOND
    # Three come from the folder the second time, two are decoded twice, and it is said once.
    assert len(decoded) == 7
    assert [record.message for record in caplog.records] == [
        f"audio cache {tmp_path / 'cache'} is full at {3.5 * SECOND / 1e9:g} GB: clips that are not in it are decoded "
        "each time"
    ]


def test_what_other_processes_wrote_counts(tmp_path):
    clips = [write_clip(tmp_path / f"{number}.flac", seed=number) for number in range(6)]
    bound = 4 * SECOND / 1e9
    # Two caches that were both opened on the empty folder, writing by turns.
    caches = [AudioCache(tmp_path / "cache", max_gigabytes=bound) for _ in range(2)]
    for number, clip in enumerate(clips):
        caches[number % 2].load(clip)
    assert caches[0].size_bytes() == 4 * SECOND


def test_a_large_bound_is_counted_seldom(tmp_path, monkeypatch):
    counts = []
    count = AudioCache.size_bytes
    monkeypatch.setattr(AudioCache, "size_bytes", lambda self: counts.append(self) or count(self))
    # One hundredth of the bound is four clips.
    cache = AudioCache(tmp_path / "cache", max_gigabytes=400 * SECOND / 1e9)
    for number in range(12):
        cache.load(write_clip(tmp_path / "clip.flac", seed=number))
    assert len(counts) == 3


def test_no_room_at_all_keeps_nothing(tmp_path):
    cache = AudioCache(tmp_path / "cache", max_gigabytes=0)
    assert cache.load(write_clip(tmp_path / "clip.flac")).shape == (16_000,)
    assert not files(tmp_path / "cache") and cache.size_bytes() == 0


@pytest.mark.parametrize("at", ["write", "rename"])
def test_a_full_disk_ends_no_run(tmp_path, monkeypatch, caplog, at):
    clips = [write_clip(tmp_path / f"{number}.flac", seed=number) for number in range(3)]
    cache = AudioCache(tmp_path / "cache")

    def no_space(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    def half_then_no_space(file, samples):
        file.write(samples.tobytes()[: samples.nbytes // 2])
        no_space()

    cache.load(clips[0])
    if at == "write":
        monkeypatch.setattr(audio_cache.np, "save", half_then_no_space)
    else:
        monkeypatch.setattr(audio_cache.os, "replace", no_space)
    with caplog.at_level(logging.WARNING):
        for clip in clips * 2:
            np.testing.assert_array_equal(cache.load(clip), load_audio(clip))
    assert len(caplog.records) == 1
    assert "cannot be written (No space left on device)" in caplog.text
    assert len(files(tmp_path / "cache")) == 1  # the whole one


def test_an_interrupted_write_leaves_nothing(tmp_path, monkeypatch):
    def interrupt(file, samples):
        file.write(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(audio_cache.np, "save", interrupt)
    with pytest.raises(KeyboardInterrupt):
        AudioCache(tmp_path / "cache").load(write_clip(tmp_path / "clip.flac"))
    assert not files(tmp_path / "cache")


def _load_all(cache, clips, start, results):
    start.wait()
    results.put([cache.load(clip).tobytes() for clip in clips])


def test_two_processes_fill_one_cold_cache(tmp_path):
    clips = [write_clip(tmp_path / f"{number}.flac", seed=number, seconds=0.2) for number in range(20)]
    cache = AudioCache(tmp_path / "cache")
    # As the workers of a DataLoader on Linux; a new interpreter would import everything again first.
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    start, results = context.Barrier(2), context.Queue()
    processes = [context.Process(target=_load_all, args=(cache, clips, start, results)) for _ in range(2)]
    for process in processes:
        process.start()
    loaded = [results.get(timeout=60) for _ in processes]
    for process in processes:
        process.join(timeout=60)
        assert process.exitcode == 0
    expected = [load_audio(clip).tobytes() for clip in clips]
    assert loaded == [expected, expected]
    kept = entries(tmp_path / "cache")
    assert files(tmp_path / "cache") == kept and len(kept) == 20
    assert sorted(np.load(entry).tobytes() for entry in kept) == sorted(expected)


def test_pickled_for_a_worker(tmp_path, decoded):
    clip = write_clip(tmp_path / "clip.flac")
    cache = AudioCache(tmp_path / "cache", max_gigabytes=1.5, sampling_rate=8_000)
    cache.load(clip)
    copy = pickle.loads(pickle.dumps(cache))
    assert copy.load(clip).shape == (8_000,) and copy.max_gigabytes == 1.5
    assert len(decoded) == 1


def test_wrong_settings(tmp_path):
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "cache"):
        with pytest.raises(ConfigError, match=f"audio cache {folder} cannot be made .*expected a folder"):
            AudioCache(folder)
    for bound in (-1.0, float("nan")):
        with pytest.raises(ConfigError, match=f"max_gigabytes of the audio cache is {bound}, expected 0 or more"):
            AudioCache(tmp_path / "cache", max_gigabytes=bound)
