"""Start-up: how long a stage takes before it does anything, and the commands around it.

python -m benchmarks.startup [--rounds 3]
"""

import argparse
import statistics
import subprocess
import sys
import time

STAGES = ("download", "split", "preprocess", "train", "evaluate", "compare")
COMMANDS = {
    **{f"import stages.{name}": ("-c", f"import stages.{name}") for name in STAGES},
    "import torch and torchvision": ("-c", "import torch, torchvision"),
    "python -m wbc check": ("-m", "wbc", "check"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    for line in table(parser.parse_args().rounds):
        print(line)


def table(num_rounds: int) -> list[str]:
    """Lines of Markdown; the first round, which fills the disk's cache, is left out."""
    seconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for number in range(num_rounds + 1):
        for name, arguments in COMMANDS.items():
            begin = time.perf_counter()
            subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
            if number:
                seconds[name].append(time.perf_counter() - begin)
    rows = [
        f"| {name} | {statistics.median(values):.1f} | {min(values):.1f}-{max(values):.1f} |"
        for name, values in seconds.items()
    ]
    return ["| command | seconds, median | spread |", "|---|---|---|", *rows]


if __name__ == "__main__":
    main()
