"""How fast a run is: cells and ids per second, achieved operations per second, and their share of the device's peak.

Operations are those of `flops.step_flops`: what the model needs, without padding. The peak of a GPU is its maker's
figure for dense matrix products. That of a CPU is measured before the run with short products, and a machine that was
busy just then gives too low a figure: a step that is faster raises it, so that no share is above 1, and the shares of
the steps before were too high by as much. A device that is not in the table has no known peak, and then the log has no
share of it. The figures of the table are never raised: a share above 1 there would be a mistake, and shows.
"""

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from langcell.configuration_langcell import LangCellConfig
from langcell.training.settings.sections import Objectives
from langcell.training.speed.flops import BatchCounts, TrainedParts, step_flops

# What `ThroughputMeter.measure` gives: these change from run to run, where all else in the log is reproducible.
CLOCKED = ("cells_per_second", "tokens_per_second", "teraflops_per_second", "model_flops_utilization", "data_wait")

TERA = 1e12


@dataclass(frozen=True)
class PeakThroughput:
    """Dense matrix products of a GPU, in 1e12 operations a second; None where it has no such unit.

    Attributes:
        bf16: bfloat16 with float32 sums.
        tf32: float32 rounded to TF32 (`torch.set_float32_matmul_precision("high")`).
        fp32: float32.
    """

    bf16: float | None
    tf32: float | None
    fp32: float


# The makers' data sheets, without sparsity. The first pattern that `torch.cuda.get_device_name` contains as whole words
# counts, so variants stand above the plain name.
PEAKS = {
    r"B200": PeakThroughput(bf16=2250.0, tf32=1125.0, fp32=75.0),
    r"GH200|H200": PeakThroughput(bf16=989.4, tf32=494.7, fp32=66.9),
    r"H100 PCIe": PeakThroughput(bf16=756.0, tf32=378.0, fp32=51.2),
    r"H100 NVL": PeakThroughput(bf16=835.5, tf32=417.5, fp32=60.0),
    r"H100": PeakThroughput(bf16=989.4, tf32=494.7, fp32=66.9),
    r"A100": PeakThroughput(bf16=312.0, tf32=156.0, fp32=19.5),
    r"A40": PeakThroughput(bf16=149.7, tf32=74.8, fp32=37.4),
    r"A30": PeakThroughput(bf16=165.0, tf32=82.0, fp32=10.3),
    r"A10": PeakThroughput(bf16=125.0, tf32=62.5, fp32=31.2),
    r"RTX A6000": PeakThroughput(bf16=154.8, tf32=77.4, fp32=38.7),
    r"L40S": PeakThroughput(bf16=362.05, tf32=183.0, fp32=91.6),
    r"L40": PeakThroughput(bf16=181.05, tf32=90.5, fp32=90.5),
    r"L4": PeakThroughput(bf16=121.0, tf32=60.0, fp32=30.3),
    r"RTX 4090": PeakThroughput(bf16=165.2, tf32=82.6, fp32=82.6),
    r"RTX 3090": PeakThroughput(bf16=71.0, tf32=35.6, fp32=35.6),
    r"V100": PeakThroughput(bf16=None, tf32=None, fp32=15.7),
    r"T4": PeakThroughput(bf16=None, tf32=None, fp32=8.1),
}


def gpu_peak(name: str, *, precision: str, tf32: bool = False) -> float | None:
    """Return peak of a GPU in operations a second, or None where it is not known.

    Args:
        name: as `torch.cuda.get_device_name` says it.
        precision: "bf16" or "no" (float32).
        tf32: float32 products may be rounded to TF32.

    Example:
        >>> gpu_peak("NVIDIA A100-SXM4-80GB", precision="bf16") / 1e12
        312.0
        >>> gpu_peak("NVIDIA A10G", precision="bf16") is None
        True
    """
    for pattern, peak in PEAKS.items():
        if re.search(rf"(?<![A-Za-z0-9])(?:{pattern})(?![A-Za-z0-9])", name):
            found = peak.bf16 if precision == "bf16" else (peak.tf32 or peak.fp32) if tf32 else peak.fp32
            return None if found is None else found * TERA
    return None


def measured_cpu_peak(
    *, precision: str, sizes: Sequence[int] = (512, 1024), rounds: int = 5, seconds: float = 0.05
) -> float:
    """Return operations a second of the fastest of many square products on this process's CPU threads.

    Draws no random numbers: a run that is measured ends with the same weights as one that is not.

    Args:
        precision: "bf16" or "no" (float32).
        sizes: rows and columns of the matrices.
        rounds: measurements of each size, in turns, so that what else the machine does for a moment meets one of them.
        seconds: seconds of each measurement.
    """
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    best = 0.0
    for size in list(sizes) * rounds:
        left, right = torch.full((size, size), 0.5, dtype=dtype), torch.full((size, size), 2.0, dtype=dtype)
        torch.mm(left, right)
        ended = time.perf_counter()
        stop = ended + seconds
        while ended < stop:
            started = time.perf_counter()
            torch.mm(left, right)
            ended = time.perf_counter()
            best = max(best, 2 * size**3 / (ended - started))
    return best


def peak_flops(device: torch.device, *, precision: str) -> float | None:
    """Return peak of a device in operations a second: from the table, measured on a CPU, None where unknown."""
    if device.type == "cpu":
        return measured_cpu_peak(precision=precision)
    if device.type == "cuda":
        tf32 = torch.get_float32_matmul_precision() != "highest"
        return gpu_peak(torch.cuda.get_device_name(device), precision=precision, tf32=tf32)
    return None


class ThroughputMeter:
    """Speed of the steps of a run.

    Args:
        config: configuration of the model.
        objectives: the losses.
        trained: what gets gradients.
        peak: peak of one device, operations a second; None: no share is given.
        peak_is_measured: a step that is faster becomes the peak, as the head of this file says.
        processes: devices that train; what one of them read counts as many times.
    """

    def __init__(
        self,
        config: LangCellConfig,
        objectives: Objectives,
        trained: TrainedParts,
        *,
        peak: float | None,
        peak_is_measured: bool = False,
        processes: int = 1,
    ):
        self.config, self.objectives, self.trained = config, objectives, trained
        self.peak, self.peak_is_measured, self.processes = peak, peak_is_measured, processes

    def measure(self, counts: BatchCounts, *, seconds: float, waited: float) -> dict[str, float]:
        """Return the speed of a step.

        Args:
            counts: what this process read.
            seconds: the step took.
            waited: seconds of them were spent waiting for data.

        Returns:
            `cells_per_second`, `tokens_per_second` and `teraflops_per_second` of all processes;
            `model_flops_utilization`, the share of their peak, where it is known; `data_wait`, a share of the time.
        """
        work = step_flops(self.config, self.objectives, counts, self.trained)
        flops = sum(part.total for part in work.values()) / seconds
        speed = {
            "cells_per_second": counts.cells * self.processes / seconds,
            "tokens_per_second": counts.cell_tokens * self.processes / seconds,
            "teraflops_per_second": flops * self.processes / TERA,
            "data_wait": waited / seconds,
        }
        if self.peak is None:
            return speed
        if self.peak_is_measured:
            self.peak = max(self.peak, flops)
        return speed | {"model_flops_utilization": flops / self.peak}
