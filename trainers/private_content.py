"""What must not be published: paths of a machine, e-mail addresses and secrets, in texts and in metadata of files."""

import json
import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from paravox.modeling.errors import ConfigError, needs_extra

TEXT_SUFFIXES = {".json", ".md", ".py", ".yaml"}
# A path begins here: not within a word, an address, a tag or another path.
_BEGINS = r"(?<![\w.:/\\<>~$%}\])-])"
_NAME = r"[\w.$-]+"
_PATTERNS = {
    "an address of a file": re.compile(
        r"\b(?:file|smb|cifs|nfs|afp|sftp|ssh|hdfs|dbfs|s3a?|gs|abfss?|wasbs?):/+[^\s\"'<>)]+", re.IGNORECASE
    ),
    "a path of a home folder": re.compile(
        rf"(?<![\w/])~[\w.-]*/[\w.-]+|\$(?:HOME|{{HOME}}|PWD|TMPDIR)[/\\]+{_NAME}|%\w+%[/\\]+{_NAME}"
    ),
    # Two names or more, because "/" alone stands between many things; one is enough below the usual places. The code of
    # every model knows the last part of git-annex's.
    "an absolute path": re.compile(
        _BEGINS + r"/(?:(?:home|root|Users|mnt|tmp|data|work|scratch|opt|var|nfs|content|media|srv|Volumes)/[\w.-]+"
        r"|(?!annex/objects/)[A-Za-z_][\w.-]*(?:/[\w.@+-]+)+)"
    ),
    "a path of Windows": re.compile(rf"(?<![A-Za-z])[A-Za-z]:(?:\\+|/(?!/)){_NAME}"),
    "a path of a network": re.compile(
        rf"(?<![\w\\])\\{{2,4}}[\w.-]+\\{{1,2}}[A-Za-z]{_NAME}|(?<![\w:/])//[\w.-]+/[\w.$-]+"
    ),
    "an e-mail address": re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)*\.[A-Za-z]{2,}\b"),
    "a token": re.compile(r"\bhf_[A-Za-z0-9]{20,}"),
}
_PNG = b"\x89PNG\r\n\x1a\n"
# The chunks of a PNG that hold what is not the picture: texts, and what a camera or a program adds.
_PNG_METADATA = (b"tEXt", b"zTXt", b"iTXt", b"eXIf")
# What transformers and matplotlib write there.
_USUAL_METADATA = {"format": ("pt", "tf", "flax", "np", "mlx")}


def find_private(text: str) -> tuple[str, str] | None:
    """The first private thing in a text: what it is, and how it may be shown. None if there is none."""
    for what, pattern in _PATTERNS.items():
        if match := pattern.search(text):
            return what, "hf_..." if what == "a token" else match.group()
    return None


def check_content(file: Path) -> None:
    """Checks a text, the metadata of weights, or those of a picture.

    Args:
        file (`Path`): of a model folder.

    Raises:
        ConfigError: if it contains something private.
    """
    for text in _texts(file):
        if found := find_private(text):
            what, shown = found
            raise ConfigError(f"{file} holds {what} ({shown}), which must not be published: take it out")


def check_secrets(files: list[Path]) -> str | None:
    """Looks for keys and passwords of other services by detect-secrets.

    Args:
        files (list of `Path`): those that are texts are looked at.

    Returns:
        `str`, *optional*: a message if detect-secrets is not installed.

    Raises:
        ConfigError: if there is one. The message names its kind and line, and not the secret.
    """
    try:
        from detect_secrets.core.scan import scan_file
        from detect_secrets.settings import default_settings
    except ImportError:
        return needs_extra("looking for keys and passwords of other services", "detect-secrets", "secrets")
    with default_settings():
        for file in files:
            for secret in scan_file(str(file)) if file.suffix in TEXT_SUFFIXES else ():
                raise ConfigError(
                    f"{file} holds what looks like a secret in line {secret.line_number} ({secret.type}), which must "
                    "not be published: take it out, and make a new one if it was real"
                )
    return None


def _texts(file: Path) -> Iterator[str]:
    if file.suffix in TEXT_SUFFIXES:
        text = file.read_text(encoding="utf-8", errors="replace")
        yield text
        if file.suffix == ".json":
            # In JSON, a character may be written by its number, and a backslash is written twice.
            yield "\n".join(_strings(_as_json(text)))
    elif file.suffix == ".safetensors":
        yield "\n".join(f"{value}" for value in _weights_metadata(file).values())
    elif file.suffix == ".png":
        yield from _png_texts(file)


def _as_json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, (dict, list)):
        for one in [*value, *value.values()] if isinstance(value, dict) else value:
            yield from _strings(one)


def _weights_metadata(file: Path) -> dict[str, str]:
    """The texts that a file of weights carries beside them.

    Raises:
        ConfigError: if there are some that say more than the framework, or the file is damaged.
    """
    with open(file, "rb") as opened:
        size = int.from_bytes(opened.read(8), "little")
        header = _as_json(opened.read(min(size, 100_000_000)).decode("utf-8", errors="replace"))
    if not isinstance(header, dict):
        raise ConfigError(f"{file} is damaged: save the model again")
    metadata = header.get("__metadata__") or {}
    unusual = [name for name, value in metadata.items() if value not in _USUAL_METADATA.get(name, ())]
    if unusual:
        raise ConfigError(
            f"{file} carries metadata beside the weights ({', '.join(unusual[:3])}), which nobody sees before they are "
            "published: save the model again by save_pretrained"
        )
    return metadata


def _png_texts(file: Path) -> Iterator[str]:
    """The texts in a picture.

    Raises:
        ConfigError: if it has other metadata, such as a camera's.
    """
    content = file.read_bytes()
    if not content.startswith(_PNG):
        raise ConfigError(f"{file} is no PNG: take it out, or save it as one")
    place = len(_PNG)
    while place + 8 <= len(content):
        size, kind = struct.unpack(">I4s", content[place : place + 8])
        chunk = content[place + 8 : place + 8 + size]
        if kind in _PNG_METADATA and not (kind == b"tEXt" and chunk.startswith(b"Software\0")):
            name = chunk[:20].split(b"\0")[0].decode("latin-1")
            raise ConfigError(
                f"{file} carries metadata ({kind.decode()} {name!r}), which nobody sees before they are published: "
                "save the picture without them"
            )
        yield chunk.decode("latin-1") if kind == b"tEXt" else ""
        place += 12 + size
    if content[place:]:
        raise ConfigError(f"{file} has bytes behind its end: save the picture again")
