"""Adapters and full fine-tuning from labelled cells, merging, and what a fine-tuned folder holds.

It uses `labelled`, `objectives` and `stage`; `finetune.py`, the command line and the evaluation enter.
"""
