"""Find cells by text or by example, exactly or with an approximate index.

It uses `running` and `scoring`; the command line, the app and the evaluation enter.
"""
