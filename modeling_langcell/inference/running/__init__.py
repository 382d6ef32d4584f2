"""How cells get through a model: read, batch, share among processes, keep parts on the disk, and resume.

It uses `loading` and the floor `processing`; `naming`, `search` and `annotation` enter.
"""
