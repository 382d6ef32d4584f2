"""From shards to batches: streams that several ranks share and that resume exactly, texts, collation.

It uses `langcell.processing.shards` and `settings`; `stage`, `pretraining` and the benchmarks enter.
"""
