"""Publish a saved model on the Hub, in one commit.

    paravox publish runs/real_bursts/model me/vocal-bursts --private
    paravox publish runs/ensemble me/vocal-bursts --revision ensemble

First looks through the folder: a file that is no part of a model, a path of this machine, a token or a card that the Hub
would refuse stops it. Log in by `hf auth login`, or set HF_TOKEN.
"""

import argparse
import sys
from pathlib import Path

from huggingface_hub import CommitInfo

from paravox.modeling.errors import CheckpointError, ConfigError
from paravox.trainers.publishing import publish_folder


def main(argv: list[str] | None = None) -> CommitInfo:
    """Publishes and prints where; gives what the Hub answered."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="a folder that save_pretrained wrote, or train.py in model/")
    parser.add_argument("repo_id", help="name or owner/name; made where it does not exist")
    parser.add_argument("--private", action="store_true", help="make a repository that others cannot see")
    parser.add_argument("--revision", help="the branch, made where it does not exist (default main)")
    parser.add_argument("--commit_message", default="Upload model", help="(default %(default)s)")
    arguments = parser.parse_args(argv)
    commit = publish_folder(
        arguments.folder,
        arguments.repo_id,
        private=arguments.private or None,
        revision=arguments.revision,
        commit_message=arguments.commit_message,
    )
    print(f"published: {commit.repo_url}, revision {commit.oid}")
    return commit


if __name__ == "__main__":
    try:
        main()
    except (CheckpointError, ConfigError) as error:
        sys.exit(f"{type(error).__name__}: {error}")
