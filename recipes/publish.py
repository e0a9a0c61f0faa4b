"""Publishes a saved model on the Hub, in one commit.

    paravox publish runs/real_bursts/model me/vocal-bursts --private
    paravox publish runs/ensemble me/vocal-bursts --revision ensemble

The folder is checked first. Nothing is published if it holds a file that does not belong to a model, a path of this
machine, a token, or a card that the Hub would refuse. Log in with `hf auth login`, or set HF_TOKEN.
"""

import argparse
from pathlib import Path

from huggingface_hub import CommitInfo

from paravox.runs.program import run
from paravox.trainers.publishing import publish_folder


def main(argv: list[str] | None = None) -> CommitInfo:
    """Publishes the folder, prints where, and returns the answer of the Hub."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument(
        "folder",
        metavar="FOLDER",
        type=Path,
        help="Folder that save_pretrained wrote, such as model/ in an output_dir.",
    )
    parser.add_argument(
        "repo_id", metavar="REPO", help="Repository: name or owner/name. It is created if it does not exist."
    )
    parser.add_argument("--private", action="store_true", help="Create a repository that others cannot see.")
    parser.add_argument("--revision", help="Branch, which is created if it does not exist (default: main).")
    parser.add_argument(
        "--commit_message", default="Upload model", help="Message of the commit (default: %(default)s)."
    )
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
    run(main)
