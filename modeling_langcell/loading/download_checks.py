"""Whether what lies in the Hub's cache is what the Hub has.

huggingface_hub compares the size of a download. Its cache names large files by their sha256, so that more can be known:
a weight that flipped on the way, or on the disk since, would change scores and be noticed by nobody.
"""

import re
from pathlib import Path

from langcell.loading.weight_files import sha256_of

_SHA256 = re.compile(r"[0-9a-f]{64}")


def check_download(folder: str | Path) -> None:
    """Compare the large files of a commit in the Hub's cache with their checksums.

    Where the file system has no symbolic links the cache does not name the checksums, and nothing is compared.

    Args:
        folder: folder of the commit, `.../snapshots/<commit>`.

    Raises:
        ValueError: a file is damaged; the text says which to delete.
    """
    for path in sorted(Path(folder).rglob("*")):
        blob = path.resolve()
        if path.is_symlink() and _SHA256.fullmatch(blob.name) and sha256_of(blob) != blob.name:
            raise ValueError(
                f"{path.name} was damaged on its way from the Hub or on this disk (its sha256 is not "
                f"{blob.name[:12]}...); delete {blob} and load again."
            )
