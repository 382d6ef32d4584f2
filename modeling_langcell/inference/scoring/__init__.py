"""Scores of cells and labels, by any kind of model: similarity, match, early stop, reference cells.

It uses the model alone and `loading`; everybody in `inference` enters.
"""
