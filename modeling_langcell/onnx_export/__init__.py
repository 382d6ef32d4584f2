"""A model as ONNX graphs: write them, and compare them with the torch model.

It uses the model, `loading` and `inference.scoring`; the command line enters.
"""
