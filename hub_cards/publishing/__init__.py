"""From a folder to a Hub repository: which kind it is, checks of contents and card, upload.

It uses `cards`; the command line enters.
"""
