"""One file per evaluation task (`run(context, **options) -> TaskResult`), and the baselines beside them.

It uses `inputs`, `metrics` and `reports`; only `registry` enters, by name.
"""
