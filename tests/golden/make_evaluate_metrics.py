"""Write evaluate_metrics.json: ranking metrics as torchmetrics and SciPy compute them.

torchmetrics is needed for this script alone: pip install --no-deps torchmetrics==1.9.0 lightning-utilities.
Run as `python tests/golden/make_evaluate_metrics.py`. Scores are multiples of 1/64, so ties are exact in
any float format.
"""

import json
from pathlib import Path

import numpy as np
import scipy
import torch
import torchmetrics
from scipy.stats import mannwhitneyu
from torchmetrics.functional.classification import binary_auroc, binary_average_precision, binary_roc

CASES = {
    # name: (normal loops, odd loops, shift of the odd ones, steps of the score grid)
    "few loops": (7, 3, 0.2, 64),
    "balanced": (60, 60, 0.1, 64),
    "rare odd loops": (200, 9, 0.15, 64),
    "more odd than normal": (24, 150, 0.2, 64),
    "many ties": (80, 40, 0.15, 8),
    "worse than chance": (50, 30, -0.15, 64),
}


def main() -> None:
    torch.set_default_dtype(torch.float64)
    cases = []
    for seed, (name, (n_normal, n_odd, shift, steps)) in enumerate(CASES.items()):
        rng = np.random.default_rng(seed)
        is_odd = np.repeat([0, 1], [n_normal, n_odd])
        scores = np.clip(np.round((rng.beta(3, 4, is_odd.size) + shift * is_odd) * steps) / steps, 0, 1)
        preds, target = torch.tensor(scores), torch.tensor(is_odd)
        fpr, tpr, _ = binary_roc(preds, target)
        u = mannwhitneyu(scores[is_odd == 1], scores[is_odd == 0]).statistic
        expected = {
            "auroc": float(u) / (n_normal * n_odd),
            "average_precision": float(binary_average_precision(preds, target)),
            "partial_auroc_10": float(binary_auroc(preds, target, max_fpr=0.1)),
            "detection_1": float(tpr[fpr <= 0.01].max()),
            "detection_5": float(tpr[fpr <= 0.05].max()),
        }
        cases.append(
            {"name": name, "is_odd": is_odd.tolist(), "score": scores.tolist(), "expected": expected}
        )
    record = {
        "made_with": {"torchmetrics": torchmetrics.__version__, "scipy": scipy.__version__},
        "cases": cases,
    }
    path = Path(__file__).with_name("evaluate_metrics.json")
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
