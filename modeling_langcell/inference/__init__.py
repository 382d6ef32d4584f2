"""Naming, embedding and finding cells with a trained model."""
