"""What the sections of gpu.py run on: given clips, repeated as often as needed, and encoders of published sizes."""

import csv
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from transformers import (
    AutoConfig,
    AutoModel,
    PreTrainedConfig,
    Wav2Vec2FeatureExtractor,
    WhisperConfig,
    WhisperFeatureExtractor,
)
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from paravox.inference.audio_files import find_audio_files
from paravox.modeling.configuration_burst2vec import Burst2VecConfig
from paravox.modeling.feature_extraction_burst2vec import Burst2VecFeatureExtractor
from paravox.modeling.modeling_burst2vec import Burst2VecForMultiTask

LEAST_CLIPS = 300
EMOTIONS = ["Amusement", "Awe", "Disgust", "Distress", "Elation", "Embarrassment", "Fear", "Sadness", "Surprise"]
EMOTIONS += ["Triumph"]
TASKS: list[dict[str, Any]] = [
    {"name": "emotion", "kind": "intensities", "labels": EMOTIONS},
    {"name": "age", "kind": "scalar", "range": [7, 81], "unit": "years"},
    {"name": "origin", "kind": "classes", "labels": ["Arabic", "Dutch", "English"]},
]
# The sizes of openai/whisper-base; decoder and vocabulary play no part.
WHISPER_BASE = {
    "d_model": 512,
    "encoder_layers": 6,
    "encoder_attention_heads": 8,
    "encoder_ffn_dim": 2048,
    "decoder_layers": 1,
    "num_mel_bins": 80,
}
TINY_WHISPER = WHISPER_BASE | {
    "d_model": 32,
    "encoder_layers": 2,
    "encoder_attention_heads": 2,
    "encoder_ffn_dim": 64,
    "decoder_attention_heads": 2,
    "decoder_ffn_dim": 64,
}
# The defaults of its config class are the sizes of facebook/wav2vec2-base.
TINY_WAV2VEC2 = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "conv_dim": [16] * 7,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 2,
}


@dataclass
class Material:
    """Clips, encoders and a place to work.

    Args:
        folder (`Path`): everything that is made lies here.
        clips (list of `Path`): the given clips.
        encoder (`str`, *optional*): folder or name of a Whisper. By default one of the size of Whisper base with random
            weights.
        tiny (`bool`): whether all sizes are those of a trial run on a CPU.
    """

    folder: Path
    clips: list[Path]
    encoder: str | None
    tiny: bool

    @classmethod
    def of(cls, folder: Path, clips: Path, encoder: str | None, tiny: bool) -> "Material":
        """The material from a folder of clips, of which there must be at least 300."""
        found = [path.resolve() for path in find_audio_files([str(clips)])]
        if len(found) < LEAST_CLIPS and not tiny:
            raise SystemExit(f"{clips} holds {len(found)} clips: give a folder with at least {LEAST_CLIPS}")
        folder.mkdir(parents=True, exist_ok=True)
        return cls(folder, found, encoder, tiny)

    def description(self) -> dict[str, Any]:
        """What the results say of the material."""
        weights = "random, of the size of Whisper base" if self.encoder is None else Path(self.encoder).name
        return {"given_clips": len(self.clips), "given_encoder": "tiny, for a trial run" if self.tiny else weights}

    def repeated(self, count: int) -> list[Path]:
        """So many clips: the given ones, again and again."""
        return list(islice(cycle(self.clips), count))

    def folder_of_clips(self, count: int) -> Path:
        """A folder with so many links to clips."""
        folder = self.folder / f"clips_{count}"
        if not folder.is_dir():
            folder.mkdir()
            for number, clip in enumerate(self.repeated(count)):
                (folder / f"{number:06d}{clip.suffix}").symlink_to(clip)
        return folder

    def different_clips(self, count: int) -> list[Path]:
        """So many clips that all differ, as a corpus needs them: those that repeat another begin some samples later."""
        clips = self.repeated(count)
        for number in range(len(self.clips), count):
            part = self.folder / "later" / f"{number:06d}.wav"
            if not part.is_file():
                part.parent.mkdir(exist_ok=True)
                samples, rate = soundfile.read(clips[number])
                soundfile.write(part, samples[number // len(self.clips) :], rate)
            clips[number] = part
        return clips

    def corpus(self, count: int) -> Path:
        """A corpus of so many clips in Train and 64 in each other split, with labels that are drawn at random."""
        folder = self.folder / f"corpus_{count}"
        if (folder / "metadata.csv").is_file():
            return folder
        generator = np.random.default_rng(0)
        splits = ["train"] * count + ["validation"] * 64 + ["test"] * 64
        (folder / "audio").mkdir(parents=True)
        with open(folder / "metadata.csv", "w", newline="") as file:
            table = csv.writer(file)
            table.writerow(["file_name", "speaker", "split", *EMOTIONS, "age", "origin"])
            for number, (clip, split) in enumerate(zip(self.different_clips(len(splits)), splits, strict=True)):
                name = f"audio/{number:06d}{clip.suffix}"
                (folder / name).symlink_to(clip)
                emotions = generator.random(len(EMOTIONS)).round(3)
                origin = TASKS[2]["labels"][number % 3]
                table.writerow([name, f"s{number}", split, *emotions, 7 + number % 75, origin])
        return folder

    def esd(self, speakers: int, train: int = 40, evaluation: int = 20, test: int = 30) -> Path:
        """A folder laid out as ESD, with so many clips per speaker, emotion and split.

        The evaluation and test parts have the sizes of ESD's own.
        """
        folder = self.folder / f"esd_{speakers}"
        if folder.is_dir():
            return folder
        clips = iter(self.different_clips(speakers * 5 * (train + evaluation + test)))
        for speaker in range(1, speakers + 1):
            for block, emotion in enumerate(("Neutral", "Angry", "Happy", "Sad", "Surprise")):
                number = 350 * block
                for split, count in (("train", train), ("evaluation", evaluation), ("test", test)):
                    place = folder / f"{speaker:04}" / emotion / split
                    place.mkdir(parents=True)
                    for clip in islice(clips, count):
                        number += 1
                        (place / f"{speaker:04}_{number:06}{clip.suffix}").symlink_to(clip)
        return folder

    def whisper_config(self) -> WhisperConfig:
        """The config of the Whisper."""
        if self.encoder is not None:
            return WhisperConfig.from_pretrained(self.encoder)
        return WhisperConfig(**(TINY_WHISPER if self.tiny else WHISPER_BASE))

    def burst2vec(self) -> Path:
        """A saved Burst2Vec on the Whisper, with heads of random weights."""
        folder = self.folder / "burst2vec"
        if not folder.is_dir():
            torch.manual_seed(0)
            config = self.whisper_config()
            if self.encoder is None:
                model = Burst2VecForMultiTask(Burst2VecConfig(encoder=config, tasks=TASKS, layer_weights=True))
            else:
                model = Burst2VecForMultiTask.from_encoder(self.encoder, tasks=TASKS, layer_weights=True)
            model.save_pretrained(folder)
            Burst2VecFeatureExtractor.for_config(config).save_pretrained(folder)
        return folder

    def saved_encoder(self, model_type: str) -> Path:
        """A saved encoder with random weights: `whisper` or a base `wav2vec2`."""
        folder = self.folder / model_type
        if not folder.is_dir():
            torch.manual_seed(0)
            config: PreTrainedConfig
            if model_type == "whisper":
                config = self.whisper_config()
                WhisperEncoder(config).save_pretrained(folder)
                WhisperFeatureExtractor(feature_size=config.num_mel_bins).save_pretrained(folder)
            else:
                config = AutoConfig.for_model(model_type, **(TINY_WAV2VEC2 if self.tiny else {}))
                AutoModel.from_config(config).save_pretrained(folder)
                Wav2Vec2FeatureExtractor().save_pretrained(folder)
        return folder
