"""Errors that a user can mend, as the one line that the command line and the app show."""

# What `langcell ...` and the app answer by a line; any other exception is a fault of the program.
MENDABLE = (ValueError, OSError, MemoryError)


def one_line(error: BaseException) -> str:
    """The message of an error, after its notes, without line breaks.

    >>> one_line(ValueError("alpha is 2;\\n give 0 to 1."))
    'alpha is 2; give 0 to 1.'
    """
    notes = getattr(error, "__notes__", [])
    return " ".join(": ".join([*notes, str(error)]).split())
