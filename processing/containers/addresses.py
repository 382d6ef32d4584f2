"""Places that are no path: files and folders on the Hub are downloaded once, other addresses are refused in a line."""

import os
import re
from functools import cache
from pathlib import Path

# A drive of Windows is one letter. `Path` takes one of the two slashes away.
_ADDRESS = re.compile(r"(?P<scheme>[A-Za-z][\w+.-]+):/{1,2}(?P<rest>.*)", re.DOTALL)
_HUB_FILE = re.compile(
    r"(?:(?P<kind>datasets|spaces|models)/)?(?P<repo>[\w.-]+/[\w.-]+?)(?:@(?P<revision>[^/]+))?/(?P<inside>.+)"
)
_HOW_TO_DOWNLOAD = {
    "s3": "aws s3 cp",
    "gs": "gcloud storage cp",
    "http": "curl -LO",
    "https": "curl -LO",
    "ftp": "curl -O",
}


def is_address(place: str | Path) -> bool:
    """Return whether a place is an address such as hf://... or s3://..., and no path of this machine.

    >>> is_address("hf://datasets/org/cells/cells.h5ad"), is_address(Path("s3://bucket/cells")), is_address("C:/cells")
    (True, True, False)
    """
    return _ADDRESS.match(str(place)) is not None and not os.path.exists(place)


def local_path(place: str | Path) -> Path:
    """Return the path of a place: paths as they are; what `hf://` names is downloaded into the cache of
    huggingface_hub.

    Args:
        place: a path, or hf://datasets/ORGANISATION/NAME[@REVISION]/FILE; FILE may be a folder (zarr, 10x mtx).

    Raises:
        FileNotFoundError: there is no such file on the Hub.
        OSError: the Hub cannot be reached.
        ValueError: an address that is not read from.
    """
    if not is_address(place):
        return Path(place)
    match = _ADDRESS.match(str(place))
    assert match is not None
    scheme, rest = match["scheme"].lower(), match["rest"]
    if scheme != "hf":
        how = _HOW_TO_DOWNLOAD.get(scheme, "")
        hint = f" ({how} {scheme}://{rest})" if how else ""
        raise ValueError(
            f"{scheme}://{rest}: an address that cells are not read from; download the file first{hint}, or give "
            "hf://datasets/... or a path."
        )
    if (parts := _HUB_FILE.fullmatch(rest)) is None:
        raise ValueError(
            f"hf://{rest}: no file of the Hub; write hf://datasets/ORGANISATION/NAME/FILE, such as "
            "hf://datasets/org/cells/cells.h5ad."
        )
    kind = (parts["kind"] or "models").removesuffix("s")
    return _downloaded(kind, parts["repo"], parts["revision"], parts["inside"].rstrip("/"))


def check_place(place: str | Path) -> None:
    """Refuse a path where nothing is; an address is looked up when it is read. Takes no library.

    Raises:
        FileNotFoundError: there is neither a file nor a folder.
    """
    if not is_address(place) and not os.path.exists(place):
        raise FileNotFoundError(f"{place}: no such file or folder; check the path.")


@cache
def _downloaded(kind: str, repo: str, revision: str | None, inside: str) -> Path:
    from huggingface_hub import hf_hub_download, snapshot_download
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError, RepositoryNotFoundError

    where = f"hf://{'' if kind == 'model' else kind + 's/'}{repo}/{inside}"
    of_repository = {"repo_type": kind, "revision": revision}
    try:
        return Path(hf_hub_download(repo, inside, **of_repository))
    except LocalEntryNotFoundError as error:
        raise OSError(f"{where}: not in the cache, and the Hub cannot be reached; download it while online.") from error
    except RepositoryNotFoundError as error:
        raise FileNotFoundError(
            f"{where}: the Hub has no {kind} {repo}, or it is private: check the name, or log in with hf auth login."
        ) from error
    except EntryNotFoundError:
        folder = Path(snapshot_download(repo, allow_patterns=[f"{inside}/**"], **of_repository), inside)
    if not folder.is_dir():
        raise FileNotFoundError(f"{where}: {repo} has no such file or folder; check the name.")
    return folder
