"""Entry of `python -m wbc`."""

from wbc.cli import main

main()
