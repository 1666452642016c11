"""What the studies of this package are told on the command line."""

import argparse
import dataclasses
from pathlib import Path

from benchmarks.generalisation.study import Study
from benchmarks.generalisation.variants import ABLATION, VARIANTS
from wbc import params


def common_arguments(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    parser.add_argument("--pbc", type=Path, required=True, help="class folders")
    parser.add_argument(
        "--weights", type=_file, required=True, help="of --network, ImageNet's; none: random"
    )
    parser.add_argument("--work", type=Path, required=True, help="folder for all that is made")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--network", default="mobilenet_v2")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--threads", type=int, default=2, help="other digits with another number")
    return parser


def study_arguments(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Those of whatever tries several variants."""
    parser = common_arguments(parser)
    parser.add_argument("--variants", nargs="+", default=list(ABLATION), choices=list(VARIANTS))
    parser.add_argument("--views", type=int, choices=(1, 8), default=1, help="of each cell tried")
    parser.add_argument("--look", type=Path, help="KRD-WBC's folder")
    return parser


def _file(words: str) -> Path | None:
    return None if words == "none" else Path(words)


def study_of(arguments: argparse.Namespace) -> Study:
    settings = params.load(Path("params.yaml"))
    train = dataclasses.replace(settings.train, threads=arguments.threads)
    return Study(
        dataclasses.replace(settings, train=train),
        arguments.work.resolve(),
        arguments.weights,
        arguments.network,
        arguments.size,
        arguments.epochs,
        arguments.views,
    )
