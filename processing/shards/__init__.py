"""Tokenized Parquet shards as they lie on the disk: write, read, count and check them, and their manifest.

It uses `files`; `tokenization`, `simulation` and `training` fill and read it.
"""
