import errno
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file
from warm_python import warm_python

from langcell.processing.files.atomic_output import atomic_output, require_new_folder


def write_file(path: Path, text: str) -> None:
    path.write_text(text)


def write_folder(path: Path, text: str) -> None:
    (path / "inner").mkdir(parents=True)
    (path / "inner" / "text").write_text(text)


def write_half_and_fail(output: Path, write: Callable[[Path, str], None], error: BaseException) -> None:
    with atomic_output(output) as temporary:
        write(temporary, "half")
        raise error


def text_of(path: Path) -> str:
    return (path / "inner" / "text" if path.is_dir() else path).read_text()


KINDS = [pytest.param(write_file, id="file"), pytest.param(write_folder, id="folder")]


@pytest.mark.parametrize("write", KINDS)
def test_output_is_written_and_replaced(write: Callable[[Path, str], None], tmp_path: Path) -> None:
    for text in ("first", "second"):
        with atomic_output(tmp_path / "out") as temporary:
            assert temporary.parent == tmp_path
            write(temporary, text)
        assert text_of(tmp_path / "out") == text
        assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("write", KINDS)
@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(errno.EIO, "broken"), RuntimeError("broken")])
def test_failure_leaves_the_old_output(
    write: Callable[[Path, str], None], error: BaseException, tmp_path: Path
) -> None:
    write(tmp_path / "out", "old")
    with pytest.raises(type(error)):
        write_half_and_fail(tmp_path / "out", write, error)
    assert text_of(tmp_path / "out") == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_failure_before_anything_was_written_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="early"), atomic_output(tmp_path / "out"):
        raise ValueError("early")
    assert not list(tmp_path.iterdir())


def test_link_is_followed_and_permissions_stay(tmp_path: Path) -> None:
    real, link = tmp_path / "real", tmp_path / "link"
    real.write_text("old")
    real.chmod(0o600)
    link.symlink_to(real)
    with atomic_output(link) as temporary:
        temporary.write_text("new")
    assert link.is_symlink()
    assert real.read_text() == "new"
    assert real.stat().st_mode & 0o777 == 0o600


def test_folder_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with (
        pytest.raises(FileNotFoundError, match=r"nowhere does not exist; create it first"),
        atomic_output(tmp_path / "nowhere" / "out"),
    ):
        raise AssertionError("must not start")


def test_disk_too_small_is_refused_before_the_work(tmp_path: Path) -> None:
    with (
        pytest.raises(OSError, match=r"at least .* bytes needed, .* bytes free") as caught,
        atomic_output(tmp_path / "out", needed_bytes=1 << 62),
    ):
        raise AssertionError("must not start")
    assert caught.value.errno == errno.ENOSPC


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EDQUOT, "Quota exceeded"),
        RuntimeError(f"unable to extend file properly, errno = {errno.EFBIG}, error message = 'File too large'"),
    ],
)
def test_no_room_is_one_line_with_the_path(error: Exception, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="no room to write") as caught:
        write_half_and_fail(tmp_path / "out", write_file, error)
    assert caught.value.errno == errno.ENOSPC
    assert str(tmp_path / "out") in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(sys.platform == "win32", reason="file size limits are a POSIX matter")
def test_a_real_limit_is_reported_the_same_way(tmp_path: Path) -> None:
    script = """
import resource, signal, sys
from langcell.processing.files.atomic_output import atomic_output
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
try:
    with atomic_output(sys.argv[1]) as temporary:
        temporary.write_bytes(bytes(20_000))
except OSError as error:
    print(error)
"""
    words = [warm_python(), "-c", script, str(tmp_path / "out")]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"no room to write {tmp_path / 'out'}:")
    assert not list(tmp_path.iterdir())


def test_a_folder_with_files_is_not_replaced(tmp_path):
    require_new_folder(tmp_path / "new", "the model")
    require_new_folder(tmp_path, "the model")
    (tmp_path / "paper.txt").write_text("mine")
    with pytest.raises(ValueError, match=r"has files in it, which would be lost; name a new folder for the model\."):
        require_new_folder(tmp_path, "the model")
    with pytest.raises(ValueError, match=r"paper\.txt is a file; name a folder for the model\."):
        require_new_folder(tmp_path / "paper.txt", "the model")


def test_a_file_that_a_library_wrote_privately_can_be_read_as_any_new_file(tmp_path):
    (tmp_path / "plain").touch()
    usual = (tmp_path / "plain").stat().st_mode & 0o777
    with atomic_output(tmp_path / "weights.safetensors") as temporary:
        save_file({"weight": np.zeros(2, dtype=np.float32)}, temporary)
        # The oldest safetensors that is supported wrote them as any file.
        assert temporary.stat().st_mode & 0o777 in (0o600, usual)
    assert (tmp_path / "weights.safetensors").stat().st_mode & 0o777 == usual
    with atomic_output(tmp_path / "model") as temporary:
        temporary.mkdir()
        save_file({"weight": np.zeros(2, dtype=np.float32)}, temporary / "model.safetensors")
    assert (tmp_path / "model" / "model.safetensors").stat().st_mode & 0o777 == usual


def test_a_file_never_replaces_a_folder(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "paper.txt").write_text("mine")
    refused = pytest.raises(IsADirectoryError, match="mine: it is a folder; name a file")
    with refused, atomic_output(tmp_path / "mine") as temporary:
        temporary.write_text("whole")
    assert [path.name for path in tmp_path.rglob("*")] == ["mine", "paper.txt"]
