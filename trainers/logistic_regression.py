"""Solves many small logistic regressions at once."""

import numpy as np
import torch

MAX_ITERATIONS = 100
# The largest difference of a multiplier from its value at the optimum, as a share of the inverse penalty C.
TOLERANCE = 1e-13


def fit_heads(
    features: np.ndarray, labels: np.ndarray, inverse_penalty: float = 1.0, device: str | torch.device = "cpu"
) -> tuple[np.ndarray, np.ndarray]:
    """Solves independent logistic regressions with an L2 penalty to convergence, all in one batch, in float64.

    Each problem minimises `|w|^2 / 2 + C * sum(log(1 + exp(-y (w x + b))))` with y = 1 or -1, as scikit-learn's
    `LogisticRegression` does. The bias b is not penalised. There are far fewer samples than features, so the method
    solves for one multiplier per sample, `w = sum(a x)`, by Newton steps. At the optimum `a = C (t - p)`, where t is
    the label, 0 or 1, and p the probability (Rasmussen and Williams 2006, section 3.4, with an additional free bias).

    Args:
        features (`np.ndarray` of shape `(problems, samples, size)`): the samples of each problem.
        labels (`np.ndarray` of bool, shape `(problems, samples)`): both values must occur in each problem.
        inverse_penalty (`float`, *optional*, defaults to 1): C, above 0.
        device (`str` or `torch.device`, *optional*, defaults to `"cpu"`): where the problems are solved. A device
            without float64, such as Apple's MPS, leaves them to the CPU.

    Returns:
        The weights `(problems, size)` and biases `(problems,)`, float64.
    """
    device = torch.device(device)
    where = "cpu" if device.type == "mps" else device
    samples = torch.from_numpy(np.asarray(features, np.float64)).to(where)
    targets = torch.from_numpy(np.asarray(labels, np.float64)).to(where)
    kernel = samples @ samples.transpose(1, 2)  # (problems, samples, samples)
    multipliers = torch.zeros_like(targets)
    biases = torch.zeros_like(targets[:, :1])
    objective = _objective(kernel, targets, multipliers, biases, inverse_penalty)
    for _ in range(MAX_ITERATIONS):
        new_multipliers, new_biases = _newton_step(kernel, targets, multipliers, biases, inverse_penalty)
        step = torch.ones_like(biases)
        for _ in range(30):  # the step is halved where it would increase the objective
            tried = multipliers + step * (new_multipliers - multipliers), biases + step * (new_biases - biases)
            found = _objective(kernel, targets, *tried, inverse_penalty)
            uphill = found > objective + 1e-12 * objective.abs()
            if not uphill.any():
                break
            step = torch.where(uphill.unsqueeze(1), step / 2, step)
        multipliers, biases, objective = *tried, found
        probabilities = torch.sigmoid((kernel @ multipliers.unsqueeze(2)).squeeze(2) + biases)
        residual = (multipliers - inverse_penalty * (targets - probabilities)).abs().amax()
        if residual < TOLERANCE * inverse_penalty:
            break
    weights = (multipliers.unsqueeze(1) @ samples).squeeze(1)
    return weights.cpu().numpy(), biases.squeeze(1).cpu().numpy()


def fit_classes(
    features: np.ndarray,
    targets: np.ndarray,
    classes: int,
    inverse_penalty: float = 1.0,
    device: str | torch.device = "cpu",
) -> tuple[np.ndarray, np.ndarray]:
    """Solves classifications of the same samples by several sets of features, such as the layers of an encoder.

    Two classes are one logistic regression, whose value the logits of the classes differ by. With more classes, there
    is one regression for each class against all others, whose value is the logit of the class.

    Args:
        features (`np.ndarray` of shape `(sets, samples, size)`).
        targets (`np.ndarray` of int, shape `(samples,)`): class indices. Each class occurs.
        classes (`int`): how many classes there are, at least 2.
        inverse_penalty (`float`, *optional*, defaults to 1): as in [`fit_heads`].
        device (`str` or `torch.device`, *optional*, defaults to `"cpu"`): as in [`fit_heads`].

    Returns:
        The weights `(sets, classes, size)` and biases `(sets, classes)` of the logits, float64.
    """
    sets, samples, size = features.shape
    if classes == 2:
        weights, biases = fit_heads(features, np.tile(targets == 1, (sets, 1)), inverse_penalty, device)
        return np.stack([-weights / 2, weights / 2], axis=1), np.stack([-biases / 2, biases / 2], axis=1)
    labels = np.tile(targets == np.arange(classes)[:, None], (sets, 1))  # (sets * classes, samples)
    weights, biases = fit_heads(np.repeat(features, classes, axis=0), labels, inverse_penalty, device)
    return weights.reshape(sets, classes, size), biases.reshape(sets, classes)


def _newton_step(
    kernel: torch.Tensor, targets: torch.Tensor, multipliers: torch.Tensor, biases: torch.Tensor, inverse_penalty: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """The multipliers and biases at the minimum of the quadratic approximation around the current point."""
    values = (kernel @ multipliers.unsqueeze(2)).squeeze(2) + biases
    probabilities = torch.sigmoid(values)
    curvature = inverse_penalty * probabilities * (1 - probabilities)
    root = curvature.sqrt()
    # I + W^1/2 K W^1/2, whose eigenvalues are at least 1 even if the curvature is tiny.
    matrix = root.unsqueeze(2) * kernel * root.unsqueeze(1)
    matrix.diagonal(dim1=1, dim2=2).add_(1.0)
    factor = torch.linalg.cholesky(matrix)
    # Two right-hand sides: one for the multipliers at a bias of zero, one for how they change with the bias.
    sides = torch.stack([inverse_penalty * (targets - probabilities) + curvature * values, curvature], dim=2)
    inner = torch.cholesky_solve(root.unsqueeze(2) * (kernel @ sides), factor)
    at_zero, change = (sides - root.unsqueeze(2) * inner).unbind(dim=2)
    # The bias is not penalised, so the multipliers must sum to zero.
    new_biases = at_zero.sum(dim=1, keepdim=True) / change.sum(dim=1, keepdim=True)
    return at_zero - new_biases * change, new_biases


def _objective(
    kernel: torch.Tensor, targets: torch.Tensor, multipliers: torch.Tensor, biases: torch.Tensor, inverse_penalty: float
) -> torch.Tensor:
    values = (kernel @ multipliers.unsqueeze(2)).squeeze(2)
    margins = (2 * targets - 1) * (values + biases)
    losses = inverse_penalty * torch.nn.functional.softplus(-margins).sum(dim=1)
    return (multipliers * values).sum(dim=1) / 2 + losses
