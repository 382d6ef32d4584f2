"""Labelled cells of a user's file: the label column, its values, the ontology ids beside it.

It uses `langcell.processing`; `fine_tuning` and `evaluation` enter.
"""
