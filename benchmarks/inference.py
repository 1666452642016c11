"""Inference on the CPU: plain eager PyTorch, this project's network, ONNX Runtime, in turn.

    python -m benchmarks.inference [--networks googlenet ...] [--rounds 5] [--batch 64] [--size 224]
    python -m benchmarks.inference --networks googlenet --pictures DIR    # also predict as a whole

Random weights whose batch norm has seen drawn cells, so that answers differ from cell to cell.
*plain* is torchvision's module as it comes: NCHW, batch norm by itself, under inference_mode.
OpenVINO is measured too where it is installed (pip install openvino; nothing here needs it).
About 4 minutes for GoogLeNet with pictures, 5 for all networks without, on two idle cores.
"""

import argparse
import copy
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from benchmarks import inference_predict
from benchmarks.peers import as_torchvision_has_it
from benchmarks.rounds import in_turn, median, ratio
from wbc import model
from wbc.architectures import ARCHITECTURES
from wbc.backbones import Network
from wbc.cells import CLASSES
from wbc.device import pick
from wbc.exporting import command, onnx_runtime
from wbc.exporting.check import drawn_squares, relative_error
from wbc.model import Classifier

Squares = NDArray[np.uint8]
Contender = Callable[[Squares], NDArray[np.float32]]  # squares to logits

SINGLES = 8  # single images a turn
HEADER = (
    "| network | batch | plain, images/s | this project | ONNX Runtime | OpenVINO"
    " | largest relative error | same classes |\n" + "|---" * 8 + "|"
)


def main() -> None:
    arguments = parse_arguments()
    print(pick("cpu").name)
    print(HEADER)
    for name in arguments.networks:
        classifier, contenders = contenders_of(name, arguments.size)
        for batch in (1, arguments.batch):
            print(row(name, contenders, batch, arguments), flush=True)
        if arguments.pictures:
            print(f"\n{inference_predict.HEADER}")
            for line in inference_predict.rows(classifier, arguments):
                print(line, flush=True)


def random_classifier(name: str, size: int) -> Classifier:
    """With batch-norm statistics of drawn cells: else deep networks always say the same."""
    torch.manual_seed(1)
    network = Network(name, 0.0, frozen_batch_norm=False)
    images = torch.from_numpy(drawn_squares(size, 16)).permute(0, 3, 1, 2).float() / 255
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None  # a plain mean
    with torch.no_grad():
        network.train()(images)
    card = {
        "architecture": name, "classes": list(CLASSES), "decision": "argmax",
        "log_prior": [0.0] * len(CLASSES), "temperature": 1.0,
        "input": {"size": size, "crop": "none", "context": 1.5},
    }  # fmt: skip
    return model.classifier(network, card, "cpu")


def contenders_of(name: str, size: int) -> tuple[Classifier, dict[str, Contender]]:
    classifier = random_classifier(name, size)
    content, _ = command.exported(classifier, "", "onnx", name)
    contenders: dict[str, Contender] = {
        "plain": plain(classifier.network),
        "ours": lambda squares: classifier.outputs(squares).logits,
        "onnx": lambda squares: session.outputs(squares).logits,
    }
    session = onnx_runtime.classifier_of(content, name)
    if other := openvino(content):
        contenders["openvino"] = other
    return classifier, contenders


def plain(network: Network) -> Contender:
    twin = copy.deepcopy(network).eval().to(memory_format=torch.contiguous_format)
    as_torchvision_has_it(twin)
    parts = [part for block in twin.blocks for part in block.parts]

    def run(squares: Squares) -> NDArray[np.float32]:
        with torch.inference_mode():
            images = torch.from_numpy(squares).permute(0, 3, 1, 2).contiguous().float() / 255
            x = (images - twin.mean) / twin.std
            for part in parts:
                x = part(x)
            return x.numpy()

    return run


def openvino(content: bytes) -> Contender | None:
    try:
        import openvino as ov
    except ImportError:
        return None
    options = {
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32",
    }
    core = ov.Core()
    compiled = core.compile_model(core.read_model(content), "CPU", options)
    return lambda squares: compiled(squares)[0]


def row(
    name: str, contenders: dict[str, Contender], batch: int, arguments: argparse.Namespace
) -> str:
    squares = drawn_squares(arguments.size, min(batch, 16))
    squares = np.resize(squares, (batch, *squares.shape[1:]))
    repeats = SINGLES if batch == 1 else 1
    rates = in_turn(
        {key: rate_of(run, squares, repeats) for key, run in contenders.items()}, arguments.rounds
    )
    several = drawn_squares(arguments.size, 10)
    answers = {key: run(several) for key, run in contenders.items()}
    errors = [relative_error(answers["plain"], answer) for answer in answers.values()]
    same = all((x.argmax(1) == answers["plain"].argmax(1)).all() for x in answers.values())
    cells = [f"{median(rates, 'plain'):.1f}"]
    for key in ("ours", "onnx", "openvino"):
        known = key in rates
        cells.append(f"{median(rates, key):.1f}, x{ratio(rates, key, 'plain')}" if known else "")
    return f"| {name} | {batch} | {' | '.join(cells)} | {max(errors):.0e} | {same} |"


def rate_of(run: Contender, squares: Squares, repeats: int) -> Callable[[], float]:
    def rate() -> float:
        begin = time.perf_counter()
        for _ in range(repeats):
            run(squares)
        return repeats * len(squares) / (time.perf_counter() - begin)

    return rate


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", nargs="+", default=list(ARCHITECTURES))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--pictures", type=Path, help="also measure predict on these")
    parser.add_argument("--num-pictures", type=int, default=1500)
    parser.add_argument("--predict-rounds", type=int, default=2)
    parser.add_argument("--runtimes", nargs="+", default=["torch", "onnx"])
    return parser.parse_args()


if __name__ == "__main__":
    main()
