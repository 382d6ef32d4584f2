"""When a command looks for garbage: not while it imports, and not when it ends.

torch, transformers and anndata make some 800,000 objects that live as long as the process. Python looks through them
for garbage again and again while they are imported, and once more at the end: a third of the time of a short command.
"""

import gc
from typing import Any

# More than all imports make. Then Python's own thresholds hold, so garbage of a long run is found as ever.
_OBJECTS_OF_START = 1_000_000


def defer_garbage_collection() -> None:
    """Look for garbage only after a million objects, and from then on as Python does, the first million left out."""
    usual = gc.get_threshold()
    if not gc.isenabled() or _OBJECTS_OF_START in usual:
        return

    def end_of_start(phase: str, info: dict[str, Any]) -> None:
        gc.callbacks.remove(end_of_start)
        gc.set_threshold(*usual)
        gc.freeze()

    gc.callbacks.append(end_of_start)
    gc.set_threshold(_OBJECTS_OF_START, *usual[1:])


def skip_last_collection() -> None:
    """Leave all objects to the end of the process, which frees their memory without looking at each."""
    gc.freeze()
