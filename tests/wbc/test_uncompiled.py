"""torchvision without torch's compiler, and the compiler when it is wanted."""

import subprocess
import sys

SCRIPT = """
import sys
import wbc.backbones
assert not [name for name in sys.modules if name.startswith("torch._dynamo")]
import torch, torchvision
boxes = torch.tensor([[0.0, 0.0, 0.0, 4.0, 4.0]])
aligned = torchvision.ops.roi_align(torch.ones(1, 1, 8, 8), boxes, 2)
assert torch.equal(aligned, torch.ones(1, 1, 2, 2))
import torch._dynamo
assert callable(torch._dynamo.utils.is_compile_supported)
assert torch._dynamo.OptimizedModule
"""


def test_the_networks_do_not_wait_for_the_compiler_and_leave_it_whole() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
