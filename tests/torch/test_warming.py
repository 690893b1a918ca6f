from __future__ import annotations

import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn

from pamiq_async.torch import TorchTrainingModel, warming
from pamiq_async.torch.warming import prepare_thread, warm_up


@pytest.fixture
def prepared(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The threads that asked PyTorch how many threads to compute with, which it then does."""
    asked: list[int] = []
    monkeypatch.setattr(torch, "get_num_threads", lambda: asked.append(threading.get_ident()))
    monkeypatch.setattr(warming, "_thread", warming._Thread())
    return asked


def test_each_thread_is_prepared_once(prepared: list[int], threads: ThreadPoolExecutor) -> None:
    prepare_thread()
    prepare_thread()
    assert prepared == [threading.get_ident()]
    threads.submit(prepare_thread).result()
    assert len(set(prepared)) == 2


def test_a_thread_is_prepared_before_it_infers(prepared: list[int]) -> None:
    asked_before: list[int] = []

    class Net(nn.Module):
        def forward(self) -> None:
            asked_before.append(len(prepared))

    model = TorchTrainingModel(Net()).inference_model
    model()
    assert asked_before == [1]


def test_a_thread_is_prepared_before_it_gets_the_module(prepared: list[int]) -> None:
    with TorchTrainingModel(nn.Linear(1, 1)).inference_model.unwrap():
        assert len(prepared) == 1


def test_warming_up_prepares_the_thread_and_loads_what_optimizers_need(prepared: list[int]) -> None:
    with torch.inference_mode():
        warm_up()
    assert prepared == [threading.get_ident()]
    assert "torch._dynamo" in sys.modules


def test_warming_up_leaves_random_numbers_alone() -> None:
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    warm_up()
    assert torch.equal(torch.rand(3), expected)
