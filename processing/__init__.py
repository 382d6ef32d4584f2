"""Turning data into model inputs; imports nothing else of langcell."""
