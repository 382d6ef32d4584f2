"""Load a folder as whoever downloads it does; run as a script, by itself, in a process that must not know langcell.

    python fresh_load.py model FOLDER | adapter FOLDER BASE | dataset FOLDER | space FOLDER APP_FILE

prints as its last line a JSON list of what is wrong; an empty list means that all is well. It imports nothing of ours,
and for all kinds but a Space, whose app needs it, langcell cannot be imported at all.
"""

import json
import os
import runpy
import sys
from pathlib import Path
from typing import Any

_TEXT = "cell type: b cell; "
_N_GENES = 5


def load_model(folder: Path) -> list[str]:
    """Load model and processor by the Auto classes, and read one cell."""
    from transformers import AutoProcessor

    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    model, report = _auto_class(config).from_pretrained(folder, trust_remote_code=True, output_loading_info=True)
    if missing := sorted(report["missing_keys"]):
        return [f"the weights lack {len(missing)} tensors, such as {missing[0]}"]
    processor: Any = AutoProcessor.from_pretrained(folder, trust_remote_code=True)
    found, expected = processor.feature_extractor.vocabulary.fingerprint, model.config.vocabulary_fingerprint
    if found != expected:
        return [f"its gene vocabulary is {found[:12]}..., its weights are for {expected[:12]}..."]
    return _run(model, processor)


def load_adapter(folder: Path, base: Path) -> list[str]:
    """Load the adapter on its base by peft, and read one cell."""
    from peft import PeftModel
    from safetensors import safe_open
    from transformers import AutoConfig, AutoProcessor

    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    options: dict[str, Any] = {"trust_remote_code": True}
    if config["fine_tuning"]["task"] == "classification":
        options["config"] = AutoConfig.from_pretrained(folder, trust_remote_code=True)
    model = _auto_class(config).from_pretrained(base, **options)
    wrapped: Any = PeftModel.from_pretrained(model, str(folder))
    with safe_open(folder / "adapter_model.safetensors", framework="pt") as file:
        stored = sum(".lora_" in name for name in file.keys())  # noqa: SIM118 (not a dict)
    # peft itself goes on with updates that were never trained.
    if (expected := sum(".lora_" in name for name in wrapped.state_dict())) != stored:
        return [f"the adapter has {stored} updates, its base takes {expected}"]
    processor = AutoProcessor.from_pretrained(base, trust_remote_code=True)
    return _run(wrapped.merge_and_unload(), processor)


def load_dataset(folder: Path) -> list[str]:
    """Read the first cell and the first description by `datasets`."""
    from datasets import load_dataset as read

    for name in ("cells", "descriptions"):
        rows: Any = read(str(folder), name, split="train", streaming=True)
        if next(iter(rows), None) is None:
            return [f"the configuration {name} has no rows"]
    return []


def load_space(folder: Path, app_file: str) -> list[str]:
    """Build the app, up to where it would be served."""
    import gradio

    class Launched(BaseException):
        pass

    def launch(*args: Any, **options: Any) -> None:
        raise Launched

    gradio.Blocks.launch = launch  # pyright: ignore[reportAttributeAccessIssue]  # it takes whatever launch takes
    sys.path.insert(0, str(folder))
    sys.argv = [app_file]
    try:
        runpy.run_path(str(folder / app_file), run_name="__main__")
    except Launched:
        return []
    return [f"{app_file} ends without launching an app"]


def _auto_class(config: dict[str, Any]) -> Any:
    from transformers import AutoModel, AutoModelForSequenceClassification

    is_classifier = any("Classification" in name for name in config.get("architectures") or [])
    is_classifier |= (config.get("fine_tuning") or {}).get("task") == "classification"
    return AutoModelForSequenceClassification if is_classifier else AutoModel


def _run(model: Any, processor: Any) -> list[str]:
    """One cell, and for a model of texts one text."""
    import numpy as np
    import torch

    genes = list(processor.feature_extractor.vocabulary.gene_ids[:_N_GENES])
    counts = np.arange(1, len(genes) + 1, dtype=np.float32)[None]
    is_classifier = "Classification" in type(model).__name__
    texts = {} if is_classifier else {"text": [_TEXT]}
    batch = processor(cells=counts, gene_names=genes, return_tensors="pt", **texts)
    with torch.inference_mode():
        output = model.eval()(**batch)
    values = output.logits if is_classifier else output.logits_per_cell
    return [] if bool(torch.isfinite(values).all()) else ["it computes numbers that are not finite"]


def main() -> None:
    """Run from the command line."""
    kind, folder, *more = sys.argv[1:]
    if kind != "space":
        sys.modules["langcell"] = None  # type: ignore[assignment]  # makes any import of it fail
    loaders: dict[str, Any] = {"model": load_model, "adapter": load_adapter, "dataset": load_dataset}
    problems = load_space(Path(folder), *more) if kind == "space" else loaders[kind](Path(folder), *map(Path, more))
    print(json.dumps(problems), flush=True)
    # A dataset that was not read to its end leaves threads of pyarrow, which now and then abort the interpreter's exit.
    os._exit(0)


if __name__ == "__main__":
    main()
