"""Build a `TierModel` from foreign tensors; every tensor must be used or known to be unused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from tier_cli.errors import CheckpointError
from tier_cli.model.loading import quiet_transformers
from tier_cli.model.modeling import TierModel
from tier_cli.model.towers import tower_class

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import Tensor, nn

    from tier_cli.model.configuration import TierConfig
    from tier_cli.model.convert.files import ForeignTensors
    from tier_cli.model.save import Precision

_SHOWN = 20
_KINDS = ("missing", "of a different shape", "unused")
# One of _KINDS, and the name of the tensor.
Problem = tuple[str, str]


def assemble(
    config: TierConfig,
    foreign: ForeignTensors,
    *,
    image_tower: Mapping[str, Tensor],
    text_tower: Mapping[str, Tensor],
    image_projection: Mapping[str, Tensor] | None = None,
    text_projection: Mapping[str, Tensor] | None = None,
    image_name: Callable[[str], str] | None = None,
    text_name: Callable[[str], str] | None = None,
    **numbers: Tensor,
) -> TierModel:
    """Build a model from its configuration and tensors.

    Parameters
    ----------
    config
        Configuration of the model.
    foreign
        The source of the tensors; any that remain in it are an error.
    image_tower, text_tower
        Tensors, named as in transformers' public checkpoints of the tower.
    image_projection, text_projection
        Tensors, named as in `tier_cli.model.heads`.
    image_name, text_name
        Returns the file's name for a tensor of the tower, for messages; None if unknown.
    numbers
        ``logit_scale``, ``logit_bias``.

    Raises
    ------
    CheckpointError
        Names every tensor that is missing, left over or of a different shape.
    """
    found = [("unused", name) for name in foreign.names]
    model: TierModel = TierModel(config)
    for side, tensors, named in (
        ("image_tower", image_tower, image_name),
        ("text_tower", text_tower, text_name),
    ):
        tower, problems = _tower(getattr(config, side), tensors)
        found += _named(problems, side, named)
        setattr(model, side, tower)
    for side, head in (("image_projection", image_projection), ("text_projection", text_projection)):
        found += _named(_fill(getattr(model, side), head or {}), side, None)
    _refuse(found, foreign.where)
    with torch.no_grad():
        for name, value in numbers.items():
            getattr(model, name).copy_(value.reshape(()))
    model.eval()
    return model


def assemble_tower(config: dict[str, Any], foreign: ForeignTensors, tensors: Mapping[str, Tensor]) -> Any:
    """Build one tower from its configuration and tensors, named as in transformers' public checkpoints.

    Raises
    ------
    CheckpointError
        See `assemble`.
    """
    model, problems = _tower(config, tensors)
    _refuse([("unused", name) for name in foreign.names] + problems, foreign.where)
    return model


def _named(problems: list[Problem], side: str, named: Callable[[str], str] | None) -> list[Problem]:
    """Name problems as the file does, else as the model does, with the part of the model."""
    return [(kind, named(name) if named else f"{name} (in its {side})") for kind, name in problems]


def _refuse(found: list[Problem], where: str) -> None:
    """Raise an error that lists all problems, those that probably caused the others first."""
    # Several tensors of the model may be parts of a single one in the file.
    problems = [f"{kind} {name}" for kind, name in dict.fromkeys(sorted(found, key=_rank))]
    if problems:
        shown = "; ".join(problems[:_SHOWN])
        more = f"; and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        raise CheckpointError(
            f"the tensors do not fit: {shown}{more}",
            where=where,
            remedy="download the file again, or name its family with --family",
        )


def _rank(problem: Problem) -> int:
    return _KINDS.index(problem[0])


def lossless_precision(model: TierModel) -> Precision:
    """Return float16 if it holds every weight exactly, else float32: converting must not change a score."""
    tensors = [t for t in model.state_dict().values() if t.is_floating_point()]
    return "float16" if all(torch.equal(t.half().float(), t.float()) for t in tensors) else "float32"


def split_rows(tensors: dict[str, Tensor], name: str, parts: Mapping[str, str]) -> None:
    """Split a stacked tensor, such as the queries, keys and values of attention, into renamed parts.

    `parts` maps, in row order, a part of each new name to the part of the old name that it replaces.
    """
    stacked = tensors.pop(name)
    pieces = stacked.chunk(len(parts))
    for (new, old), piece in zip(parts.items(), pieces, strict=True):
        tensors[name.replace(old, new)] = piece.clone()


def _tower(tower: dict[str, Any], tensors: Mapping[str, Tensor]) -> tuple[Any, list[Problem]]:
    model_class, config, arguments = tower_class(tower)
    with quiet_transformers():
        # transformers' own loader knows the tensor names of each of its versions.
        model, info = model_class.from_pretrained(
            None,
            config=config,
            state_dict={name: tensor.float() for name, tensor in tensors.items()},
            output_loading_info=True,
            ignore_mismatched_sizes=True,
            dtype=torch.float32,
            **arguments,
        )
    problems = [("missing", name) for name in sorted(info["missing_keys"])]
    problems += [("unused", name) for name in sorted(info["unexpected_keys"])]
    problems += [("of a different shape", entry[0]) for entry in info["mismatched_keys"]]
    return model, problems


def _fill(head: nn.Module, tensors: Mapping[str, Tensor]) -> list[Problem]:
    wanted = head.state_dict()
    # The number of training batches does not affect the forward pass.
    missing = [name for name in wanted if name not in tensors and not name.endswith("num_batches_tracked")]
    unused = [name for name in tensors if name not in wanted]
    shapes = [name for name in tensors if name in wanted and tensors[name].shape != wanted[name].shape]
    problems = [("missing", name) for name in missing] + [("unused", name) for name in unused]
    problems += [("of a different shape", name) for name in shapes]
    if not problems:
        head.load_state_dict({name: tensor.float() for name, tensor in tensors.items()}, strict=False)
    return problems
