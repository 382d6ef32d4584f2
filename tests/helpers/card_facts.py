"""What `langcell finetune` writes down of a model, as cards get it."""

FINE_TUNED = {
    "task": "text", "method": "lora", "data": "blood.h5ad", "label_column": "type", "cells": 10, "validation_cells": 2,
    "base": {"model_id": "org/base", "revision": "abc", "weights": "0123456789ab", "vocabulary_fingerprint": "f" * 64},
    "labels": [
        {"name": "B cell", "text": "cell type: b cell;", "ontology_term_id": "CL:0000236", "cells": 5},
        {"name": "odd | cells", "text": "odd cells", "ontology_term_id": None, "cells": 5},
    ],
    "shots": 6, "seed": 0, "steps": 100, "batch_size": 16, "learning_rate": 1e-3, "weight_decay": 0.01,
    "gene_dropout": 0.5, "balance": "sampling", "patience": 5, "lora_rank": 8, "lora_alpha": 16, "lora_dropout": 0.0,
    "strength": 0.5, "reference": True, "langcell_version": "0.1.0",
}  # fmt: skip
