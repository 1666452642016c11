"""`predict`: a model at work on pictures of any number."""

import argparse
import os
from typing import Any, Final

from wbc.commands.arguments import add_device, add_model

UNCERTAIN_BELOW: Final = 0.5  # the other classes together are likelier than the one decided on


def add(commands: Any) -> None:
    predict = commands.add_parser(
        "predict",
        help="classify files, folders and archives of pictures",
        epilog="The same command continues what was stopped. docs/predict.md has the columns.",
    )
    predict.add_argument(
        "paths",
        nargs="+",
        metavar="PATH",
        help="a picture, folder, quoted glob, zip or tar; - reads paths from stdin, one a line",
    )
    add_model(predict, ", or a .onnx file that `export` made")
    predict.add_argument(
        "--out",
        default="predictions.csv",
        help="the table: .csv, .jsonl or .parquet (default %(default)s)",
    )
    predict.add_argument(
        "--uncertain-below",
        type=share,
        default=UNCERTAIN_BELOW,
        metavar="P",
        help="flag a cell where its class has a smaller probability (default %(default)s)",
    )
    predict.add_argument(
        "--runtime",
        choices=("torch", "onnx"),
        help="onnx: ONNX Runtime on the CPU (docs/export.md); default torch, for a .onnx file onnx",
    )
    add_device(predict)
    predict.add_argument(
        "--fields",
        action="store_true",
        help="pictures are smear fields: find every leukocyte, one row each with its box",
    )
    predict.add_argument(
        "--annotate", metavar="FOLDER", help="with --fields: a picture of each field with boxes"
    )
    predict.add_argument(
        "--restart", action="store_true", help="begin anew; at the end --out is replaced"
    )
    predict.set_defaults(run=_predict, keeping=None)


def _predict(options: argparse.Namespace) -> None:
    let_threads_sleep()
    from wbc.predicting import command

    command.run(options)


def let_threads_sleep() -> None:
    """Before torch is imported, which reads it: else its threads wait for each other in a busy loop
    and take the cores from the processes that prepare. Changes no number; what the user has set
    stays."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise argparse.ArgumentTypeError(f"expected a number from 0 to 1, not {text!r}")
    return share
