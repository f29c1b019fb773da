import pytest
import torch
from sklearn.metrics import accuracy_score

from lilliput.core import Accuracy, TaskError


def test_it_is_the_share_of_right_classes_over_all_batches():
    draw = torch.Generator().manual_seed(0)
    outputs = [torch.randn(n, 5, generator=draw) for n in (7, 30, 1)]
    labels = [torch.randint(5, (n,), generator=draw) for n in (7, 30, 1)]
    metric = Accuracy()
    for y, t in zip(outputs, labels, strict=True):
        metric.update(y, t)
    wanted = accuracy_score(torch.cat(labels), torch.cat(outputs).argmax(1))
    assert metric.compute() == pytest.approx(wanted)
    metric.reset()
    with pytest.raises(TaskError, match="no examples"):
        metric.compute()


@pytest.mark.parametrize(
    ("outputs", "labels", "said"),
    [
        (torch.zeros(3, 4), torch.tensor([0, 1, 4]), "a label is 4, but the network has 4 classes"),
        (torch.zeros(3, 4), torch.tensor([0, -1, 2]), "a label is -1"),
        (torch.zeros(3, 4), torch.zeros(3), r"got float32 \[3\]"),
        (torch.zeros(3, 4), torch.zeros(3, 1).long(), r"got int64 \[3, 1\]"),
        (torch.zeros(3), torch.zeros(3).long(), r"takes outputs \[batch, classes\]"),
        ((torch.zeros(3, 4),), torch.zeros(3).long(), "got tuple"),
    ],
)
def test_what_would_count_wrongly_is_refused(outputs, labels, said):
    with pytest.raises(TaskError, match=said):
        Accuracy().update(outputs, labels)
