"""What `langcell doctor` says: the machine, its devices, the parts, and how to get what is missing."""

import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from langcell.environment.parts import Part, extras, parts_of
from langcell.one_line import one_line

_GIGABYTE = 1e9
_LITTLE_ROOM = 5 * _GIGABYTE


@dataclass(frozen=True)
class Finding:
    """One line.

    Attributes:
        section: heading that it stands under.
        text: what there is.
        advice: what to do about it; "" where nothing has to be done.
        is_fault: whether langcell does not work without that.
    """

    section: str
    text: str
    advice: str = ""
    is_fault: bool = False


def examine() -> list[Finding]:
    """Look at all there is to look at; imports torch and nothing else of the parts."""
    return [*_machine(), *_devices(), *_parts(), *_extras(), *_model()]


def as_lines(findings: list[Finding]) -> list[str]:
    """Return the findings under their headings, with the advice beneath each, and a last line that sums up."""
    lines: list[str] = []
    section = ""
    for finding in findings:
        if finding.section != section:
            section = finding.section
            lines += ["", section] if lines else [section]
        lines.append(f"  {finding.text}")
        if finding.advice:
            lines.append(f"    -> {finding.advice}")
    faults = sum(finding.is_fault for finding in findings)
    return [*lines, "", "langcell can run here." if not faults else f"{faults} things keep langcell from running."]


def _machine() -> Iterator[Finding]:
    section = "Machine"
    yield Finding(section, f"Python {sys.version.split()[0]} on {platform.system()} {platform.machine()}")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    yield Finding(section, f"{cores} processor cores{_memory()}")
    for name, place in (("downloads", _cache()), ("temporary files", Path(tempfile.gettempdir()))):
        free = _free_bytes(place)
        advice = (
            "" if free is None or free >= _LITTLE_ROOM else "free some room, or name another place: HF_HOME, TMPDIR"
        )
        if free is not None:
            yield Finding(section, f"{free / _GIGABYTE:.0f} GB free for {name} ({place})", advice)
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        yield Finding(section, "HF_HUB_OFFLINE is set: nothing is downloaded", "unset it to load models by their names")


def _memory() -> str:
    try:
        import psutil
    except ImportError:
        return ""
    memory = psutil.virtual_memory()
    return f", {memory.available / _GIGABYTE:.0f} of {memory.total / _GIGABYTE:.0f} GB of memory available"


def _cache() -> Path:
    return Path(os.environ.get("HF_HOME", "~/.cache/huggingface")).expanduser()


def _free_bytes(place: Path) -> int | None:
    """Room where a folder is or would be made."""
    existing = next((folder for folder in (place, *place.parents) if folder.exists()), None)
    return None if existing is None else shutil.disk_usage(existing).free


def _devices() -> Iterator[Finding]:
    section = "Devices"
    try:
        import torch
    except Exception as error:  # a broken library fails in many ways
        yield Finding(
            section, f"torch cannot be imported: {one_line(error)}", "pip install --force-reinstall torch", True
        )
        return
    yield Finding(section, f"cpu, {torch.get_num_threads()} threads")
    for number in range(torch.cuda.device_count()):
        facts = torch.cuda.get_device_properties(number)
        yield Finding(section, f"cuda:{number} {facts.name}, {facts.total_memory / _GIGABYTE:.0f} GB")
    if torch.backends.mps.is_available():
        yield Finding(section, "mps")
    if not torch.cuda.is_available() and shutil.which("nvidia-smi"):
        build = f"CUDA {torch.version.cuda}" if torch.version.cuda else "processors alone"
        yield Finding(
            section, f"there is an NVIDIA driver, but torch, built for {build}, cannot use it",
            "install the build of torch for that driver: https://pytorch.org/get-started/locally",
        )  # fmt: skip


def _parts() -> Iterator[Finding]:
    for part in parts_of():
        advice = "" if part.fits else f'pip install "{part.name}{part.needed}"'
        yield Finding("Parts", _said(part), advice, not part.fits)


def _extras() -> Iterator[Finding]:
    for extra in extras():
        missing = [part for part in parts_of(extra) if not part.fits]
        if missing:
            text = f"{extra}: not usable ({', '.join(map(_said, missing))})"
            yield Finding("Extras", text, f'pip install "langcell[{extra}]"')
        else:
            yield Finding("Extras", f"{extra}: {', '.join(_said(part) for part in parts_of(extra))}")


def _said(part: Part) -> str:
    if part.found is None:
        return f"{part.name} is missing"
    return f"{part.name} {part.found}" + ("" if part.fits else f", and {part.needed} is needed")


def _model() -> Iterator[Finding]:
    folder = Path(str(files("langcell.hub_cards").joinpath("langcell-mini")))
    weights = folder / "model.safetensors"
    whole = weights.is_file() and weights.stat().st_size > 1e6  # a pointer of Git LFS is a small text
    yield Finding(
        "Model", f"langcell-mini {'is here' if whole else 'lacks its weights'}",
        "" if whole else "install the wheel again, or run `git lfs pull` in a checkout", not whole,
    )  # fmt: skip
