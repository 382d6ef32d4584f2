"""Checkpoints of a pre-training run: write, keep, export, and record where the weights come from.

It uses `settings`; `pretraining` and `pretrain.py` enter.
"""
