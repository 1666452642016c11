"""`differential` and `review`: what a slide holds, and a person's answers to what is unsure."""

import argparse
from typing import Any

from wbc.commands.arguments import CHAMPION, add_device
from wbc.commands.numbers import natural
from wbc.commands.predicting import UNCERTAIN_BELOW, let_threads_sleep, share


def add(commands: Any) -> None:
    _add_differential(commands)
    _add_review(commands)


def _add_differential(commands: Any) -> None:
    differential = commands.add_parser(
        "differential",
        help="count the five types on every slide of a folder",
        epilog="The same command counts again, with a person's answers. docs/differential.md has"
        " what the columns mean.",
    )
    differential.add_argument(
        "folder", metavar="DIR", help="pictures of single cells, or of fields"
    )
    differential.add_argument(
        "--fields",
        action="store_true",
        help="pictures are smear fields: every leukocyte found in them is a cell",
    )
    differential.add_argument(
        "--model",
        action="append",
        dest="models",
        metavar="MODEL",
        help=f"a version in the registry (default {CHAMPION}) or a folder such"
        " as models/googlenet; several times to compare, the first one leads",
    )
    differential.add_argument(
        "--slides",
        default="folders",
        metavar="RULE",
        help="folders (default): each folder in DIR is a slide; one: DIR is; or a regular"
        " expression for file names, with the slide in its first parentheses, as '^([^_]+)_'",
    )
    differential.add_argument(
        "--out", default="differential", metavar="FOLDER", help="(default %(default)s)"
    )
    differential.add_argument(
        "--ranges", metavar="FILE", help="your laboratory's reference ranges, as YAML"
    )
    differential.add_argument(
        "--uncertain-below",
        type=share,
        default=UNCERTAIN_BELOW,
        metavar="P",
        help="leave a cell to a person where its class has a smaller probability"
        " (default %(default)s)",
    )
    differential.add_argument(
        "--explain", action="store_true", help="show where the network looked (Grad-CAM)"
    )
    add_device(differential)
    differential.add_argument(
        "--restart", action="store_true", help="judge all pictures anew; answers are kept"
    )
    differential.set_defaults(run=_differential)


def _add_review(commands: Any) -> None:
    review = commands.add_parser(
        "review",
        help="answer for the cells that a differential left to a person",
        epilog="docs/differential.md says what becomes of the answers.",
    )
    review.add_argument("out", metavar="FOLDER", help="what differential wrote (its --out)")
    review.add_argument(
        "--port", type=natural, default=0, help="on 127.0.0.1 (default: one that is free)"
    )
    review.add_argument("--reviewer", default="", help="who answers (default: the user's name)")
    review.add_argument(
        "--export",
        metavar="FOLDER",
        help="serve nothing; write the answers as a labelled source, as data/incoming/reviewed",
    )
    review.set_defaults(run=_review)


def _differential(options: argparse.Namespace) -> None:
    let_threads_sleep()
    from wbc.slides import command

    options.models = options.models or [CHAMPION]
    command.run(options)


def _review(options: argparse.Namespace) -> None:
    from wbc.reviewing import command

    command.run(options)
