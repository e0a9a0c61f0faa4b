"""Publishes the model of a run on the Hub: the model, its feature extractor, their code and the card, nothing else."""

import filecmp
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from huggingface_hub import CommitInfo, HfApi, get_token
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, HTTPError
from transformers import Trainer, TrainingArguments
from transformers.trainer_utils import HubStrategy
from transformers.utils.hub import PushInProgress

from paravox import modeling
from paravox.modeling.errors import CheckpointError, ConfigError

from .files import model_written_aside
from .private_content import TEXT_SUFFIXES, check_content, check_secrets

logger = logging.getLogger(__name__)

# The folder of a run with its model, which is what is pushed.
MODEL_FOLDER = "model"
# The optimizer's state, the random states and training_args.bin of a checkpoint are left out. Only a local resume needs
# them, and they are pickles, which can run code when they are opened.
PUBLISHED_FILES = (
    "README.md",
    "config.json",
    "preprocessor_config.json",
    "*.py",
    "*.safetensors",
    "*.safetensors.index.json",
    "figures/*.png",
    ".eval_results/*.yaml",
)


class PublishingTrainer(Trainer):
    """The base class of trainers that push `output_dir/model/`, which holds what a user of the model needs.

    With the argument `push_to_hub`, every save is pushed in the background. The method `push_to_hub()` pushes the
    current model. The `on_push_begin` of a callback may write the card before each push.
    """

    def init_hf_repo(self, token: str | None = None, private: bool | None = None) -> None:
        """Makes the repository, and its branch if the arguments name one.

        Raises:
            ConfigError: if the Hub refuses or cannot be reached.
        """
        repo_id = self.args.hub_model_id or Path(self.args.output_dir).absolute().name
        with plain_hub_errors(repo_id):
            # In older Transformers, the Trainer does not take `private`.
            super().init_hf_repo(token, **({} if private is None else {"private": private}))
            if self.args.hub_revision is not None and self.is_world_process_zero():
                HfApi(token=token or self.args.hub_token).create_branch(
                    self.hub_model_id, branch=self.args.hub_revision, exist_ok=True
                )

    def push_to_hub(
        self,
        commit_message: str = "End of training",
        blocking: bool = True,
        token: str | None = None,
        revision: str | None = None,
        private: bool | None = None,
        **card: Any,
    ) -> Any:
        """Pushes the model, as [`Trainer.push_to_hub`] does.

        Raises:
            CheckpointError, ConfigError: as [`publish_folder`]; or a field of the stock card is given.
        """
        if card:
            raise ConfigError(f"{next(iter(card))!r} cannot be given here: a callback's on_push_begin writes the card")
        if self.hub_model_id is None:
            self.init_hf_repo(token=token, private=private)
        if not self.is_world_process_zero():
            return None
        folder = Path(self.args.output_dir) / MODEL_FOLDER
        with model_written_aside(folder) as part:
            self.model.save_pretrained(part)
            self.processing_class.save_pretrained(part)
        self._finish_current_push()
        return self._push(commit_message, blocking=blocking, token=token, revision=revision)

    def _push_from_checkpoint(self, checkpoint_folder: str) -> None:
        args = self.args
        if not self.is_world_process_zero() or args.hub_strategy == HubStrategy.END:
            return
        pushing = self.push_in_progress is not None and not self.push_in_progress.is_done()
        if pushing and not args.hub_always_push:
            return
        self._finish_current_push()
        folder = Path(args.output_dir) / MODEL_FOLDER
        folder.mkdir(exist_ok=True)
        # The files are copied, because a checkpoint may be removed before its push is finished.
        for pattern in PUBLISHED_FILES:
            for file in Path(checkpoint_folder).glob(pattern):
                shutil.copy(file, folder / file.name)
        try:
            job = self._push(f"Training in progress, step {self.state.global_step}", blocking=False)
        except (CheckpointError, ConfigError) as error:
            # Training goes on; the push at its end says the same as an error.
            logger.warning("nothing was pushed at step %d: %s", self.state.global_step, error)
            return
        self.push_in_progress: Any = PushInProgress([job])  # type: ignore[arg-type]

    def _push(self, commit_message: str, blocking: bool, token: str | None = None, revision: str | None = None) -> Any:
        self.callback_handler.on_push_begin(self.args, self.state, self.control)
        check_publishable(Path(self.args.output_dir) / MODEL_FOLDER)
        with plain_hub_errors(self.hub_model_id):
            return HfApi(token=token or self.args.hub_token).upload_folder(  # type: ignore[call-overload]
                repo_id=self.hub_model_id,
                folder_path=Path(self.args.output_dir) / MODEL_FOLDER,
                allow_patterns=list(PUBLISHED_FILES),
                commit_message=commit_message,
                revision=revision or self.args.hub_revision,
                run_as_future=not blocking,
            )

    def _finish_current_push(self) -> None:
        super()._finish_current_push()
        pushed = getattr(self, "push_in_progress", None)
        for job in pushed.jobs if pushed is not None else ():
            if job.exception() is not None:
                # Training goes on, because a later push includes all that this one would have.
                logger.warning("a push to %s failed: %s", self.hub_model_id, job.exception())
        self.push_in_progress = None


def publish_folder(
    folder: str | Path,
    repo_id: str,
    private: bool | None = None,
    revision: str | None = None,
    token: str | None = None,
    commit_message: str = "Upload model",
) -> CommitInfo:
    """Uploads a saved model in one commit, so that every revision is complete.

    Args:
        folder (`str` or `Path`): a folder that `save_pretrained` wrote, or the folder `model/` of a run.
        repo_id (`str`): `name` or `owner/name`. The repository is made if it does not exist.
        private (`bool`, *optional*): whether a new repository is private.
        revision (`str`, *optional*): the branch, `main` by default. It is made if it does not exist.
        token (`str`, *optional*): by default the token that you are logged in with.
        commit_message (`str`, *optional*, defaults to `"Upload model"`).

    Returns:
        [`CommitInfo`]: with the address of the repository and the commit.

    Raises:
        CheckpointError: if the folder holds no model.
        ConfigError: if the folder holds something that must not be published, or the Hub refuses or cannot be reached.
    """
    check_publishable(Path(folder))
    api = HfApi(token=token)
    with plain_hub_errors(repo_id):
        repo_id = api.create_repo(repo_id, private=private, exist_ok=True).repo_id
        if revision is not None:
            api.create_branch(repo_id, branch=revision, exist_ok=True)
        return api.upload_folder(repo_id=repo_id, folder_path=folder, revision=revision, commit_message=commit_message)


def publish_run(folder: Path, args: TrainingArguments) -> None:
    """Pushes the finished model of a run with its card, and prints its address.

    Args:
        folder (`Path`): the folder of the model.
        args (`TrainingArguments`): of the run; `hub_model_id` and others say where to push.

    Raises:
        ConfigError: as [`publish_folder`].
    """
    repo_id = args.hub_model_id or Path(args.output_dir).absolute().name
    commit = publish_folder(
        folder, repo_id, args.hub_private_repo, args.hub_revision, args.hub_token, commit_message="End of training"
    )
    print(f"pushed to {commit.repo_url}")


def check_publishable(folder: Path) -> None:
    """Checks every file of a folder that is to be published.

    Raises:
        CheckpointError: if the folder holds no model.
        ConfigError: if a file does not belong to a model, a link leads out of the folder, or a file contains a path of
            a machine, an e-mail address, a secret or metadata.
    """
    for name in ("config.json", "preprocessor_config.json"):
        if not (folder / name).is_file():
            raise CheckpointError(f"{folder} has no {name}: give a folder that save_pretrained wrote, such as model/")
    if not any(folder.glob("*.safetensors")):
        raise CheckpointError(f"{folder} has no *.safetensors, which holds the weights: save the model again")
    _refuse_links(folder)
    files = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    files = [file for file in files if not {".cache", "__pycache__"} & set(file.parts)]
    unknown = [file for file in files if not any(fnmatch(str(file), pattern) for pattern in PUBLISHED_FILES)]
    if unknown:
        raise ConfigError(
            f"{folder} holds {len(unknown)} files that are not part of a model "
            f"({', '.join(map(str, unknown[:3]))}): publish a folder that only holds the model, such as model/"
        )
    token = get_token()
    for file in (folder / file for file in files):
        check_content(file)
        if token and file.suffix in TEXT_SUFFIXES and token in file.read_text(encoding="utf-8", errors="replace"):
            raise ConfigError(f"{file} holds the token that you are logged in with: take it out, and make a new token")
    if missing := check_secrets([folder / file for file in files if not _is_ours(folder / file)]):
        logger.warning(missing)


def _is_ours(file: Path) -> bool:
    """Whether a file is code of paravox, unchanged, which is public."""
    ours = Path(modeling.__file__).parent / file.name
    return file.suffix == ".py" and ours.is_file() and filecmp.cmp(file, ours, shallow=False)


def _refuse_links(folder: Path) -> None:
    """Raises [`ConfigError`] if a link of the folder leads out of it, or nowhere."""
    inside = folder.resolve()
    for path in folder.rglob("*"):
        if path.is_symlink() and not (path.exists() and path.resolve().is_relative_to(inside)):
            raise ConfigError(
                f"{path} is a link that leads out of the folder, to {os.readlink(path)}: put a copy of the file there, "
                "or take the link out"
            )


@contextmanager
def plain_hub_errors(repo_id: str) -> Iterator[None]:
    """Turns errors of the Hub into one sentence.

    Args:
        repo_id (`str`): the repository, for the messages.

    Raises:
        ConfigError: if the Hub refuses or cannot be reached, or the name of the repository is not valid.
    """
    try:
        yield
    except HFValidationError as error:
        raise ConfigError(f"{repo_id!r} is not a valid name on the Hub ({error}): use name or owner/name") from error
    except HfHubHTTPError as error:
        reason = (error.server_message or str(error)).strip().splitlines()[0]
        raise ConfigError(
            f"the Hub refused to write to {repo_id!r} ({error.response.status_code}: {reason}): check the name, and "
            "log in by `hf auth login` with a token that may write there"
        ) from error
    except (HTTPError, OSError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ConfigError(
            f"the Hub cannot be reached to write to {repo_id!r} ({reason}): check the network and HF_HUB_OFFLINE, and "
            "try again. A push becomes visible only when it is complete"
        ) from error
