"""weights@ARCH: the weights a network starts from, as a file with a hash; offline after this."""

import sys
from pathlib import Path

from stages._run import run
from wbc import params, weights


def main() -> None:
    architecture = sys.argv[1]
    choice = params.load(Path("params.yaml")).model.weights
    weights.resolve(architecture, choice, Path(), Path("models") / architecture / "start")


if __name__ == "__main__":
    run(main)
