# /// script
# requires-python = ">=3.11"
# dependencies = ["langcell"]
# ///
"""Name the cells of a data set on the Hub, and put the result into another one, on a machine of the Hub.

hf jobs uv run --secrets HF_TOKEN name_cells.py hf://datasets/org/cells/pbmc.h5ad org/named --labels "B cell,NK cell"
"""

import argparse
import sys
import tempfile
from pathlib import Path

from huggingface_hub import HfApi

import langcell
from langcell.processing.labels.splitting import split_labels


def main(arguments: list[str] | None = None) -> int:
    """Name, upload, and print where the result is."""
    options = _parser().parse_args(arguments)
    name = Path(options.cells).name.split(".")[0]
    try:
        with tempfile.TemporaryDirectory(prefix="langcell-job-") as folder:
            output = Path(folder) / f"{name}_named.h5ad"
            langcell.annotate(options.cells, split_labels(options.labels), output=output, model=options.model)
            # After the work: a name that cannot be made must not cost what was computed, but neither may a bad input
            # leave an empty repository behind.
            HfApi().create_repo(options.repo_id, repo_type="dataset", private=not options.public, exist_ok=True)
            HfApi().upload_file(
                path_or_fileobj=output,
                path_in_repo=output.name,
                repo_id=options.repo_id,
                repo_type="dataset",
                commit_message=f"Names of the cells of {options.cells}",
            )
            print(f"Wrote hf://datasets/{options.repo_id}/{output.name}")
    except (ValueError, OSError) as error:
        print(f"name_cells: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Name the cells of a file, and put the result into a data set.")
    parser.add_argument("cells", help="file of cells, such as hf://datasets/org/cells/pbmc.h5ad")
    parser.add_argument("repo_id", help="data set that gets the result, such as org/named; made where it is missing")
    parser.add_argument(
        "--labels",
        required=True,
        help="candidate labels with commas between them; put a name that has commas in quotes",
    )
    parser.add_argument("--model", default="langcell-mini", help="model: folder, Hub id, or langcell-mini (bundled)")
    parser.add_argument("--public", action="store_true", help="make a new data set public; it is private otherwise")
    return parser


if __name__ == "__main__":
    sys.exit(main())
