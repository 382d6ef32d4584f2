"""A few mean expression profiles of real cell types with invented values."""

from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData

N_GENES = 300
IDS = [f"ENSG{i:011d}" for i in range(N_GENES)]


def write_profiles(path: Path) -> Path:
    """Three profiles, two types, three tissues, as `CellProfiles.read` takes them."""
    obs = pd.DataFrame(
        {
            "cl_id": ["CL:0000236", "CL:0000084", "CL:0000084"],
            "uberon_id": ["UBERON:0000178", "", "UBERON:0002048"],
            "tissue_clean": ["blood", "tumor", "lung"],
            "study": ["one", "one", "two"],
            "profile_scale": "linear",
        },
        index=["a", "b", "c"],
    )
    var = pd.DataFrame({"ensembl_id": IDS, "in_langcell_vocab": True}, index=[f"G{i}" for i in range(N_GENES)])
    values = np.random.default_rng(0).lognormal(0, 1.5, (3, N_GENES))
    AnnData(values, obs=obs, var=var).write_h5ad(path)
    return path
