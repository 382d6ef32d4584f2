"""Numbers from predictions: classification, ranking, confidence, integration, ontology, uncertainty.

The lowest room of `evaluation`: it uses no other room, and every room enters.
"""
