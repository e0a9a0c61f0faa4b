"""Opening a saved model: it must be complete and of the right class."""

import copy
import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import safe_open
from transformers import PreTrainedModel

from .errors import CheckpointError
from .opening import model_type_of, open_checkpoint

if TYPE_CHECKING:
    from typing_extensions import Self


WEIGHTS = "model.safetensors"
SPARE_WEIGHTS = 5 * 10**6


class StrictlyLoadedModel(PreTrainedModel):
    """The base class of models that open only complete checkpoints of their own class.

    Transformers itself fills the weights that a checkpoint lacks with random numbers, and only prints a warning.
    """

    # The advice of an error: which method makes a model of this class from another checkpoint.
    made_from = ""

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: str | os.PathLike, *model_args: Any, **kwargs: Any
    ) -> "Self":
        """Opens a saved model as Transformers does, but a checkpoint that lacks weights is an error.

        The weights are float32, whatever the file holds, unless `dtype` is given: `torch.bfloat16`, `torch.float16`, or
        `"auto"` for the type of the file. Where a config is given, as by `AutoModel`, the type is Transformers' choice.

        Raises:
            CheckpointError: if the checkpoint cannot be read, is of another class, or lacks weights of this class.
        """
        with_info = kwargs.pop("output_loading_info", False)
        if kwargs.get("config") is None:
            if kwargs.get("dtype") is None and kwargs.get("torch_dtype") is None:
                kwargs["dtype"] = torch.float32
            cls._check_model_type(pretrained_model_name_or_path, kwargs)
        place = Path(pretrained_model_name_or_path, kwargs.get("subfolder") or "")
        cls._check_weights(place, kwargs.get("config"))
        # With `ignore_mismatched_sizes`, weights of another shape are reported below, by name, instead of raised.
        kwargs |= {"output_loading_info": True, "ignore_mismatched_sizes": True}
        model, info = open_checkpoint(super().from_pretrained, pretrained_model_name_or_path, *model_args, **kwargs)
        absent = sorted(info["missing_keys"]) + sorted(str(key[0]) for key in info["mismatched_keys"])
        if absent:
            raise cls._lacks(pretrained_model_name_or_path, absent)
        loaded: Any = (model, info) if with_info else model
        return loaded

    @classmethod
    def _check_weights(cls, folder: Path, config: Any) -> None:
        """Compares the shapes that a folder's file of weights states with those of the model, without memory for them.

        A damaged config may ask for any amount of it.

        Raises:
            CheckpointError: if weights are missing or have another shape.
        """
        # Those of a name on the Hub, or in several files, are compared by Transformers.
        if not (folder / WEIGHTS).is_file():
            return
        found = open_checkpoint(_stated_shapes, folder)
        if config is None:
            config = open_checkpoint(cls.config_class.from_pretrained, folder)
        with torch.device("meta"):
            model = open_checkpoint(lambda _: cls(copy.deepcopy(config)), folder)
        absent = {name: value for name, value in model.state_dict().items() if found.get(name) != list(value.shape)}
        # What lacks less is told by Transformers, which knows older names of some weights.
        if sum(value.numel() for value in absent.values()) > sum(map(math.prod, found.values())) + SPARE_WEIGHTS:
            raise cls._lacks(folder, sorted(absent))

    @classmethod
    def _lacks(cls, name_or_path: str | os.PathLike, absent: list[str]) -> CheckpointError:
        return CheckpointError(
            f"checkpoint {str(name_or_path)!r} lacks {len(absent)} weights of {cls.__name__} "
            f"({', '.join(absent[:3])}): it is incomplete or of another shape; save or download it again"
        )

    @classmethod
    def _check_model_type(cls, name_or_path: str | os.PathLike, hub_options: dict[str, Any]) -> None:
        names = ("revision", "token", "cache_dir", "local_files_only", "subfolder")
        options = {name: hub_options[name] for name in names if name in hub_options}
        config_class = cls.config_class
        found = model_type_of(name_or_path, **options)
        if found != config_class.model_type:
            raise CheckpointError(
                f"checkpoint {str(name_or_path)!r} is of model_type {found!r}, not {config_class.model_type!r}: open "
                f"it with AutoModel, or {cls.made_from.format(cls.__name__)}"
            )


def _stated_shapes(folder: Path) -> dict[str, list[int]]:
    with safe_open(folder / WEIGHTS, "pt") as weights:
        return {name: weights.get_slice(name).get_shape() for name in weights.keys()}
