"""Teach a model which cell types a sentence of function speaks of.

It reads a trained model and the sentences of `type_sentences.tsv`; `package_model` enters.
"""
