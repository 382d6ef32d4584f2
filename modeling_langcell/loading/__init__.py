"""From a folder, a Hub id or an adapter to a model that is ready: files, checks, number types, ONNX.

It uses the model and `processing`; everybody above enters. Start with `langcell.load`. Cards of published adapters name
`bundled_model_folder` here; it is imported when it is asked for, since it needs torch.
"""

from typing import Any


def __getattr__(name: str) -> Any:
    if name == "bundled_model_folder":
        from langcell.loading.load import bundled_model_folder

        return bundled_model_folder
    raise AttributeError(f"module 'langcell.loading' has no attribute {name!r}")
