"""What PyTorch puts off until it is first used, done before anybody waits for it."""

from __future__ import annotations

import threading

import torch
from torch import nn


class _Thread(threading.local):
    is_prepared = False


_thread = _Thread()


def prepare_thread() -> None:
    """Have this thread compute with as many threads as `torch.set_num_threads` said, in whatever thread that was.

    PyTorch itself sees to that late: small layers that a new thread computes are handed to MKL, which takes as many
    threads as there are cores, and these wait for each other by spinning.
    """
    if not _thread.is_prepared:
        torch.get_num_threads()  # sets it for the thread that asks
        _thread.is_prepared = True


@torch.inference_mode(False)
@torch.enable_grad()
def warm_up() -> None:
    """Train one number, on the thread that will train.

    The first optimizer of a process imports PyTorch's compiler, some eight hundred modules. That takes a second or two,
    and holds the interpreter for up to a quarter of a second at a time.
    """
    prepare_thread()
    parameter = nn.Parameter(torch.zeros(1, 1, device="cpu"))  # no layer, which would draw random numbers
    optimizer = torch.optim.Adam([parameter])
    (parameter @ parameter).sum().backward()
    optimizer.step()
