"""List the YAML files that come with paravox, or print one of them, to copy and change it.

    paravox configs
    paravox configs real_bursts > mine.yaml

Every program that reads a YAML file takes these names as well: paravox train real_bursts --data_dir FOLDER.
"""

import argparse
from itertools import groupby

from paravox.runs.packaged_settings import find_settings, packaged_settings, purpose_of
from paravox.runs.program import run


def main(argv: list[str] | None = None) -> None:
    """Prints the list, or the file that is named."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("name", nargs="?", help="The name of the file to print.")
    name = parser.parse_args(argv).name
    if name is not None:
        print(find_settings(name).read_text(encoding="utf-8"), end="")
        return
    files = packaged_settings()
    width = max(map(len, files))
    for folder, names in groupby(files, lambda name: files[name].parents[1].name):
        print(f"{folder}:")
        for name in names:
            print(f"  {name:{width}}  {purpose_of(files[name])}")


if __name__ == "__main__":
    run(main)
