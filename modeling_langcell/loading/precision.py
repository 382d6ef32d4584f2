"""Which number format the hardware computes fast in: what `--dtype auto` means."""

import torch

# The first CUDA generation (Ampere) whose tensor cores multiply bfloat16.
_FIRST_CUDA_WITH_BFLOAT16 = (8, 0)


def fast_dtype(device: torch.device) -> torch.dtype:
    """Return bfloat16 where `device` has instructions for it, float32 elsewhere.

    A CPU has them with AVX-512 BF16 or AMX: the bundled model is 1.7 times as fast with the former (see
    benchmarks/README.md). A CPU without them only emulates bfloat16, which is slower than float32.

    >>> fast_dtype(torch.device("meta"))
    torch.float32
    """
    return torch.bfloat16 if _multiplies_bfloat16(device) else torch.float32


def _multiplies_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= _FIRST_CUDA_WITH_BFLOAT16
    if device.type == "cpu":
        capabilities = torch.cpu.get_capabilities()
        return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
    return False


def dtype_name(dtype: torch.dtype) -> str:
    """Return a dtype as options call it: "bfloat16", not "torch.bfloat16"."""
    return str(dtype).removeprefix("torch.")
