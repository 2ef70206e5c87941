"""Measurements as commands: ratios taken in one run on one core, never absolute claims and never timed tests.

`relay` starts the real server, an echo server and a naive server as subprocesses, one after the other and again, and
loads each from a raw-socket generator on the other core. Source: docs/status.md.
"""
