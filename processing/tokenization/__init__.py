"""From cells to shards at scale: plan the work, share it among processes, rank genes, and resume.

It uses `sources`, `shards` and `vocabulary`; the command line enters through `tokenize`.
"""
