import pytest
import torch
from tiny import tiny_config

from langcell.training.settings.sections import Objectives
from langcell.training.speed.flops import BatchCounts, TrainedParts, step_flops
from langcell.training.speed.throughput import CLOCKED, ThroughputMeter, gpu_peak, measured_cpu_peak, peak_flops


@pytest.mark.parametrize(
    ("name", "precision", "tf32", "teraflops"),
    [
        pytest.param("NVIDIA A100-SXM4-80GB", "bf16", False, 312.0, id="a100"),
        pytest.param("NVIDIA A100-PCIE-40GB", "no", False, 19.5, id="a100_float32"),
        pytest.param("NVIDIA A100-PCIE-40GB", "no", True, 156.0, id="a100_tf32"),
        pytest.param("NVIDIA H100 80GB HBM3", "bf16", False, 989.4, id="h100_sxm"),
        pytest.param("NVIDIA H100 PCIe", "bf16", False, 756.0, id="h100_pcie"),
        pytest.param("NVIDIA H200", "bf16", False, 989.4, id="h200"),
        pytest.param("NVIDIA L40S", "bf16", False, 362.05, id="l40s_is_no_l40"),
        pytest.param("NVIDIA L4", "bf16", False, 121.0, id="l4_is_no_l40"),
        pytest.param("Tesla T4", "no", True, 8.1, id="t4_has_no_tf32"),
        pytest.param("Tesla V100-SXM2-16GB", "bf16", False, None, id="v100_has_no_bf16"),
        pytest.param("NVIDIA A10G", "bf16", False, None, id="a10g_is_no_a10"),
        pytest.param("Some Accelerator 9000", "bf16", False, None, id="unknown"),
    ],
)
def test_peaks_of_gpus(name, precision, tf32, teraflops):
    assert gpu_peak(name, precision=precision, tf32=tf32) == (teraflops and teraflops * 1e12)


def test_the_peak_of_a_cpu_is_measured_and_draws_no_random_numbers():
    state = torch.get_rng_state()
    assert 1e8 < measured_cpu_peak(precision="no", sizes=(64, 128), rounds=2, seconds=0.005) < 1e15
    assert peak_flops(torch.device("cpu"), precision="bf16")
    assert torch.equal(torch.get_rng_state(), state)


def test_a_device_of_another_kind_has_no_known_peak():
    assert peak_flops(torch.device("meta"), precision="no") is None


def test_a_step_is_measured():
    counts = BatchCounts.of_lengths(torch.tensor([10, 20, 30]))
    config, objectives = tiny_config(), Objectives()
    flops = sum(part.total for part in step_flops(config, objectives, counts).values())
    speed = ThroughputMeter(config, objectives, TrainedParts(), peak=4 * flops, processes=2).measure(
        counts, seconds=0.5, waited=0.1
    )
    assert speed == pytest.approx(
        {
            "cells_per_second": 12.0,
            "tokens_per_second": 240.0,
            "teraflops_per_second": 4 * flops / 1e12,
            "data_wait": 0.2,
            "model_flops_utilization": 0.5,
        }
    )
    assert set(speed) == set(CLOCKED)


def test_a_step_that_is_faster_than_a_measured_peak_becomes_the_peak():
    counts, config, objectives = BatchCounts.of_lengths(torch.tensor([10, 20])), tiny_config(), Objectives()
    flops = sum(part.total for part in step_flops(config, objectives, counts).values())

    def shares(**options):
        meter = ThroughputMeter(config, objectives, TrainedParts(), peak=flops, **options)
        return [meter.measure(counts, seconds=s, waited=0)["model_flops_utilization"] for s in (2.0, 0.25, 0.5)]

    assert shares(peak_is_measured=True) == pytest.approx([0.5, 1.0, 0.5])
    # A maker's figure stays what it is: more than all of it is a mistake that has to show.
    assert shares() == pytest.approx([0.5, 4.0, 2.0])


def test_no_share_of_a_peak_that_is_not_known():
    counts = BatchCounts.of_lengths(torch.tensor([10]))
    speed = ThroughputMeter(tiny_config(), Objectives(), TrainedParts(), peak=None).measure(
        counts, seconds=1.0, waited=0.0
    )
    assert set(CLOCKED) - set(speed) == {"model_flops_utilization"}
