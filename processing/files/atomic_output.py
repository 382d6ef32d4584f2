"""Output files and folders that appear whole or not at all."""

from __future__ import annotations

import errno
import os
import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# A quota and a file size limit end a write for the same reason as a full disk: there is no room.
NO_ROOM = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)


@contextmanager
def atomic_output(output: str | Path, *, needed_bytes: int | None = None) -> Iterator[Path]:
    """Yield a temporary path beside `output`; write a file or a folder there, and it becomes `output` at the end.

    What was written is flushed to the disk and then renamed. On any exception, KeyboardInterrupt included, the
    temporary is removed and an `output` that existed stays as it was. A file replaces a file in one step; where a
    folder replaces a folder the old one is moved aside first, and put back should the second rename fail. A file never
    replaces a folder.

    Args:
        output: Where the result shall stand; a symbolic link is followed.
        needed_bytes: The least size of the result where known, so that a disk too small is refused before the work.

    Raises:
        FileNotFoundError: The folder of `output` does not exist.
        IsADirectoryError: A file was written, and `output` is a folder.
        OSError: There is no room (disk full, quota, file size limit); `errno` is ENOSPC, the text one line with the
            path, the bytes needed where known, and the bytes free.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> with atomic_output(folder / "note.txt") as temporary:
    ...     _ = temporary.write_text("whole")
    >>> [path.name for path in folder.iterdir()]
    ['note.txt']
    """
    target = Path(os.path.realpath(output))
    if not target.parent.is_dir():
        raise FileNotFoundError(f"cannot write {output}: the folder {target.parent} does not exist; create it first")
    if needed_bytes is not None and shutil.disk_usage(target.parent).free < needed_bytes:
        raise _no_room_error(target, needed_bytes)
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        yield temporary
        _share(temporary)
        _flush(temporary)
        _replace(temporary, target)
    except BaseException as error:
        _remove(temporary)
        if not _is_no_room(error):
            raise
        raise _no_room_error(target, needed_bytes) from error


def remove_leftovers(output: str | Path) -> None:
    """Remove temporaries of `output` that killed processes left; only for who knows that no other writes it now."""
    target = Path(os.path.realpath(output))
    pattern = re.compile(rf"\.{re.escape(target.name)}\.[0-9a-f]{{8}}\.tmp")
    for path in target.parent.iterdir():
        if pattern.fullmatch(path.name):
            _remove(path)


def _flush(path: Path) -> None:
    """Force a file, or all of a folder, onto the disk: after the rename a power cut must not leave holes."""
    for below in sorted(path.rglob("*")) if path.is_dir() else []:
        _fsync(below)
    _fsync(path)


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


# Asked once: asking changes it for a moment, which another thread may see.
_UMASK = _umask()


def _share(path: Path) -> None:
    """Give files the permissions of any new file: some libraries write through a private one (safetensors)."""
    for file in path.rglob("*") if path.is_dir() else [path]:
        if file.is_file() and not file.is_symlink():
            file.chmod(file.stat().st_mode | (0o666 & ~_UMASK))


def _replace(temporary: Path, target: Path) -> None:
    if target.is_dir() and not temporary.is_dir():
        raise IsADirectoryError(f"cannot write {target}: it is a folder; name a file")
    if target.exists():
        shutil.copymode(target, temporary)  # what was private stays private
    if target.is_dir():
        aside = temporary.with_suffix(".old")
        target.rename(aside)
        try:
            temporary.rename(target)
        except BaseException:
            aside.rename(target)
            raise
        shutil.rmtree(aside)
    else:
        temporary.replace(target)
    _fsync(target.parent)  # the new name itself


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _is_no_room(error: BaseException) -> bool:
    """Return whether `error`, or one that it was raised from, is the system's word that there is no room.

    HDF5 reports a failed flush as a RuntimeError that has the number in its text alone.
    """
    link: BaseException | None = error
    while link is not None:
        if isinstance(link, OSError) and link.errno in NO_ROOM:
            return True
        if isinstance(link, OSError | RuntimeError) and any(
            int(number) in NO_ROOM for number in re.findall(r"errno = (\d+)", str(link))
        ):
            return True
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)
    return False


def _no_room_error(target: Path, needed_bytes: int | None) -> OSError:
    needed = f"at least {needed_bytes:,} bytes needed, " if needed_bytes is not None else ""
    free = shutil.disk_usage(target.parent).free
    error = OSError(f"no room to write {target}: {needed}{free:,} bytes free (disk full, quota or file size limit)")
    error.errno = errno.ENOSPC
    return error


def require_new_folder(output: str | Path, what: str) -> None:
    """Refuse a folder that has something in it before it would be replaced, and with it somebody's files.

    Args:
        output: the folder that will be written.
        what: what goes into it, for the message.

    Raises:
        ValueError: it is a file, or a folder that is not empty.
    """
    if Path(output).exists() and not Path(output).is_dir():
        raise ValueError(f"{output} is a file; name a folder for {what}.")
    if Path(output).is_dir() and any(Path(output).iterdir()):
        raise ValueError(f"{output} exists and has files in it, which would be lost; name a new folder for {what}.")
