"""A stage on one process, on several by DistributedDataParallel, or with its weights spread over them by FSDP2.

`configs/accelerate/fsdp.yaml` makes `accelerate launch` set ACCELERATE_USE_FSDP. Accelerate by itself (1.15) obeys it
on GPUs alone and trains with DistributedDataParallel on CPUs without a word. So the stage is spread here, by torch's
`fully_shard`, in the same way on every device.
"""

import os
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, cast

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.nn.parallel import DistributedDataParallel

from langcell.training.stage.stage import PretrainingStage


def asks_for_fsdp() -> bool:
    """Return whether this run was launched with FSDP.

    Raises:
        ValueError: with version 1 of it.
    """
    if os.environ.get("ACCELERATE_USE_FSDP", "false").lower() != "true":
        return False
    version = os.environ.get("FSDP_VERSION", "2")
    if version != "2":
        raise ValueError(f"The launch config asks for fsdp_version {version}; legal is 2: set fsdp_version: 2.")
    return True


def distribute(stage: PretrainingStage, accelerator: Accelerator) -> nn.Module:
    """Put a stage on its device and, where there are several processes, on all of them.

    Call it before the optimizer is made: FSDP puts other parameters in the place of those that were there.

    Returns:
        What to call in place of the stage; `stage` itself goes on holding the parameters that are trained.
    """
    if not (asks_for_fsdp() and accelerator.num_processes > 1):
        return accelerator.prepare_model(stage)
    stage.to(accelerator.device)
    mesh = init_device_mesh(accelerator.device.type, (accelerator.num_processes,))
    # A layer of the cell encoder is gathered when it runs. The text encoder is gathered as a whole with the root: its
    # layers are run in parts (before the cell, reading it, after it), which hooks on whole layers would not see. All of
    # them are let go after each forward pass: weights that a validation left gathered would miss the next update.
    for layer in cast(nn.ModuleList, stage.model.cell_encoder.encoder.layer):
        fully_shard(layer, mesh=mesh, reshard_after_forward=True)
    fully_shard(stage, mesh=mesh, reshard_after_forward=True)
    return accelerator.prepare_model(stage, device_placement=False, evaluation_mode=True)


def without_sync(stage: nn.Module) -> AbstractContextManager[Any]:
    """Let gradients stay on their process in this block; under FSDP they are averaged all the same, to save memory."""
    return stage.no_sync() if isinstance(stage, DistributedDataParallel) else nullcontext()


def sync_gradients(stage: nn.Module, batch: dict[str, Tensor], accelerator: Accelerator) -> None:
    """Average gradients that were all made `without_sync`; every process calls it.

    DistributedDataParallel does this in a backward pass, so there is one, whose gradients are zero.
    """
    if isinstance(stage, DistributedDataParallel):
        accelerator.backward(stage(batch, task=_touch_all)["zero"])


def _touch_all(model: nn.Module, batch: dict[str, Tensor]) -> dict[str, Tensor]:
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return {"zero": torch.stack([parameter.flatten()[0] * 0.0 for parameter in trained]).sum()}


def clip_gradients(stage: PretrainingStage, largest: float) -> Tensor:
    """Scale gradients down to a largest norm; the norm before, over all processes, 0-dimensional."""
    trained = [parameter for parameter in stage.parameters() if parameter.requires_grad]
    return _whole(nn.utils.clip_grad_norm_(trained, largest))


def whole_tensors(tensors: Mapping[str, Tensor], *, keep: bool = True) -> dict[str, Tensor]:
    """Return copies on the CPU of tensors that may be spread over processes; every process calls it.

    Args:
        tensors: by name.
        keep: give them to this process, too; else it helps the others, and gets an empty dictionary.
    """
    copies: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        whole = _whole(tensor.detach())
        if keep:
            copies[name] = whole.to("cpu", copy=True).contiguous()
    return copies


def spread_like(whole: Tensor, like: Tensor) -> Tensor:
    """Return a whole tensor that every process has, spread over them as `like` is, on its device."""
    whole = whole.to(device=like.device, dtype=like.dtype)
    if not isinstance(like, DTensor):
        return whole
    return distribute_tensor(whole, like.device_mesh, like.placements, src_data_rank=None)


def _whole(tensor: Tensor) -> Tensor:
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def describe(stage: nn.Module, processes: int) -> str:
    """Return how a distributed stage runs, in a few words for the log."""
    kind = "FSDP" if isinstance(stage, FSDPModule) else "DistributedDataParallel"
    return "one process" if processes == 1 else f"{processes} processes ({kind})"
