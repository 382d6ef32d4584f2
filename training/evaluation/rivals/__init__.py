"""What a model has to beat: methods that read no text, on the same cells.

It uses the inputs; the tasks enter.
"""
