"""From scores to labels: options, confidence, calibration, smoothing, back-off in the ontology, output columns.

It uses `scoring` and `running`; `annotation`, the app, the reports and the evaluation enter.
"""
