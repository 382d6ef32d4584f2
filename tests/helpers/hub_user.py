"""Run in a process of its own: load models by their names on the Hub as a user does, and print what came of it.

Each argument is a JSON object: `name`, and options of `from_pretrained`. With "langcell" first, langcell loads them.
"""

import json
import sys
from typing import Any


def load(name: str, **options: Any) -> dict[str, Any]:
    """What a user gets from transformers alone: class, code, weights, and one cell through them."""
    from transformers import AutoModel, AutoProcessor

    model = AutoModel.from_pretrained(name, trust_remote_code=True, **options)
    processor: Any = AutoProcessor.from_pretrained(name, trust_remote_code=True, revision=options.get("revision"))
    genes = list(processor.feature_extractor.vocabulary.gene_ids[:4])
    batch = processor(cells=[[4, 3, 2, 1]], gene_names=genes, text=["cell type: b cell; "], return_tensors="pt")
    module = sys.modules[type(model).__module__]
    return {
        "class": type(model).__name__,
        "is_remote_code": "transformers_modules" in str(module.__file__) and "langcell" not in sys.modules,
        "mark": getattr(module, "MARK", None),
        "weights": sum(float(weight.detach().double().abs().sum()) for weight in model.parameters()),
        "similarity": model.eval()(**batch).logits_per_cell.item(),
    }


def load_by_langcell(name: str, **options: Any) -> dict[str, Any]:
    """What langcell gets."""
    import langcell

    loaded = langcell.load(name, device="cpu", **options)
    weights = sum(float(weight.detach().double().abs().sum()) for weight in loaded.model.parameters())
    return {"revision": loaded.revision, "digest": loaded.weights, "weights": weights}


def main() -> None:
    """Run from the command line."""
    first, *more = sys.argv[1:]
    by_langcell = first == "langcell"
    outcomes = []
    for asked in more if by_langcell else [first, *more]:
        options = json.loads(asked)
        try:
            outcomes.append((load_by_langcell if by_langcell else load)(options.pop("name"), **options))
        except Exception as error:
            outcomes.append({"error": type(error).__name__, "message": " ".join(str(error).split())})
    print(json.dumps(outcomes))


if __name__ == "__main__":
    main()
