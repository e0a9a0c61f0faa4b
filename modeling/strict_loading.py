"""Opening a saved model: it must be complete and of the right class."""

import os
from typing import TYPE_CHECKING, Any

import torch
from transformers import PreTrainedModel

from .errors import CheckpointError
from .opening import open_checkpoint

if TYPE_CHECKING:
    from typing_extensions import Self


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
        # With `ignore_mismatched_sizes`, weights of another shape are reported below, by name, instead of raised.
        kwargs |= {"output_loading_info": True, "ignore_mismatched_sizes": True}
        model, info = open_checkpoint(super().from_pretrained, pretrained_model_name_or_path, *model_args, **kwargs)
        absent = sorted(info["missing_keys"]) + sorted(str(key[0]) for key in info["mismatched_keys"])
        if absent:
            raise CheckpointError(
                f"checkpoint {str(pretrained_model_name_or_path)!r} lacks {len(absent)} weights of {cls.__name__} "
                f"({', '.join(absent[:3])}): it is incomplete or of another shape; save or download it again"
            )
        loaded: Any = (model, info) if with_info else model
        return loaded

    @classmethod
    def _check_model_type(cls, name_or_path: str | os.PathLike, hub_options: dict[str, Any]) -> None:
        names = ("revision", "token", "cache_dir", "local_files_only")
        options = {name: hub_options[name] for name in names if name in hub_options}
        config_class = cls.config_class
        found = open_checkpoint(config_class.get_config_dict, name_or_path, **options)[0].get("model_type")
        if found != config_class.model_type:
            raise CheckpointError(
                f"checkpoint {str(name_or_path)!r} is of model_type {found!r}, not {config_class.model_type!r}: open "
                f"it with AutoModel, or {cls.made_from.format(cls.__name__)}"
            )
