"""Killed at moments that are counted, not met by luck, a training ends in the same bytes.

The rest of them: `python -m benchmarks.kills`.
"""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
# What is killed where, and the epoch after which the next start goes on.
MOMENTS = {
    "after optimizer step": 2,
    "before scores": 2,
    "half of last.ckpt.part": 2,
    "after rename of last.ckpt.part": 3,
    "half of removal of scratch": 4,
    "half of weights": 4,
}
SCRIPT = """
import sys
from pathlib import Path
from benchmarks.kills import choose, copy, prepare, preload, reference, try_kills
folder = Path(sys.argv[1])
prepare(folder / "template")
preload()
copy(folder / "template", folder / "undisturbed")
expected, moments = reference(folder / "undisturbed")
for place in choose(moments, 1):
    if moments[place] in sys.argv[2:]:
        trial = try_kills(folder / "template", folder / "killed", expected, (place,))
        print(trial.moments[0], trial.resumed[0], trial.equal, sep="; ")
        print("" if trial.equal else trial.log, file=sys.stderr)
"""


def test_a_training_killed_anywhere_ends_in_the_same_bytes(tmp_path: Path) -> None:
    # In a process of its own, because it forks children, which other tests' threads would not let.
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path), *MOMENTS],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    found = [tuple(line.split("; ")) for line in done.stdout.splitlines()]
    expected = [(name, str(epoch), "True") for name, epoch in MOMENTS.items()]
    assert found == expected, done.stderr
