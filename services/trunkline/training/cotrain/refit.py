"""A kept classifier on the finished trunk: its last layer once more, by least squares on the teacher's logits."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from trunkline.training.cotrain.kept import Classifier

# Of the mean of the eigenvalues; the largest leaves the layer nearly as it is.
_RIDGES = (1e-3, 1e-2, 1e-1, 1.0, 10.0)
_HELD_BACK = 10  # each tenth picture chooses the ridge


def refitted(net: Classifier, vectors: np.ndarray, logits: np.ndarray) -> float:
    """Move the one linear layer of the net, in place, where that makes more answers those of the teacher.

    vectors: float32 (N, C), of the trunk; logits: float32 (N, K), of the teacher, for the same pictures. Returns the
    ridge that was chosen; 0 where the layer stays as it is, as with nets of several layers.
    """
    layers = [layer for layer in net.modules() if isinstance(layer, nn.Linear)]
    if len(layers) != 1 or len(vectors) < 2 * _HELD_BACK:
        return 0.0
    layer = layers[0]
    held = np.arange(len(vectors)) % _HELD_BACK == 0
    want = logits[held].argmax(axis=1)
    inputs = np.concatenate([vectors, np.ones((len(vectors), 1), np.float32)], axis=1).astype(
        np.float64
    )  # (N, C + 1)
    weight, bias = layer.weight.detach().numpy(), layer.bias.detach().numpy()
    start = np.concatenate([weight, bias[:, None]], axis=1).T.astype(np.float64)  # (C + 1, K)
    best, chosen, ridge = _agreement(inputs[held] @ start, want), start, 0.0
    for candidate in _RIDGES:
        moved = start + _step(inputs[~held], logits[~held] - inputs[~held] @ start, candidate)
        found = _agreement(inputs[held] @ moved, want)
        if found > best:
            best, chosen, ridge = found, moved, candidate
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(chosen[:-1].T.copy()))
        layer.bias.copy_(torch.from_numpy(chosen[-1].copy()))
    return ridge


def _step(inputs: np.ndarray, missing: np.ndarray, ridge: float) -> np.ndarray:
    """float64 (C + 1, K): what is to be added so that (N, C + 1) gives what is missing, (N, K), and little else."""
    gram = inputs.T @ inputs
    gram[np.diag_indices_from(gram)] += ridge * np.trace(gram) / len(gram)
    found: np.ndarray = np.linalg.solve(gram, inputs.T @ missing)
    return found


def _agreement(answers: np.ndarray, want: Sequence[int] | np.ndarray) -> float:
    return float((answers.argmax(axis=1) == want).mean())
