"""Processes that may die: what was asked of one that did is asked of another, and a run goes on.

`worker` is one process, `pool` are several on many tasks, `hosted` is an object whose methods run in one.
"""
