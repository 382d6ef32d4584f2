"""What a run may change when it goes on from a checkpoint, and the record of what it changed.

A checkpoint says which settings its weights have learned with. Resumed with others, a run would end with weights that
no config describes; so it is refused, unless the user says that it is meant: then `provenance.json` of all that the run
writes lists what changed, and after which step.
"""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list

from langcell.processing.files.atomic_output import require_new_folder
from langcell.training.checkpointing.checkpoints import newest_checkpoint
from langcell.training.checkpointing.provenance import CONFIG_FILE, PROVENANCE_FILE
from langcell.training.pretraining.tracking import flatten
from langcell.training.settings.files import config_tree
from langcell.training.settings.sections import PretrainConfig

EXPORT = "export"  # folder of the trained model in that of the run
# Settings that weights do not learn from: where a run writes and what it watches, and how it computes the same.
FREE = (
    "output_dir",
    "trackers",
    "max_bad_steps",
    "checkpoint.",
    "validation.",
    "batch.workers",
    "batch.chunk",
    "model.attention",
    "model.compile",
    "model.activation_checkpointing",
)
# Paths: a folder may be moved. What lies there is compared instead, by its checksum.
_PLACES = ("model.path", "data")
_MOST_NAMED = 6

Change = dict[str, Any]


@dataclass(frozen=True)
class ResumePoint:
    """Where a run begins: found, and all that speaks against it said, before anything takes long.

    Attributes:
        checkpoint: that it goes on from; None for a run that starts from the beginning.
        counters: `run.json` of the checkpoint.
        origin: from `describe_origin`, with what has changed on the way.
    """

    checkpoint: Path | None
    counters: Mapping[str, Any]
    origin: Mapping[str, Any]

    @property
    def step(self) -> int:
        """Optimizer steps that are done."""
        return self.counters["step"] if self.checkpoint else 0

    @classmethod
    def find(
        cls, config: PretrainConfig, origin: Mapping[str, Any], accelerator: Accelerator, *, may_change_settings: bool
    ) -> "ResumePoint":
        """Look into `output_dir`; every process calls it.

        Args:
            config: configuration of the run.
            origin: from `describe_origin`.
            accelerator: accelerator of the run; the main process looks.
            may_change_settings: settings that weights learn from may be other than the checkpoint's.

        Raises:
            ValueError: the checkpoint was written with other settings or is past the last step, or there is none and
                the folder has an export, which would be lost.
        """
        folder = Path(config.output_dir)
        looked = newest_checkpoint(folder) if accelerator.is_main_process else None
        checkpoint: Path | None = broadcast_object_list([looked])[0]
        if checkpoint is None:
            # Without a checkpoint it is another run's, or somebody's.
            require_new_folder(folder / EXPORT, "the run (output_dir)")
            return cls(None, {}, origin)
        counters = json.loads((checkpoint / "state" / "run.json").read_text())
        if counters["step"] > config.steps:
            raise ValueError(f"{checkpoint} is past steps={config.steps}; give more steps, or another output_dir.")
        changes = changes_since(
            checkpoint, config=config, origin=origin, step=counters["step"], allowed=may_change_settings
        )
        return cls(checkpoint, counters, {**origin, "changes": changes})


def changes_since(
    checkpoint: Path, *, config: PretrainConfig, origin: Mapping[str, Any], step: int, allowed: bool
) -> list[Change]:
    """Return what the run that wrote a checkpoint had changed before, and what is changed now.

    Args:
        checkpoint: folder with the config and the origin of that run.
        config: configuration of the run that goes on.
        origin: origin of that run, from `describe_origin`.
        step: optimizer steps that the checkpoint's weights have seen.
        allowed: settings that weights learn from may change.

    Returns:
        Oldest first: `after_step`, and for each thing that changed, a setting or the revision of the code or versions
        of libraries, its value `before` and `after`.

    Raises:
        ValueError: settings differ, and may not.
    """
    before_config = yaml.safe_load((checkpoint / CONFIG_FILE).read_text())
    before_origin = json.loads((checkpoint / PROVENANCE_FILE).read_text())
    settings = changed_settings(before_config, config_tree(config)) | _changed(
        _contents(before_origin), _contents(origin)
    )
    if settings and not allowed:
        raise ValueError(
            f"{checkpoint} was written with {_named(settings)}. Start with its settings, give another output_dir, or "
            f"add --change-settings: the run then goes on with the new ones, and its {PROVENANCE_FILE} says so."
        )
    code = {name: before_origin.get(name) for name in ("git", "libraries")}
    now = settings | _changed(code, {name: origin[name] for name in code})
    return [*before_origin.get("changes", []), *([{"after_step": step, **now}] if now else [])]


def changed_settings(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Change]:
    """Return the settings that weights learn from and that differ; those that only one of the two knows are left out.

    >>> changed_settings({"steps": 8, "checkpoint": {"every": 2}}, {"steps": 9, "checkpoint": {"every": 3}})
    {'steps': {'before': 8, 'after': 9}}
    """
    return _changed(*(_settings_of(tree) for tree in (before, now)))


def _settings_of(tree: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in flatten(dict(tree)).items() if not name.startswith((*FREE, *_PLACES))}


def _contents(origin: Mapping[str, Any]) -> dict[str, Any]:
    """Checksums of what the paths name."""
    contents = {"data": [[source["manifest_sha256"][:12], source["weight"]] for source in origin["data"]]}
    return contents | ({"model.path": origin["start"]["weights"]} if "start" in origin else {})


def _changed(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Change]:
    return {
        name: {"before": before[name], "after": now[name]}
        for name in before
        if name in now and before[name] != now[name]
    }


def _named(settings: Mapping[str, Change]) -> str:
    texts = [f"{name}={change['before']} (now {change['after']})" for name, change in settings.items()]
    more = len(texts) - _MOST_NAMED
    return ", ".join(texts[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def keep_added_files(before: Path, building: Path) -> None:
    """Take over what people have put beside the weights of an earlier export, such as a card.

    Args:
        before: folder of the earlier export, if there was one.
        building: the new export, whose own files stay.
    """
    for path in sorted(before.iterdir()) if before.is_dir() else ():
        copied = building / path.name
        if copied.exists() or path.suffix == ".safetensors":
            continue
        if path.is_dir():
            shutil.copytree(path, copied)
        else:
            shutil.copy2(path, copied)
