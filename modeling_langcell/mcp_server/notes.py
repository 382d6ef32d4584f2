"""What a function tells its user through logging, collected for one who sees no terminal."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def collected_notes() -> Iterator[list[str]]:
    """Collect the notes of langcell's functions while the block lasts.

    >>> with collected_notes() as notes:
    ...     logging.getLogger("langcell").info("12 of 700 cells fit none of these labels.")
    >>> notes
    ['12 of 700 cells fit none of these labels.']
    """
    notes: list[str] = []
    handler = logging.Handler(logging.INFO)
    handler.emit = lambda record: notes.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("langcell")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield notes
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
