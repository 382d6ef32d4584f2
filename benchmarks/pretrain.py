"""Cells a second of stage 1 at the paper's size: this repository's way and the plain way, in one process.

    python benchmarks/pretrain.py --cells pbmc3k.h5ad

The cells are real ones with raw counts: their lengths decide. Both ways train the same model (12 x 512, 25,427 gene
ids) with `masked_gene` and `cell_cell`, and read every cell twice a step. On a machine with other work the CPU time a
cell says more than the cells a second.

plain    every cell padded to 2,048 ids, eager attention, dropout 0.02 everywhere as in the paper, float32, AdamW that
         is not fused. One cell a pass: eager attention over 2,048 ids keeps 7 GB of activations for each.
float32  `training/pretrain.py` as it is: batches of like lengths, padded to their longest, SDPA, fused AdamW. On a CPU
         without dropout of attention weights, which would rule the fused kernel out (--attention-dropout).
bf16     the same with bf16 autocast.

On a GPU the same command measures there, with float32 replaced by TF32 for both; raise --batch until memory is full.
"""

import argparse
import json
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from accelerate.state import AcceleratorState

from langcell.configuration_langcell import LangCellConfig
from langcell.modeling_langcell import LangCellForPreTraining
from langcell.processing.cells.anndata_io import open_cells
from langcell.processing.feature_extraction_langcell import LangCellFeatureExtractor
from langcell.processing.genes import GeneVocabulary
from langcell.processing.rank_values import rank_encode
from langcell.processing.shards.writer import TEXT_COLUMNS, Description, ShardWriter
from langcell.training.pretrain import build
from langcell.training.settings.sections import Batch, CheckpointSection, ModelSection, PretrainConfig, ShardFolder
from langcell.training.speed.flops import BatchCounts, step_flops
from langcell.training.speed.throughput import peak_flops
from langcell.training.stage.stage import PretrainingStage, build_stage

PAPER_GENES = 25_424  # with pad, mask and `<cls>`: the paper's 25,427 rows
LONGEST = 2048


def write_shards(source: Path, folder: Path, *, cells: int) -> list[np.ndarray]:
    """Rank-encode `cells` cells, spread over the file; their ids."""
    with open_cells(source) as opened:
        names = [str(name) for name in opened.gene_names]
        chunks, total = list(opened.chunks()), opened.n_cells
    fillers = [f"ENSG{99_000_000_000 + i}" for i in range(PAPER_GENES - len(names))]
    ids = [*(f"ENSG{i:011d}" for i in range(len(names))), *fillers]
    vocabulary = GeneVocabulary(ids, np.ones(len(ids)), [*names, *fillers])
    index = np.arange(len(names))
    options = {"descriptions": [Description("", "")], "max_length": LONGEST, "sources": []}
    ids_of_cells: list[np.ndarray] = []
    with ShardWriter(folder / "shards", vocabulary, **options) as writer:
        done = 0
        wanted = np.linspace(0, total, min(cells, total), endpoint=False).astype(int)
        for chunk in chunks:
            size = chunk.counts.shape[0]
            rows = wanted[(wanted >= done) & (wanted < done + size)] - done
            done += size
            ranked = rank_encode(chunk.counts[rows], index, vocabulary, max_length=LONGEST)
            empty = np.full(len(ranked), "", dtype=object)
            writer.add(ranked, np.zeros(len(ranked), dtype=int), dict.fromkeys(TEXT_COLUMNS, empty))
            ids_of_cells += list(ranked)
    write_model(folder / "start", vocabulary)
    return ids_of_cells


def write_model(folder: Path, vocabulary: GeneVocabulary, *, attention_dropout: float = 0.02) -> None:
    """A fresh cell encoder of the paper's size; stage 1 does not touch the text encoder, so it is tiny."""
    torch.manual_seed(0)
    text = {"vocab_size": 8, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    cell = {"vocab_size": vocabulary.n_tokens, "attention_probs_dropout_prob": attention_dropout}
    config = LangCellConfig(cell_config=cell, text_config=text, vocabulary_fingerprint=vocabulary.fingerprint)
    LangCellForPreTraining(config).save_pretrained(folder)
    LangCellFeatureExtractor(vocabulary, max_length=LONGEST).save_pretrained(folder)


def config_of(folder: Path, name: str, *, precision: str, options: argparse.Namespace) -> PretrainConfig:
    """Return a run of as many steps as take `options.train_cells` cells."""
    steps = max(1, options.train_cells // options.batch)
    return PretrainConfig(
        stage=1,
        output_dir=str(folder / name),
        steps=steps,
        precision="bf16" if precision == "bf16" else "no",
        model=ModelSection(path=str(folder / "start"), compile=options.compile),
        data=[ShardFolder(path=str(folder / "shards"))],
        batch=Batch(size=options.batch, max_length=LONGEST, window=steps),
        checkpoint=CheckpointSection(every=steps, keep=1),
        trackers=[],
    )


def our_way(config: PretrainConfig, *, attention_dropout: float) -> dict[str, float]:
    """Speed of a run of `training/pretrain.py`, from its log, after a short pass that warms up."""
    AcceleratorState._reset_state(reset_partial_state=True)
    trainer = build(config)
    # The module, not the config: BERT reads the number from each attention.
    for layer in trainer.stage.model.cell_encoder.encoder.layer:
        layer.attention.self.dropout.p = attention_dropout
    warm_up = dict.fromkeys(("cell_description", "cell_type"), torch.tensor([-1, -1]))
    warm_up |= dict.fromkeys(("cell_input_ids", "cell_attention_mask"), torch.arange(2, 130).view(2, 64))
    warm_up["cell_attention_mask"] = torch.ones(2, 64, dtype=torch.long)
    warm_up = {name: tensor.to(trainer.accelerator.device) for name, tensor in warm_up.items()}
    trainer.accelerator.backward(trainer.wrapped(warm_up)["loss"])
    trainer.optimizer.zero_grad()
    trainer.start()
    used = time.process_time()
    trainer.run()
    used = time.process_time() - used
    lines = [json.loads(line) for line in (Path(config.output_dir) / "metrics.jsonl").read_text().splitlines()]
    seconds = sum(config.batch.size / line["cells_per_second"] for line in lines)
    cells = config.batch.size * len(lines)
    speed = {"cells_per_second": cells / seconds, "cpu_seconds_a_cell": used / cells}
    speed["data_wait"] = float(np.mean([line["data_wait"] for line in lines]))
    flops = sum(line["teraflops_per_second"] * config.batch.size / line["cells_per_second"] for line in lines)
    speed["teraflops_per_second"] = flops / seconds
    if trainer.meter.peak is not None:
        speed["model_flops_utilization"] = flops / seconds * 1e12 / trainer.meter.peak
    return speed


def plain_way(config: PretrainConfig, cells: list[np.ndarray]) -> dict[str, float]:
    """Return what one would write first: one cell a pass, one update at the end."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    config = replace(config, model=replace(config.model, attention="eager", compile=False))
    stage: PretrainingStage = build_stage(config).to(device).train()
    optimizer = torch.optim.AdamW([p for p in stage.parameters() if p.requires_grad], lr=1e-4, fused=False)
    unknown = torch.tensor([-1], device=device)
    started, used = time.perf_counter(), time.process_time()
    for ids in cells:
        padded = torch.zeros(1, LONGEST, dtype=torch.long, device=device)
        padded[0, : len(ids)] = torch.as_tensor(ids.astype(np.int64))
        batch = {"cell_input_ids": padded, "cell_attention_mask": (padded != 0).long()}
        losses = stage(batch | {"cell_description": unknown, "cell_type": unknown})
        (losses["loss"] / len(cells)).backward()
    torch.nn.utils.clip_grad_norm_(stage.parameters(), 1.0)
    optimizer.step()
    loss = float(losses["loss"].detach())  # waits for the device
    seconds, used = time.perf_counter() - started, time.process_time() - used
    print(f"  loss {loss:.2f}", flush=True)
    counts = BatchCounts.of_lengths(torch.tensor([len(ids) for ids in cells]))
    flops = sum(work.total for work in step_flops(stage.model.config, config.objectives, counts).values())
    speed = {"cells_per_second": len(cells) / seconds, "cpu_seconds_a_cell": used / len(cells)}
    speed["teraflops_per_second"] = flops / seconds / 1e12
    peak = peak_flops(device, precision="no")
    return speed if peak is None else speed | {"model_flops_utilization": flops / seconds / peak}


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=Path, required=True, help="h5ad of real cells with raw counts")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--train-cells", type=int, default=32, help="cells that our way trains on")
    parser.add_argument("--plain-cells", type=int, default=2, help="cells that the plain way trains on")
    parser.add_argument("--attention-dropout", type=float, default=0.02 if torch.cuda.is_available() else 0.0)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--ways", nargs="+", default=["plain", "float32", "bf16"])
    options = parser.parse_args()
    torch.set_float32_matmul_precision("high" if torch.cuda.is_available() else "highest")
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"{torch.get_num_threads()} CPU threads"
    results = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        cells = write_shards(options.cells, folder, cells=4096)
        lengths = np.array([len(ids) for ids in cells])
        print(f"{device}; cells of {lengths.mean():.0f} ids on average ({lengths.min()} to {lengths.max()})")
        for way in options.ways:
            print(way, flush=True)
            config = config_of(folder, way, precision=way, options=options)
            if way == "plain":
                middle = np.argsort(lengths)[len(cells) // 2 :][: options.plain_cells]
                results[way] = plain_way(config, [cells[i] for i in middle])
            else:
                results[way] = our_way(config, attention_dropout=options.attention_dropout)
            print("  " + json.dumps(results[way]), flush=True)
    base = results.get("plain", {}).get("cells_per_second")
    print("\n| way | cells/s | times plain | CPU s a cell | TFLOP/s | MFU | data wait |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for way, speed in results.items():
        times = f"{speed['cells_per_second'] / base:.1f}" if base else ""
        mfu = f"{speed['model_flops_utilization']:.0%}" if "model_flops_utilization" in speed else "unknown peak"
        wait = f"{speed['data_wait']:.2%}" if "data_wait" in speed else ""
        rate, cpu, tera = (speed[n] for n in ("cells_per_second", "cpu_seconds_a_cell", "teraflops_per_second"))
        print(f"| {way} | {rate:.3g} | {times} | {cpu:.1f} | {tera:.3g} | {mfu} | {wait} |")


if __name__ == "__main__":
    main()
