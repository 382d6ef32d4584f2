"""What a run costs: FLOPs, throughput, model FLOPs utilisation, and the tables of SCALING.md.

It uses `settings` and the model; `pretraining` and the benchmarks enter.
"""
