"""Pictures that were made to be mistaken, within so many steps of 255 of each pixel.

Sources: Goodfellow et al., Explaining and Harnessing Adversarial Examples, 2015, section 4 (FGSM); Madry et al.,
Towards Deep Learning Models Resistant to Adversarial Attacks, 2018, section 2.1 (PGD, here with a random start).
"""

from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

Attack = Literal["fgsm", "pgd"]
_STEPS = 10  # of PGD
_REACH = 2.5  # that all steps together go, in epsilons


def attacked(net: nn.Module, pixels: np.ndarray, labels: np.ndarray, attack: Attack, epsilon: float) -> np.ndarray:
    """uint8 (N, H, W, C), int64 (N,) -> uint8 (N, H, W, C) that the net calls something else where it can be made to.

    epsilon: the most that a pixel changes, in steps of 255. Net: float32 (N, H, W, C) -> logits (N, K).
    """
    clean, truth = torch.from_numpy(pixels.astype(np.float32)), torch.from_numpy(labels)
    found = _fgsm(net, clean, truth, epsilon) if attack == "fgsm" else _pgd(net, clean, truth, epsilon)
    low, high = (clean - epsilon).clamp(0, 255).ceil(), (clean + epsilon).clamp(0, 255).floor()
    whole = torch.minimum(torch.maximum(found.round(), low), high)
    return whole.to(torch.uint8).numpy()


def _fgsm(net: nn.Module, clean: Tensor, truth: Tensor, epsilon: float) -> Tensor:
    return clean + epsilon * _gradient(net, clean, truth).sign()


def _pgd(net: nn.Module, clean: Tensor, truth: Tensor, epsilon: float) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    found = clean + epsilon * (2 * torch.rand(clean.shape, generator=generator) - 1)
    for _ in range(_STEPS):
        found = found + _REACH * epsilon / _STEPS * _gradient(net, found.clamp(0, 255), truth).sign()
        found = torch.minimum(torch.maximum(found, clean - epsilon), clean + epsilon).clamp(0, 255)
    return found


def _gradient(net: nn.Module, pixels: Tensor, truth: Tensor) -> Tensor:
    """Of the loss by the pixels, of their shape."""
    pixels = pixels.detach().requires_grad_()
    loss = nn.functional.cross_entropy(net(pixels), truth, reduction="sum")
    (found,) = torch.autograd.grad(loss, pixels)
    return found
