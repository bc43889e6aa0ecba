"""From foreign tensors to a `TierModel`, with every tensor accounted for."""

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
_KINDS = ("missing", "of another shape", "unused")
# One of these, and the tensor's name.
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
    """Build the model of a configuration from tensors.

    Parameters
    ----------
    config
        What it is made of.
    foreign
        Where the tensors come from: what is left in it is an error.
    image_tower, text_tower
        By the names that transformers' public checkpoints of the tower have.
    image_projection, text_projection
        By the names of `tier_cli.model.heads`.
    image_name, text_name
        What the file calls a tensor of the tower, for messages; None where that is not known.
    numbers
        ``logit_scale``, ``logit_bias``.

    Raises
    ------
    CheckpointError
        Naming every tensor that is missing, left over or of another shape.
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


def _named(problems: list[Problem], side: str, named: Callable[[str], str] | None) -> list[Problem]:
    """Problems by the names of the file, or else by those of the model, with the side of it."""
    return [(kind, named(name) if named else f"{name} (in its {side})") for kind, name in problems]


def _refuse(found: list[Problem], where: str) -> None:
    """Raise an error of all problems, those first that are most likely the cause of the others."""
    # Several tensors of the model may be parts of one in the file.
    problems = [f"{kind} {name}" for kind, name in dict.fromkeys(sorted(found, key=_rank))]
    if problems:
        shown = "; ".join(problems[:_SHOWN])
        more = f"; and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        raise CheckpointError(
            f"the tensors do not fit: {shown}{more}",
            where=where,
            remedy="the file is incomplete or of another family (--family)",
        )


def _rank(problem: Problem) -> int:
    return _KINDS.index(problem[0])


def lossless_precision(model: TierModel) -> Precision:
    """Return float16 if it holds every weight exactly, else float32: converting must not move a score."""
    tensors = [t for t in model.state_dict().values() if t.is_floating_point()]
    return "float16" if all(torch.equal(t.half().float(), t.float()) for t in tensors) else "float32"


def split_rows(tensors: dict[str, Tensor], name: str, parts: Mapping[str, str]) -> None:
    """Cut a stacked tensor, such as an attention's queries, keys and values, into its parts by new names.

    `parts` says, in the order of the rows, what stands in each new name for what in the old one.
    """
    stacked = tensors.pop(name)
    pieces = stacked.chunk(len(parts))
    for (new, old), piece in zip(parts.items(), pieces, strict=True):
        tensors[name.replace(old, new)] = piece.clone()


def _tower(tower: dict[str, Any], tensors: Mapping[str, Tensor]) -> tuple[Any, list[Problem]]:
    model_class, config, arguments = tower_class(tower)
    with quiet_transformers():
        # By transformers' own loading, which knows what each of its versions calls a public tensor.
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
    problems += [("of another shape", entry[0]) for entry in info["mismatched_keys"]]
    return model, problems


def _fill(head: nn.Module, tensors: Mapping[str, Tensor]) -> list[Problem]:
    wanted = head.state_dict()
    # The count of training batches is in no forward pass.
    missing = [name for name in wanted if name not in tensors and not name.endswith("num_batches_tracked")]
    unused = [name for name in tensors if name not in wanted]
    shapes = [name for name in tensors if name in wanted and tensors[name].shape != wanted[name].shape]
    problems = [("missing", name) for name in missing] + [("unused", name) for name in unused]
    problems += [("of another shape", name) for name in shapes]
    if not problems:
        head.load_state_dict({name: tensor.float() for name, tensor in tensors.items()}, strict=False)
    return problems
