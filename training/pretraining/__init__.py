"""The pre-training loop: optimizer, non-finite steps, validation, tracking, resume points.

It uses `stage`, `data`, `checkpointing` and `settings`; `pretrain.py` enters.
"""
