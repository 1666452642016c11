"""Device and precision: what is asked for, or a sentence."""

import os
from types import SimpleNamespace

import pytest
import torch

from wbc import device
from wbc.errors import UserError


def test_cpu_always_works_in_32_bit() -> None:
    chosen = device.pick("cpu", "auto", 1)
    assert (chosen.type, chosen.accelerator, chosen.precision) == ("cpu", "cpu", "32-true")
    assert torch.are_deterministic_algorithms_enabled()
    assert torch.get_num_threads() == 1 and "CPU, 1 threads" in chosen.name


def test_a_gpu_that_is_not_there_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match=r"train\.device is gpu.*HSA_OVERRIDE_GFX_VERSION"):
        device.pick("gpu", "auto", 1)
    assert device.pick("auto", "auto", 1).type == "cpu"


@pytest.mark.parametrize("name", ["avx512_bf16", "amx_bf16"])
def test_a_cpu_computes_in_bf16_where_it_can_and_only_if_asked(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {name: True})
    assert device.pick("cpu", "bf16", 1).precision == "bf16-mixed"
    assert device.pick("cpu", "auto", 1).precision == "32-true"


def test_bf16_on_another_cpu_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": False})
    with pytest.raises(UserError, match=r"train\.precision is bf16.*auto"):
        device.pick("cpu", "bf16", 1)


@pytest.mark.parametrize(
    ("has_bf16", "asked", "precision"),
    [(True, "auto", "bf16-mixed"), (False, "auto", "32-true"), (True, 32, "32-true")],
)
def test_a_gpu_computes_in_bf16_where_it_can(
    monkeypatch: pytest.MonkeyPatch, has_bf16: bool, asked: str | int, precision: str
) -> None:
    pretend_gpu(monkeypatch, has_bf16)
    chosen = device.pick("auto", asked, 1)
    assert (chosen.type, chosen.accelerator, chosen.precision) == ("cuda", "gpu", precision)
    assert chosen.name.startswith("Radeon, ROCm 7.2")


@pytest.mark.parametrize(
    ("architecture", "precision", "channels_last"),
    [
        ("gfx1030", "32-true", "0"),  # RDNA 2: the RX 6650M XT under its override
        ("gfx906:sramecc+:xnack-", "32-true", "0"),
        ("gfx1100", "bf16-mixed", "0"),
        ("gfx90a:sramecc+:xnack-", "bf16-mixed", "1"),
        ("gfx942", "bf16-mixed", "1"),
    ],
)
def test_on_rocm_the_card_itself_is_asked(
    monkeypatch: pytest.MonkeyPatch, architecture: str, precision: str, channels_last: str
) -> None:
    pretend_gpu(monkeypatch, has_bf16=True)  # as torch says of every one
    named = SimpleNamespace(gcnArchName=architecture)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: named)
    chosen = device.pick("auto", "auto", 1)
    assert chosen.precision == precision
    assert os.environ["PYTORCH_MIOPEN_SUGGEST_NHWC"] == channels_last
    assert ("channels last" in chosen.exactly) == (channels_last == "1")


def test_a_layout_that_was_chosen_by_hand_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend_gpu(monkeypatch, has_bf16=True)  # a Radeon
    monkeypatch.setenv("PYTORCH_MIOPEN_SUGGEST_NHWC", "1")
    assert "channels last" in device.pick("auto", "auto", 1).exactly  # other last digits
    assert os.environ["PYTORCH_MIOPEN_SUGGEST_NHWC"] == "1"


def test_a_gpu_that_this_torch_has_no_code_for_is_a_sentence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pretend_gpu(monkeypatch, has_bf16=True)

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("HIP error: invalid device function")

    monkeypatch.setattr(torch, "ones", fail)
    with pytest.raises(UserError, match=r"Radeon is .* invalid device .* HSA_OVERRIDE_GFX_VERSION"):
        device.pick("auto", "auto", 1)


def test_bf16_asked_of_a_gpu_without_it_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend_gpu(monkeypatch, has_bf16=False)
    with pytest.raises(UserError, match="Radeon does not compute in it"):
        device.pick("gpu", "bf16", 1)


def test_processes_share_the_cores_and_have_a_gpu_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device.os, "cpu_count", lambda: 64)
    monkeypatch.setattr(device.os, "sched_getaffinity", lambda _: range(5))  # of a cluster's job
    device.pick("cpu", "auto", threads=0, local_size=2)
    assert torch.get_num_threads() == 2
    taken = []
    pretend_gpu(monkeypatch, has_bf16=True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", taken.append)
    device.pick("auto", "auto", 1, local_rank=1, local_size=2)
    assert taken == [1]
    with pytest.raises(UserError, match=r"3 processes and 2 GPUs.*set train\.processes: 2"):
        device.pick("gpu", "auto", 1, local_rank=0, local_size=3)


def pretend_gpu(monkeypatch: pytest.MonkeyPatch, has_bf16: bool) -> None:
    monkeypatch.setenv("PYTORCH_MIOPEN_SUGGEST_NHWC", "")  # to be as it was afterwards
    monkeypatch.delenv("PYTORCH_MIOPEN_SUGGEST_NHWC")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Radeon")
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: has_bf16)
    monkeypatch.setattr(torch.version, "hip", "7.2")
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    named = SimpleNamespace(gcnArchName="gfx1100" if has_bf16 else "gfx1030")
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: named)
    monkeypatch.setattr(torch, "ones", lambda *_, device: torch.zeros(1))
