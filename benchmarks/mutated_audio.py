"""What becomes of damaged and hostile audio: seeded mutations of small files of all formats, read in processes.

Every input is a small tone in one of the formats that soundfile or PyAV write, changed in one way. It is read by
`load_audio` and `duration_seconds` in a process of its own kind: one that reads many inputs and is replaced when one of
them ends it. The outcomes are counted:

- right: the samples are as they were, or as they must be after the change;
- changed: samples with other values or of another length, as after a flipped bit in uncompressed samples or in a rate,
  of which no reader can know;
- our error: an `AudioError`;
- foreign error, crash, over 2 s, over 64 MB: what must not happen;
- silent loss: a cut or doubled file whose format states a length was read, but not to its real end; or
  `duration_seconds` says something else than what is decoded.
"""

import io
import multiprocessing
import resource
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile

from paravox.modeling.audio import duration_seconds, load_audio
from paravox.modeling.errors import AudioError

OUTCOMES = ("right", "changed", "our error", "silent loss", "foreign error", "crash", "over 2 s", "over 64 MB")
RATE = 16_000
SAMPLES = 3_200
SECONDS, MEGABYTES = 2.0, 64
INPUTS_PER_PROCESS = 500
# PyAV's container and codec; not every build has every encoder.
PYAV = {
    "m4a": ("mp4", "aac"),
    "3gp": ("3gp", "aac"),
    "aac": ("adts", "aac"),
    "webm": ("webm", "libopus"),
    "webm_vorbis": ("webm", "libvorbis"),
    "wma": ("asf", "wmav2"),
    "amr": ("amr", "libopencore_amrnb"),
    "mp3_without_length": ("mp3", "libmp3lame"),
}
# In these, nothing states a length that the end of the file could be compared with.
WITHOUT_LENGTH = ("PAF", "PVF", "IRCAM", "AAC", "AMR", "WMA", "MP3_WITHOUT_LENGTH", "RAW")
# Frames of lossy formats begin and end somewhere within a recording, and joined MP3 files keep the padding of each.
LOSSY_SLACK = 0.15  # seconds per recording


class Seed(NamedTuple):
    """A file that nothing has damaged.

    Args:
        name (`str`): of its format.
        content (`bytes`): the file.
        samples (`np.ndarray` of shape `(samples,)`): what `load_audio` reads from it.
    """

    name: str
    content: bytes
    samples: np.ndarray


class Mutation(NamedTuple):
    """A changed file, and what it must hold if it is read at all.

    Args:
        kind (`str`): how it was changed.
        content (`bytes`): the file.
        keeps_length (`bool`): whether only the length of the original is right.
        times (`int`): how many times the samples of the original may come one after the other.
    """

    kind: str
    content: bytes
    keeps_length: bool = False
    times: int = 1


def tone(samples: int = SAMPLES) -> np.ndarray:
    """A tone that rises, so that no part of it is like another one."""
    seconds = np.arange(samples) / RATE
    return 0.4 * np.sin(2 * np.pi * (300 + 2_000 * seconds) * seconds)


def make_seeds() -> list[Seed]:
    """One file of every format and coding that soundfile and PyAV write here and `load_audio` reads."""
    files: dict[str, bytes] = {}
    for container in soundfile.available_formats():
        for coding in soundfile.available_subtypes(container):
            try:
                files[f"{container} {coding}"] = _written_by_soundfile(container, coding)
            except Exception:  # soundfile lists more than it writes, and raises many kinds of errors
                continue
    for name, (container, codec) in PYAV.items():
        try:
            files[name.upper()] = _written_by_pyav(container, codec)
        except Exception:  # no PyAV, or a build without this encoder
            continue
    seeds = []
    for name, content in files.items():
        try:
            seeds.append(Seed(name, content, load_audio(content)))
        except AudioError:  # a format that is refused as a whole, such as SDS
            continue
    return seeds


def _written_by_soundfile(container: str, coding: str) -> bytes:
    # By a path: libsndfile writes a second file beside an SD2, and where a nameless one is left in the current folder,
    # it reads no MP3 by a descriptor any more.
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "seed")
        soundfile.write(path, tone(), RATE, format=container, subtype=coding)
        return path.read_bytes()


def _written_by_pyav(container: str, codec: str) -> bytes:
    import av

    file = io.BytesIO()
    options = {"write_xing": "0"} if container == "mp3" else {}
    rate = 48_000 if "opus" in codec else 8_000 if "amr" in codec else RATE
    with av.open(file, "w", format=container, options=options) as output:
        stream = output.add_stream(codec, rate=rate)
        stream.layout = "mono"
        frame = av.AudioFrame.from_ndarray(tone()[None].astype(np.float32), format="fltp", layout="mono")
        frame.rate = RATE
        resampler = av.AudioResampler(
            format=stream.format, layout="mono", rate=rate, frame_size=stream.frame_size or 960
        )
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            output.mux(stream.encode(part))
        output.mux(stream.encode(None))
    return file.getvalue()


def flip_bits(seed: Seed, others: list[Seed], draw: np.random.Generator) -> Mutation:
    """Some bits anywhere, but half of the time near the start, where the header is."""
    content = bytearray(seed.content)
    end = len(content) if draw.random() < 0.5 else min(len(content), 128)
    for place in draw.integers(end, size=draw.integers(1, 9)):
        content[place] ^= 1 << int(draw.integers(8))
    return Mutation("flipped bits", bytes(content))


def cut(seed: Seed, others: list[Seed], draw: np.random.Generator) -> Mutation:
    """The end is missing: one byte, or any number of them."""
    kept = len(seed.content) - 1 if draw.random() < 0.1 else int(draw.integers(1, len(seed.content)))
    return Mutation("cut", seed.content[:kept], keeps_length=True)


def swap_blocks(seed: Seed, others: list[Seed], draw: np.random.Generator) -> Mutation:
    """Two blocks have changed places."""
    size = int(draw.integers(1, max(2, len(seed.content) // 4)))
    one, two = sorted(int(place) for place in draw.integers(len(seed.content) - 2 * size + 1, size=2))
    two = max(two, one + size)
    blocks = seed.content[one : one + size], seed.content[two : two + size]
    between = seed.content[one + size : two]
    return Mutation("swapped blocks", seed.content[:one] + blocks[1] + between + blocks[0] + seed.content[two + size :])


def lie_in_header(seed: Seed, others: list[Seed], draw: np.random.Generator) -> Mutation:
    """A number in the header is another one: nothing, half, twice, or as large as it can be."""
    width = int(draw.choice((2, 3, 4, 8)))
    place = int(draw.integers(4, min(len(seed.content) - width, 256)))
    order = "little" if draw.random() < 0.5 else "big"
    value = int.from_bytes(seed.content[place : place + width], order)
    lies = (0, value // 2, 2 * value, value + 1, max(0, value - 1), 2 ** (8 * width) - 1, 2 ** (8 * width - 1))
    lie = lies[int(draw.integers(len(lies)))] % 2 ** (8 * width)
    content = seed.content[:place] + lie.to_bytes(width, order) + seed.content[place + width :]
    return Mutation("lying header", content)


def concatenate(seed: Seed, others: list[Seed], draw: np.random.Generator) -> Mutation:
    """The file twice, or another one behind it."""
    if draw.random() < 0.5:
        return Mutation("concatenation", 2 * seed.content, keeps_length=True, times=2)
    other = others[int(draw.integers(len(others)))]
    return Mutation("another file behind", seed.content + other.content)


def insert(seed: Seed, others: list[Seed], draw: np.random.Generator) -> Mutation:
    """Bytes are missing from the middle, or others stand there."""
    place, size = int(draw.integers(len(seed.content))), int(draw.integers(1, 200))
    if draw.random() < 0.5:
        return Mutation("bytes missing", seed.content[:place] + seed.content[place + size :])
    return Mutation("bytes inserted", seed.content[:place] + draw.bytes(size) + seed.content[place:])


def empty(seed: Seed, others: list[Seed], draw: np.random.Generator) -> Mutation:
    """Nothing, zeros, noise, or the header alone."""
    kinds = (b"", bytes(len(seed.content)), draw.bytes(len(seed.content)), seed.content[:44], seed.content[:4] * 500)
    return Mutation("empty", kinds[int(draw.integers(len(kinds)))])


def leave(seed: Seed, others: list[Seed], draw: np.random.Generator) -> Mutation:
    """The file as it is."""
    return Mutation("whole", seed.content, keeps_length=True)


MUTATIONS: tuple[Callable[[Seed, list[Seed], np.random.Generator], Mutation], ...] = (
    *(flip_bits, cut, swap_blocks, lie_in_header, concatenate, insert, empty, leave),
)


def mutations(count: int, seed: int, seeds: list[Seed], first: int = 0) -> Iterator[tuple[Seed, Mutation]]:
    """The inputs from `first` to `count`. Each depends on the seed and its number alone."""
    for number in range(first, count):
        draw = np.random.default_rng([seed, number])
        file = seeds[int(draw.integers(len(seeds)))]
        yield file, MUTATIONS[int(draw.integers(len(MUTATIONS)))](file, seeds, draw)


def outcome(file: Seed, mutation: Mutation) -> str:
    """Reads one input and says what has become of it."""
    before, start = _peak_megabytes(), time.perf_counter()
    try:
        samples = load_audio(mutation.content)
        stated = duration_seconds(mutation.content)
        found = _compare(file, mutation, samples, stated)
    except AudioError:
        found = "our error"
    except Exception as error:
        found = f"foreign error: {type(error).__name__}: {error}"
    if time.perf_counter() - start > SECONDS:
        return "over 2 s"
    return "over 64 MB" if _peak_megabytes() - before > MEGABYTES else found


def _compare(file: Seed, mutation: Mutation, samples: np.ndarray, stated: float) -> str:
    whole, length = len(file.samples) * mutation.times, len(samples)
    slack = RATE * LOSSY_SLACK * mutation.times if file.name.split()[0] in ("MP3", "OGG", *map(str.upper, PYAV)) else 0
    # A damaged MP3 may lack two frames of those that were counted.
    if abs(stated - length / RATE) > (1 / RATE if "MP3" not in file.name else 0.08):
        return f"silent loss: {length / RATE:g} s of {stated:g} s stated"
    states_length = file.name.split()[0] not in WITHOUT_LENGTH
    if mutation.keeps_length and states_length and abs(length - whole) > slack:
        return f"silent loss: {length} of {whole} samples"
    expected = np.tile(file.samples, mutation.times)
    same = length == whole and np.array_equal(samples, expected)
    return "right" if same else "changed"


def _peak_megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def run(count: int, seed: int = 0, report: Callable[[str], None] | None = None) -> dict[str, int]:
    """Reads mutated files and counts what becomes of them.

    Args:
        count (`int`): how many.
        seed (`int`, *optional*, defaults to 0): of the mutations.
        report (`Callable`, *optional*): gets a line about each input that must not have this outcome.

    Returns:
        `dict` of `int`: by outcome.
    """
    context = multiprocessing.get_context("spawn")
    counts: Counter[str] = Counter(dict.fromkeys(OUTCOMES, 0))
    done = 0
    while done < count:
        receiver, sender = context.Pipe(duplex=False)
        last = min(count, done + INPUTS_PER_PROCESS)
        process = context.Process(target=_read_inputs, args=(done, last, seed, sender))
        process.start()
        sender.close()
        try:
            while done < last:
                # A hang is a crash that never ends.
                if not receiver.poll(60 * SECONDS):
                    raise EOFError
                kind, name, found = receiver.recv()
                done += 1
                counts[found.split(":")[0]] += 1
                if report and found.split(":")[0] not in OUTCOMES[:3]:
                    report(f"{done - 1} {kind} {name}: {found}")
        except EOFError:
            counts["crash"] += 1
            if report:
                report(f"{done}: crash, exit code {process.exitcode}")
            done += 1
        finally:
            process.kill()
            process.join()
    return {name: counts[name] for name in OUTCOMES}


def _read_inputs(first: int, last: int, seed: int, sender: Connection) -> None:
    warnings.simplefilter("ignore")
    seeds = make_seeds()
    for file, mutation in mutations(last, seed, seeds, first):
        sender.send((mutation.kind, file.name, outcome(file, mutation)))
