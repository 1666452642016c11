"""The commands of `python -m wbc`, a module a group; each has `add` for its parsers.

Imports that take long stand inside the functions, so that no command waits for another's.
"""
