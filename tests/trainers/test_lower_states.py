"""Stored states: read back as they were, joined, found again by what they depend on, never half written."""

import pickle

import numpy as np
import pytest
import soundfile
import torch
from datasets import Dataset
from little_corpora import write_clip

from paravox.modeling.errors import ConfigError
from paravox.modeling.feature_extraction_burst2vec import Burst2VecFeatureExtractor
from paravox.modeling.tasks import parse_tasks
from paravox.trainers.clip_pass import PassSettings
from paravox.trainers.lower_states import (
    EncodedClip,
    LowerStates,
    check_room,
    encode_lower_layers,
    states_folder,
    write_states,
)
from paravox.trainers.multi_task_dataset import MultiTaskDataset

QUIET = PassSettings(show_progress=False)
SECONDS = (0.3, 0.5, 0.2, 0.4)


def make_clips(lengths, seed=0, layers=3, hidden=4):
    generator = np.random.default_rng(seed)
    shapes = enumerate(lengths)
    draw = lambda *shape: generator.normal(size=shape).astype(np.float32)  # noqa: E731
    return [EncodedClip(row, draw(frames, hidden), draw(layers, hidden)) for row, frames in shapes]


def check(states, clips):
    for row, clip in enumerate(clips):
        np.testing.assert_array_equal(states[row], clip.states)
        np.testing.assert_array_equal(states.pooled[row], clip.pooled)
        np.testing.assert_array_equal(states.lower_pooled(row), clip.pooled[:2])


def test_states_come_back_in_the_order_of_the_rows(tmp_path):
    clips = make_clips([5, 1, 7])
    write_states(tmp_path / "a", [clips[2], clips[0], clips[1]], count=3, layers=1)
    states = LowerStates.open(tmp_path / "a")
    assert len(states) == 3
    check(states, clips)
    check(pickle.loads(pickle.dumps(states)), clips)  # as a worker gets them
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_corpora_are_joined_one_after_the_other(tmp_path):
    first, second = make_clips([2, 3]), make_clips([4], seed=1)
    write_states(tmp_path / "a", first, count=2, layers=1)
    write_states(tmp_path / "b", second, count=1, layers=1)
    check(LowerStates.join([LowerStates.open(tmp_path / name) for name in "ab"]), [*first, *second])


def test_a_model_of_the_last_layer_alone_needs_no_pooled_states(tmp_path):
    write_states(tmp_path / "a", make_clips([2], layers=1), count=1, layers=1)
    assert LowerStates.open(tmp_path / "a").lower_pooled(0) is None


def test_the_folder_depends_on_every_part_and_on_where_one_ends():
    parts = [
        [b"encoder", b"clip"],
        [b"encoderc", b"lip"],
        [b"encoder"],
        [b"encoder", b"clip", b""],
        [b"clip", b"encoder"],
    ]
    assert len({states_folder("cache", part) for part in parts}) == len(parts)
    assert states_folder("cache", parts[0]) == states_folder("cache", list(parts[0]))


def test_a_run_that_is_stopped_leaves_nothing_that_could_be_read(tmp_path):
    def stopped():
        yield make_clips([2])[0]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_states(tmp_path / "a", stopped(), count=2, layers=1)
    assert not list(tmp_path.iterdir())


def test_the_states_of_the_first_of_two_runs_stay(tmp_path):
    mine, theirs = make_clips([2, 2]), make_clips([2, 2], seed=1)

    def meanwhile():
        yield mine[0]
        write_states(tmp_path / "a", theirs, count=2, layers=1)
        yield mine[1]

    write_states(tmp_path / "a", meanwhile(), count=2, layers=1)
    check(LowerStates.open(tmp_path / "a"), theirs)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize("damage", ["a bit of the states", "cut", "no index", "no checksum"])
def test_damaged_states_are_removed_with_a_word(tmp_path, damage, caplog):
    clips, folder = make_clips([5, 1, 7]), tmp_path / "a"
    assert LowerStates.open_whole(folder) is None and not caplog.messages
    write_states(folder, clips, count=3, layers=1)
    check(LowerStates.open_whole(folder), clips)
    states, index = folder / "states.bin", folder / "index.npz"
    content = bytearray(states.read_bytes())
    content[len(content) // 2] ^= 1
    if damage == "no checksum":
        with np.load(index) as arrays:
            np.savez(index, **{name: arrays[name] for name in ("places", "pooled", "layers")})
    elif damage == "no index":
        index.unlink()
    else:
        states.write_bytes(content[:20] if damage == "cut" else content)
    assert LowerStates.open_whole(folder) is None and not folder.exists()
    assert caplog.messages == [f"stored states {folder} are damaged and are made again"]


def test_no_damaged_byte_of_the_index_gives_other_states(tmp_path):
    clips, folder = make_clips([2, 1]), tmp_path / "a"
    write_states(folder, clips, count=2, layers=1)
    whole, states = (folder / "index.npz").read_bytes(), (folder / "states.bin").read_bytes()
    refused = 0
    for place in range(0, len(whole), 11):
        folder.mkdir(exist_ok=True)
        (folder / "states.bin").write_bytes(states)
        (folder / "index.npz").write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        opened = LowerStates.open_whole(folder)
        refused += opened is None
        if opened is not None:  # a date, for example
            check(opened, clips)
    assert refused > len(whole) / 11 / 2


def test_the_room_they_take_is_bounded():
    check_room("cache", seconds=3600, hidden_size=512, max_gigabytes=0.37)
    with pytest.raises(
        ConfigError, match=r"states of 1.0 hours would take 0.4 GB in cache, more than cache_gigabytes of 0.3"
    ):
        check_room("cache", seconds=3600, hidden_size=512, max_gigabytes=0.3)


@pytest.fixture
def make_dataset(tasks, tmp_path):
    """Four clips of different lengths in a folder; `noise` is the seed of what is in the files."""

    def make(folder="clips", noise=0, rows=(0, 1, 2, 3), **settings):
        paths = [tmp_path / folder / f"{clip}.wav" for clip in range(len(SECONDS))]
        for clip, path in enumerate(paths):
            write_clip(path, noise + clip, SECONDS[clip])
        (age,) = [task for task in parse_tasks(tasks) if task.name == "age"]
        paths = [str(paths[row]) for row in rows]
        corpus = Dataset.from_dict({"path": paths, "age": [20.0 + row for row in rows]})
        return MultiTaskDataset(corpus, [age], **settings)

    return make


def extractor_for(model, **settings):
    return Burst2VecFeatureExtractor.for_config(model.config.encoder, **settings)


def by_hand(model, path, lower):
    """The states of one clip by the stock encoder alone: after so many layers, and of all layers averaged over time."""
    samples = soundfile.read(path, dtype="float32")[0]
    normalised = (samples - samples.mean()) / np.sqrt(samples.var() + 1e-7)
    with torch.no_grad():
        stock = model.encoder.model(torch.from_numpy(normalised)[None], output_hidden_states=True)
    layers = [*stock.hidden_states[:-1], stock.last_hidden_state]
    return layers[lower][0].numpy(), np.stack([layer[0].mean(dim=0).numpy() for layer in layers])


# With two layers that learn, the states are those in front of the first one.
@pytest.mark.parametrize("learning", [1, 2])
@pytest.mark.parametrize("every_layer", [False, True])
def test_states_are_those_of_the_stock_encoder(make_model, make_dataset, tmp_path, every_layer, learning):
    model = make_model(layer_weights=every_layer)
    model.freeze_encoder(learning)
    dataset = make_dataset()
    encoded = encode_lower_layers(model, dataset, extractor_for(model), tmp_path / "states", settings=QUIET)
    source, lower = encoded.source, 2 - learning
    assert source.layers == lower and encoded.labels is dataset.labels
    np.testing.assert_allclose(source.seconds, SECONDS)
    for row in range(len(SECONDS)):
        states, pooled = by_hand(model, tmp_path / "clips" / f"{row}.wav", lower)
        np.testing.assert_allclose(source[row], states, atol=1e-4)
        np.testing.assert_allclose(source.pooled[row], pooled if every_layer else pooled[-1:], atol=1e-4)
        if every_layer:
            np.testing.assert_allclose(source.lower_pooled(row), pooled[: lower + 1], atol=1e-4)


def test_states_are_stored_again_for_everything_that_changes_them(make_model, make_dataset, tmp_path):
    folder = tmp_path / "states"

    def folders(model=None, learning=1, dataset=None, settings=QUIET, **extractor):
        model = model or make_model()
        model.freeze_encoder(learning)
        dataset = dataset or make_dataset()
        encode_lower_layers(model, dataset, extractor_for(model, **extractor), folder, settings=settings)
        return len(list(folder.iterdir()))

    assert folders() == folders() == 1
    assert folders(make_model(seed=1)) == 2  # weights
    assert folders(learning=2) == 3  # layers
    assert folders(make_model(layer_weights=True)) == 4  # whether every layer is pooled
    assert folders(target_rms_db=-3.0) == 5  # settings of the feature extractor
    assert folders(settings=PassSettings(dtype=torch.bfloat16, show_progress=False)) == 6
    assert folders(dataset=make_dataset("others", noise=7)) == 7  # the content of the files
    assert folders(dataset=make_dataset(max_seconds=0.35)) == 8
    assert folders(dataset=make_dataset(max_seconds=0.25)) == 9
    assert folders(dataset=make_dataset(rows=(0, 1, 2))) == 10
    assert folders(dataset=make_dataset(rows=(1, 0, 2, 3))) == 11
    # Neither the place of the files, the seed of the run, nor what is learned above the frozen layers matters.
    assert folders(dataset=make_dataset("copies")) == 11
    assert folders(dataset=make_dataset(max_seconds=0.35, seed=5)) == 11
    model = make_model()
    torch.nn.init.ones_(model.projection[0].weight)
    assert folders(model) == 11


def test_a_saved_model_shares_the_states_of_the_run_that_made_it(make_model, make_dataset, tmp_path):
    model, folder = make_model(), tmp_path / "states"
    model.save_pretrained(tmp_path / "model")
    extractor_for(model).save_pretrained(tmp_path / "model")
    opened = type(model).from_pretrained(tmp_path / "model")
    for member, extractor in (
        (model, extractor_for(model)),
        (opened, Burst2VecFeatureExtractor.from_pretrained(tmp_path / "model")),
    ):
        member.freeze_encoder(1)
        encode_lower_layers(member, make_dataset(), extractor, folder, settings=QUIET)
    assert len(list(folder.iterdir())) == 1


def test_a_recording_that_is_repeated_runs_once(make_model, make_dataset, tmp_path):
    model, folder = make_model(), tmp_path / "states"
    model.freeze_encoder(1)
    rows = (0, 1, 2, 3, 1, 1, 3)
    once = encode_lower_layers(model, make_dataset(), extractor_for(model), folder, settings=QUIET)
    several = encode_lower_layers(model, make_dataset(rows=rows), extractor_for(model), folder, settings=QUIET)
    assert len(list(folder.iterdir())) == 1
    assert len(several) == len(rows)
    np.testing.assert_allclose(several.source.seconds, [SECONDS[row] for row in rows])
    for place, row in enumerate(rows):
        np.testing.assert_array_equal(several.source[place], once.source[row])
        np.testing.assert_array_equal(several.source.pooled[place], once.source.pooled[row])
    # The repeated rows of a cropped clip have the crop of its first one.
    cropped = encode_lower_layers(
        model, make_dataset(rows=rows, max_seconds=0.25), extractor_for(model), folder, settings=QUIET
    )
    np.testing.assert_array_equal(cropped.source[4], cropped.source[1])


def test_the_weights_of_buffers_count(make_model, make_dataset, tmp_path):
    model = make_model()
    model.freeze_encoder(1)
    for value in (0.0, 1.0):
        model.encoder.model.register_buffer("scale", torch.tensor(value))
        encode_lower_layers(model, make_dataset(), extractor_for(model), tmp_path / "states", settings=QUIET)
    assert len(list((tmp_path / "states").iterdir())) == 2


def test_crops_are_the_shared_ones(make_model, make_dataset, tmp_path):
    model = make_model()
    model.freeze_encoder(1)
    cropped = make_dataset(max_seconds=0.25, seed=9)
    encoded = encode_lower_layers(model, cropped, extractor_for(model), tmp_path / "states", settings=QUIET)
    shared = cropped.source.with_shared_crops()
    assert not np.array_equal(shared.read(1, 0), cropped.source.read(1, 0))
    soundfile.write(tmp_path / "crop.wav", shared.read(1, 0), 16_000, subtype="FLOAT")
    np.testing.assert_allclose(encoded.source[1], by_hand(model, tmp_path / "crop.wav", 1)[0], atol=1e-4)


def test_what_cannot_be_stored_is_refused(make_model, make_dataset, tmp_path):
    def encode(model, learning, **settings):
        model.freeze_encoder(learning)
        dataset = make_dataset(augmentation=settings.pop("augmentation", None))
        encode_lower_layers(model, dataset, extractor_for(model), tmp_path / "states", settings=QUIET, **settings)

    with pytest.raises(ConfigError, match="no layer learns: cache_lower_layers needs"):
        encode(make_model(), 0)
    with pytest.raises(ConfigError, match="upper layers of wavlm cannot run without the lower ones"):
        encode(make_model("wavlm_layer"), 1)
    with pytest.raises(ConfigError, match="augmentation does not go together"):
        encode(make_model(), 1, augmentation=lambda samples, rate, numbers: samples)
    with pytest.raises(ConfigError, match="more than cache_gigabytes of 1e-06"):
        encode(make_model(), 1, max_gigabytes=1e-6)
    assert not (tmp_path / "states").exists()
