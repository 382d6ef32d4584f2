import pytest
import torch

from langcell.loading.load import as_dtype, load
from langcell.loading.precision import dtype_name, fast_dtype

pytestmark = pytest.mark.usefixtures("numbers_of_this_machine")


def test_a_cpu_is_fast_at_bfloat16_if_it_has_instructions_for_it():
    capabilities = torch.cpu.get_capabilities()
    expected = capabilities.get("avx512_bf16") or capabilities.get("amx_bf16")
    assert (fast_dtype(torch.device("cpu")) == torch.bfloat16) == bool(expected)


@pytest.mark.parametrize("name", ["meta", "mps", "xpu"])
def test_devices_that_nobody_has_measured_compute_in_float32(name):
    assert fast_dtype(torch.device(name)) == torch.float32


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_from_ampere_on():
    device = torch.device("cuda:0")
    assert (fast_dtype(device) == torch.bfloat16) == (torch.cuda.get_device_capability(device) >= (8, 0))


def test_auto_is_the_fast_one(tiny_model_dir):
    assert as_dtype("auto") == fast_dtype(torch.device("cpu"))
    assert load(tiny_model_dir, device="cpu", dtype="auto").model.dtype == as_dtype("auto")


def test_names_are_those_of_the_options():
    assert [as_dtype(dtype_name(dtype)) for dtype in (torch.float32, torch.bfloat16)] == [torch.float32, torch.bfloat16]
