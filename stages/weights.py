"""weights@ARCH: the weights a network starts from, as a file with a hash; offline after this."""

from pathlib import Path

from stages._run import named_architecture, run
from wbc import params, weights


def main() -> None:
    settings = params.load(Path("params.yaml"))
    architecture = named_architecture(settings.architectures)
    start = Path("models") / architecture / "start"
    weights.resolve(architecture, settings.model.weights, Path(), start)


if __name__ == "__main__":
    run(main)
