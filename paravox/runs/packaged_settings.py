"""The YAML files that come with paravox: by name, from a checkout and from an installation alike."""

from importlib.util import find_spec
from itertools import takewhile
from pathlib import Path

from paravox.modeling.errors import ConfigError, did_you_mean


def packaged_settings() -> dict[str, Path]:
    """Returns the YAML files of all programs by name, such as `real_bursts`, sorted by the folder of their program."""
    # By its name, as the command finds programs: the library does not import them.
    folders = [Path(folder) for folder in find_spec("paravox.recipes").submodule_search_locations]
    return {path.stem: path for folder in folders for path in sorted(folder.glob("*/configs/*.yaml"))}


def find_settings(path: str | Path) -> Path:
    """Returns the YAML file that is meant by a path, or by the name of a file that comes with paravox.

    Raises:
        ConfigError: if there is no such file.
    """
    path = Path(path)
    if path.is_file():
        return path
    packaged = packaged_settings()
    if path.parent == Path() and path.stem in packaged and path.suffix in ("", ".yaml", ".yml"):
        return packaged[path.stem]
    raise ConfigError(
        f"settings file {path} does not exist: {did_you_mean(path.stem, packaged, otherwise='give a path or a name.')} "
        "paravox configs lists the names that paravox knows"
    )


def purpose_of(path: Path) -> str:
    """The first sentence of the comment at the top of a YAML file."""
    with open(path, encoding="utf-8") as file:
        comment = " ".join(line.lstrip("#").strip() for line in takewhile(lambda line: line.startswith("#"), file))
    return comment.split(". ")[0].removesuffix(".") + "."
