"""The one place that picks device and precision."""

import contextlib
import ctypes
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from wbc.errors import UserError, lacking_memory, one_line

# From malloc.h: blocks above the first come from the kernel and go back to it at once; free memory
# above the second, at the heap's end, goes back as well.
_M_MMAP_THRESHOLD, _M_TRIM_THRESHOLD = -3, -1
_LARGEST = 1 << 30
# AMD's architectures that compute in bf16: CDNA, RDNA 3 and newer. torch says yes for every one.
_BF16_ON_ROCM = ("gfx908", "gfx90a", "gfx94", "gfx95", "gfx11", "gfx12")
# Those whose convolutions are fast with channels last: CDNA 2 and newer. On Radeons MIOpen has few
# kernels for it and takes ones that are many times slower (pytorch/pytorch#170947).
_CHANNELS_LAST_ON_ROCM = ("gfx90a", "gfx94", "gfx95")


@dataclass(frozen=True)
class Device:
    """What to compute on: a torch device type, Lightning's names for it, and words for the log."""

    type: Literal["cpu", "cuda"]  # torch calls ROCm devices cuda as well
    precision: Literal["32-true", "bf16-mixed"]
    name: str

    @property
    def accelerator(self) -> str:
        return "gpu" if self.type == "cuda" else "cpu"

    @property
    def exactly(self) -> str:
        """What the last digits of a result depend on, whatever the parameters leave open."""
        return f"{self.name}, torch {torch.__version__}"


def pick(
    device: str = "auto",
    precision: str | int = "auto",
    threads: int = 0,
    local_rank: int = 0,
    local_size: int = 1,
) -> Device:
    """Choose by `train.device`, `train.precision` and `train.threads` (0: all cores).

    From then on the process computes deterministically. Of `local_size` processes on one machine,
    the one with `local_rank` gets the GPU of that number, or an even share of all cores.

    Raises:
        UserError: a GPU, or a precision, is asked for and is not there.
    """
    torch.set_num_threads(threads or max(1, num_cores() // local_size))
    _keep_freed_memory()
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # what CUDA needs for the next line
    # As use_deterministic_algorithms(True), which also imports the compiler, 2 s, to tell it so.
    torch.set_deterministic_debug_mode("error")
    deterministic: Any = torch.utils.deterministic
    deterministic.fill_uninitialized_memory = False  # it is for finding faults, and costs time
    torch.backends.cudnn.allow_tf32 = False  # 32 bit would mean 19 in NVIDIA's convolutions
    gpu = torch.cuda.is_available()
    if device == "gpu" and not gpu:
        build = f"ROCm {torch.version.hip}" if torch.version.hip else f"CUDA {torch.version.cuda}"
        raise UserError(
            f"train.device is gpu, but torch {torch.__version__} (built for {build}) sees none; set"
            " train.device: cpu, or install the right build with `make repro TORCH=rocm` or"
            " TORCH=cuda (consumer AMD cards also need HSA_OVERRIDE_GFX_VERSION, see the README)."
        )
    if device == "cpu" or not gpu:
        return _cpu(precision)
    if local_size > 1:
        _take_own_gpu(local_rank, local_size)
    _refuse_what_cannot_compute()
    return _gpu(precision)


def num_cores() -> int:
    """The cores that this process may use, which in a cluster's job are not all there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def send(values: Tensor, device: torch.device) -> Tensor:
    """To the device, without waiting for it; what is there already stays."""
    if device.type == "cuda" and not values.is_cuda:
        values = values.pin_memory()
    return values.to(device, non_blocking=True)


@contextlib.contextmanager
def within_memory(remedy: str) -> Iterator[None]:
    """Turn errors about memory, a GPU's or the machine's, into a sentence.

    Raises:
        UserError: instead of them; `remedy` says what to do.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if place := lacking_memory(error):
            raise UserError(f"The memory of {place} is not enough; {remedy}.") from None
        raise


def _take_own_gpu(local_rank: int, local_size: int) -> None:
    count = torch.cuda.device_count()
    if count < local_size:
        raise UserError(
            f"Each process needs a GPU of its own, but there are {local_size} processes and"
            f" {count} GPUs on this machine; set train.processes: {count}, or start the rest on"
            " other machines (docs/clusters.md)."
        )
    torch.cuda.set_device(local_rank)


def _refuse_what_cannot_compute() -> None:
    """A GPU may be listed and have no code for it in this build of torch."""
    try:
        torch.ones(1, device="cuda").add(1).item()
    except RuntimeError as error:
        raise UserError(
            f"{torch.cuda.get_device_name()} is there, but torch {torch.__version__} cannot compute"
            f" on it ({one_line(error, 120)}); set train.device: cpu, end what fills its memory, or"
            " install the right build with `make repro TORCH=rocm` or TORCH=cuda (consumer AMD"
            " cards also need HSA_OVERRIDE_GFX_VERSION, see the README)."
        ) from None


def _cpu(precision: str | int) -> Device:
    """In bf16 only where that is asked for, so that `auto` gives the same on more machines."""
    words = f"CPU, {torch.get_num_threads()} threads"
    if precision != "bf16":
        return Device("cpu", "32-true", f"{words}, 32 bit")
    able = torch.cpu.get_capabilities()
    if not (able.get("avx512_bf16") or able.get("amx_bf16")):
        raise UserError(
            "train.precision is bf16, but this CPU has no instructions for it (avx512_bf16 or amx)"
            " and would be several times slower; set train.precision: auto."
        )
    return Device("cpu", "bf16-mixed", f"{words}, bf16")


def _gpu(precision: str | int) -> Device:
    system = f"CUDA {torch.version.cuda}"
    if torch.version.hip:
        system = f"ROCm {torch.version.hip}, {_choose_layout()}"
    has_bf16 = _has_bf16()
    if precision == "bf16" and not has_bf16:
        raise UserError(
            f"train.precision is bf16, but {torch.cuda.get_device_name()} does not compute in it;"
            " set train.precision: auto or 32."
        )
    half = has_bf16 and precision != 32
    words = f"{torch.cuda.get_device_name()}, {system}, {'bf16' if half else '32 bit'}"
    return Device("cuda", "bf16-mixed" if half else "32-true", words)


def _choose_layout() -> str:
    """Have MIOpen compute in the layout that is fast on this card, if nobody chose one; its name.

    torch asks the environment at every convolution, and has had either answer as its own.
    """
    fast = _rocm_architecture().startswith(_CHANNELS_LAST_ON_ROCM)
    chosen = os.environ.setdefault("PYTORCH_MIOPEN_SUGGEST_NHWC", "1" if fast else "0")
    return "channels first" if chosen == "0" else "channels last"


def _has_bf16() -> bool:
    if torch.version.hip:
        return _rocm_architecture().startswith(_BF16_ON_ROCM)
    return bool(torch.cuda.is_bf16_supported(including_emulation=False))


def _rocm_architecture() -> str:
    """As HSA_OVERRIDE_GFX_VERSION has it, where that is set."""
    device: Any = torch.cuda.get_device_properties(torch.cuda.current_device())
    return str(device.gcnArchName)


def _keep_freed_memory() -> None:
    """Have glibc keep large blocks that were freed, instead of asking the kernel for them anew,
    page by page, at every layer; other C libraries are left alone.
    """
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return
    mallopt(_M_MMAP_THRESHOLD, _LARGEST) or mallopt(_M_MMAP_THRESHOLD, 32 << 20)  # older glibc
    mallopt(_M_TRIM_THRESHOLD, _LARGEST)
