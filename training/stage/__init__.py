"""One stage of pre-training: model, frozen texts, distribution over devices, gradient caching.

It uses `objectives`, `data` and `settings`; `pretraining` and `fine_tuning` enter.
"""
