"""Run by test_hub_round_trip.py in a process of its own: load a Hub folder as a user does, and save it again."""

import sys
from pathlib import Path

import numpy as np
import torch
import transformers
from anndata import AnnData
from scipy.sparse import csr_matrix

AUTO_CLASSES = ("AutoModel", "AutoModelForPreTraining", "AutoModelForSequenceClassification")


def outputs(
    folder: Path, cells: dict[str, np.ndarray], texts: list[str], saved_again: Path, **options
) -> dict[str, np.ndarray]:
    """Everything that the Auto classes compute from the folder, which is then saved to `saved_again`."""
    config = transformers.AutoConfig.from_pretrained(folder, **options)
    assert config.model_type == "langcell"
    processor = transformers.AutoProcessor.from_pretrained(folder, **options)
    extractor = transformers.AutoFeatureExtractor.from_pretrained(folder, **options)
    counts = csr_matrix(cells["counts"])
    names = [str(name) for name in cells["gene_names"]]
    adata = AnnData(counts)
    adata.var_names = names
    batch = processor(cells=counts, gene_names=names, text=texts, return_tensors="pt")
    ids, mask = batch["cell_input_ids"], batch["cell_attention_mask"]
    lists = [row[: kept.sum()].tolist() for row, kept in zip(ids, mask, strict=True)]
    for same in (processor(cells=adata, text=texts, return_tensors="pt"), processor(cells=lists, return_tensors="pt")):
        assert torch.equal(same["cell_input_ids"], ids)
    assert torch.equal(extractor(adata, return_tensors="pt")["cell_input_ids"], ids)
    results = {name: tensor.numpy() for name, tensor in batch.items()}
    models = [getattr(transformers, name).from_pretrained(folder, **options).eval() for name in AUTO_CLASSES]
    with torch.no_grad():
        for name, model in zip(AUTO_CLASSES, models[:2], strict=False):
            output = model(**batch, return_match_logits=True)
            for field in ("cell_embeds", "text_embeds", "logits_per_cell", "match_logits"):
                results[f"{name}.{field}"] = output[field].numpy()
        masked_genes = models[1](cell_input_ids=ids, cell_attention_mask=mask, return_masked_gene_logits=True)
        results["masked_gene_logits"] = masked_genes["masked_gene_logits"].numpy()
        classified = models[2](cell_input_ids=ids, cell_attention_mask=mask, output_hidden_states=True)
        results["classifier_states"] = classified.hidden_states[-1].numpy()
    results |= pipeline_outputs(folder, adata, texts, **options)
    models[1].save_pretrained(saved_again)
    processor.save_pretrained(saved_again)
    results["classes"] = np.array([type(thing).__name__ for thing in (config, processor, *models)])
    return results


def pipeline_outputs(folder: Path, adata: AnnData, texts: list[str], **options) -> dict[str, np.ndarray]:
    """Scores in the order of the texts, and embeddings, from both tasks of the folder's own pipeline."""
    name_cells = transformers.pipeline("zero-shot-cell-annotation", model=str(folder), device="cpu", **options)
    named = name_cells(adata, candidate_labels={text: text for text in texts}, batch_size=2)
    scores = [[dict(zip(cell["labels"], cell["scores"], strict=True))[text] for text in texts] for cell in named]
    # The task is one of transformers' own, whose name langcell does not take.
    trusting = {**options, "trust_remote_code": True}
    embed = transformers.pipeline("feature-extraction", model=str(folder), device="cpu", **trusting)
    embeddings = embed(adata, return_tensors=True)
    return {"pipeline.scores": np.array(scores), "pipeline.embeddings": embeddings.numpy()}


def main() -> None:
    """Arguments: with(out)-langcell, the Hub folder, an npz of cells, the npz and the folder to write, the texts."""
    mode, folder, cells, results, saved_again, *texts = sys.argv[1:]
    if mode == "with-langcell":
        import langcell

        print("langcell from", langcell.__file__)
        options = {}
    else:
        try:
            import langcell
        except ModuleNotFoundError:
            options = {"trust_remote_code": True}
        else:
            raise SystemExit("langcell can be imported, so this process would not test the folder's own code")
    with np.load(cells) as arrays:
        np.savez(results, **outputs(Path(folder), dict(arrays), texts, Path(saved_again), **options))


if __name__ == "__main__":
    main()
