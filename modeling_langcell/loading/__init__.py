"""From a folder, a Hub id or an adapter to a model that is ready: files, checks, number types, ONNX.

It uses the model and `processing`; everybody above enters. Start with `langcell.load`.
"""
