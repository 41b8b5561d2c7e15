"""Steps of Adam, AdamW and SGD with torch's own fused kernels.

These are the functions that `torch.optim`'s classes call. To make one of the classes imports
torch's compiler, which takes as long as importing torch itself, and nothing is compiled here.

References: Kingma & Ba, "Adam", 2015; Loshchilov & Hutter, "Decoupled Weight Decay
Regularization", 2019.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.optim.adam import adam
from torch.optim.sgd import sgd

from budwood.settings import Optimizer

BETAS, EPSILON, MOMENTUM = (0.9, 0.999), 1e-8, 0.9


class FusedOptimizer:
    """Moves some parameters along their gradients, and remembers what the next step needs."""

    def __init__(
        self, parameters: Sequence[torch.nn.Parameter], kind: Optimizer, weight_decay: float
    ) -> None:
        """The decay is not used by Adam."""
        self._parameters, self._kind = list(parameters), kind
        self._decay = 0.0 if kind == "adam" else weight_decay
        self._means: dict[int, Tensor] = {}
        self._squares: dict[int, Tensor] = {}
        self._counts: dict[int, Tensor] = {}

    def zero_grad(self) -> None:
        """Forget the gradients of the last batch."""
        for parameter in self._parameters:
            parameter.grad = None

    @torch.no_grad()
    def step(self, lr: float) -> None:
        """Move each parameter that has a gradient; they share a learning rate."""
        moved = [i for i, p in enumerate(self._parameters) if p.grad is not None]
        new = [i for i in moved if i not in self._means]
        if self._kind != "sgd":
            for i in new:
                self._means[i] = torch.zeros_like(self._parameters[i])
                self._squares[i] = torch.zeros_like(self._parameters[i])
                self._counts[i] = torch.zeros(())
            self._adam(moved, lr)
        else:  # the first step has no momentum
            self._sgd(new, lr)
            self._sgd([i for i in moved if i not in new], lr)

    def _adam(self, numbers: list[int], lr: float) -> None:
        means, squares, counts = (
            [kept[i] for i in numbers] for kept in (self._means, self._squares, self._counts)
        )
        parameters, gradients = self._with_gradients(numbers)
        adam(
            parameters, gradients, means, squares, [], counts, fused=True, amsgrad=False, lr=lr,
            beta1=BETAS[0], beta2=BETAS[1], eps=EPSILON, weight_decay=self._decay, maximize=False,
            decoupled_weight_decay=self._kind == "adamw",
        )  # fmt: skip

    def _sgd(self, numbers: list[int], lr: float) -> None:
        means = [self._means.get(i) for i in numbers]
        parameters, gradients = self._with_gradients(numbers)
        sgd(
            parameters, gradients, means, fused=True, lr=lr, momentum=MOMENTUM,
            weight_decay=self._decay, dampening=0.0, nesterov=False, maximize=False,
        )  # fmt: skip
        self._means |= {i: m for i, m in zip(numbers, means, strict=True) if m is not None}

    def _with_gradients(self, numbers: list[int]) -> tuple[list[Tensor], list[Tensor]]:
        parameters: list[Tensor] = [self._parameters[i] for i in numbers]
        return parameters, [p.grad for p in parameters if p.grad is not None]
