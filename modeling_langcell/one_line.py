"""Errors of the user, as the one line that the command line and the app show."""

import errno

# What `langcell ...` and the app answer by a line; any other exception is a fault of the program.
USER_ERRORS = (ValueError, OSError, MemoryError)


def one_line(error: BaseException) -> str:
    """Return the message of an error, after its notes, without line breaks.

    >>> one_line(ValueError("alpha is 2;\\n give 0 to 1."))
    'alpha is 2; give 0 to 1.'
    >>> one_line(FileNotFoundError(2, "No such file or directory", "genes.pkl"))
    'there is no file genes.pkl; check the path.'
    """
    notes, message = getattr(error, "__notes__", []), str(error)
    if isinstance(error, FileNotFoundError) and error.errno == errno.ENOENT and error.filename:
        message = f"there is no file {error.filename}; check the path."
    return " ".join(": ".join([*notes, message]).split())
