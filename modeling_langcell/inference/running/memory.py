"""How many padded genes a batch may have, found from the memory that is free."""

import os
from pathlib import Path

import psutil
import torch

from langcell.configuration_langcell import LangCellConfig
from langcell.loading.loaded import ComputingModel

# Above these more at once is no faster; on a CPU it leaves the caches behind, which are those of a core each.
_MOST_TOKENS = {"cpu": 32_768, "cuda": 262_144}
_TOKENS_PER_THREAD = 4096
_LEAST_TOKENS = 1024
# The estimate below is rough, and the machine has other work.
_SHARE_OF_FREE_MEMORY = 0.5
# Text tokens of (cell, label) pairs in memory at once, for each gene of the batch.
TEXT_TOKENS_PER_GENE = 2
_CGROUP = Path("/sys/fs/cgroup")


def find_max_batch_tokens(model: ComputingModel) -> int:
    """Return the number of padded genes at once that fit the free memory of the model's device.

    A power of two where the memory decides, so that a few megabytes more or less from run to run make no other batches.
    """
    bytes_per_gene = estimate_bytes_per_gene(model.config, model.dtype)
    fitting = int(_SHARE_OF_FREE_MEMORY * free_bytes(model.device)) // bytes_per_gene
    most = _MOST_TOKENS.get(model.device.type, _MOST_TOKENS["cpu"])
    if model.device.type == "cpu":
        most = min(most, _TOKENS_PER_THREAD * torch.get_num_threads())
    return min(most, max(_LEAST_TOKENS, _power_of_two(fitting)))


def _power_of_two(number: int) -> int:
    """Return the greatest that is not above a number, at least 1."""
    return 1 << max(0, number.bit_length() - 1)


def estimate_bytes_per_gene(config: LangCellConfig, dtype: torch.dtype) -> int:
    """Return the bytes that a gene of a batch takes at the peak: the cell encoder, keys and values, and the texts that
    read them.

    A layer holds about ten states and two intermediate ones at a time, and the attention scores where no fused kernel
    runs. Keys and values of all cross-attention layers are held twice: re-ranking copies those of chosen cells.
    """
    cell, text = config.cell_config, config.text_config
    cell_layer = 10 * cell.hidden_size + 2 * cell.intermediate_size
    attention = cell.num_attention_heads * cell.max_position_embeddings
    n_cross_layers = text.num_hidden_layers - text.cross_attention_start
    keys_values = 2 * 2 * n_cross_layers * text.hidden_size
    text_layer = 10 * text.hidden_size + 2 * text.intermediate_size
    return dtype.itemsize * (cell_layer + attention + keys_values + TEXT_TOKENS_PER_GENE * text_layer)


def free_bytes(device: torch.device) -> int:
    """Return the memory that is free on a device, for this process: the machine's is shared by all that run on it."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    available = min([psutil.virtual_memory().available, *_room_in_cgroup()])
    return available // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def _room_in_cgroup(folder: Path = _CGROUP) -> list[int]:
    """Return what a container's limit leaves (cgroup v2), or nothing where there is none."""
    try:
        limit = (folder / "memory.max").read_text().strip()
        used = int((folder / "memory.current").read_text())
    except OSError:
        return []
    return [] if limit == "max" else [max(0, int(limit) - used)]
