from dataclasses import replace

import pytest
import torch
from tests.graph.structures import Words
from torch import Tensor, nn

from lilliput.core import Model, PassError, run
from lilliput.export import export, load
from lilliput.graph import channel_groups, trace
from lilliput.prune import PruneChannels, PruneVocabulary
from lilliput.targets import get_target
from lilliput.testing import TINY_TASKS, PassContract


class TestPruneVocabulary(PassContract):
    tasks = ("two_input_transformer",)

    @pytest.fixture
    def pass_(self, task) -> PruneVocabulary:
        return PruneVocabulary(3, task)


class Two(nn.Module):
    """Words by id, and positions that the network works out."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(30, 4, padding_idx=29), nn.Embedding(9, 4)
        self.head = nn.Linear(4, 2)

    def forward(self, ids: Tensor) -> Tensor:
        places = torch.arange(ids.shape[1]) + (ids == 29).sum(1, keepdim=True).clamp(max=2)
        return self.head((self.words(ids) + self.places(places)).mean(1))


@pytest.fixture
def model() -> Model:
    torch.manual_seed(0)
    return Model(Two().eval(), (torch.randint(0, 29, (2, 5)),))


def test_kept_ids_give_the_same_and_others_what_unknown_gives(model: Model) -> None:
    small = run(model, [PruneVocabulary(7, keep=(4, 2, 11))])
    kept = torch.tensor([[4, 2, 11, 7, 29]])
    assert torch.equal(small.module(kept), model.module(kept))
    lost, unknown = torch.tensor([[4, 5, 12, 0, 29]]), torch.tensor([[4, 7, 7, 7, 29]])
    assert torch.equal(small.module(lost), model.module(unknown))
    rows = small.module.words.rows
    assert torch.equal(rows.weight, model.module.words.weight[[2, 4, 7, 11, 29]])
    assert rows.padding_idx == 4
    assert small.module.words.table.dtype == torch.int32


@pytest.mark.parametrize("layer", ["words", "places"])
def test_a_task_says_which_ids_are_used(model: Model, layer: str) -> None:
    """Ids that are an input are read from the data; others are seen while the network runs."""
    _, task = TINY_TASKS["two_input_transformer"]()
    batches = [(torch.tensor([[1, 3, 29], [5, 3, 1]]), None), (torch.tensor([[8, 8, 8]]), None)]
    task = replace(task, train=batches, split=lambda batch: batch)
    small = run(model, [PruneVocabulary(3, task, layer=layer)])
    expected = [1, 3, 5, 8, 29] if layer == "words" else [0, 1, 2, 3]
    rows = small.module.get_submodule(layer).rows.weight
    assert torch.equal(rows, model.module.get_submodule(layer).weight[expected])
    for ids, _ in batches:
        assert torch.equal(small.module(ids), model.module(ids))


def test_goes_on_from_a_smaller_vocabulary(model: Model) -> None:
    once = run(model, [PruneVocabulary(7, keep=(2, 4))])
    twice = run(once, [PruneVocabulary(7, keep=(4, 5))])
    assert torch.equal(twice.module.words.rows.weight, model.module.words.weight[[4, 7, 29]])
    ids = torch.tensor([[4, 2, 5, 7]])
    assert torch.equal(twice.module(ids), model.module(torch.tensor([[4, 7, 7, 7]])))


def test_the_file_takes_the_old_ids(model: Model, tmp_path) -> None:
    small = run(model, [PruneVocabulary(7, keep=tuple(range(10)))])
    artifact = export(small, get_target("onnxruntime-cpu"), tmp_path)
    ids = torch.randint(0, 30, (3, 5))
    (got,) = load(artifact.path, artifact.format)((ids.numpy(),))
    torch.testing.assert_close(torch.from_numpy(got), small.module(ids))


def test_the_features_can_still_go(model: Model) -> None:
    small = run(model, [PruneVocabulary(7, keep=(1,)), PruneChannels(0.5)])
    assert not small.notes
    assert small.module.get_submodule("words").rows.weight.shape == (3, 2)
    assert not channel_groups(trace(small)).skipped


def test_refuses_an_embedding_that_the_output_shares() -> None:
    model = Model(Words().eval(), (torch.randint(0, 11, (2, 5)),))
    with pytest.raises(PassError, match=r"'embed' are also the weight of linear in 'head'.*untie"):
        run(model, [PruneVocabulary(0, keep=(1, 2))])


class Sides(nn.Module):
    """Words read on two sides, scaled by what the code asks of the embedding."""

    def __init__(self, is_one_module: bool) -> None:
        super().__init__()
        self.enc = nn.Embedding(30, 4, padding_idx=29)
        self.dec = self.enc if is_one_module else nn.Embedding(30, 4, padding_idx=29)
        self.dec.weight = self.enc.weight
        self.head = nn.Linear(4, 2)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        is_word = (source != self.enc.padding_idx) & (source < self.enc.num_embeddings)
        words = self.enc(source) * self.enc.embedding_dim**0.5 * is_word[..., None]
        return self.head((words + self.dec(target)).mean(1))


def test_an_embedding_of_two_names_goes_under_both() -> None:
    torch.manual_seed(0)
    ids = torch.tensor([[4, 2, 7, 29, 7]]), torch.tensor([[2, 4, 29, 7, 2]])
    model = Model(Sides(is_one_module=True).eval(), ids)
    small = run(model, [PruneVocabulary(7, keep=(2, 4))])
    assert small.module.dec is small.module.enc
    assert sum(p.numel() for p in small.module.parameters()) == 4 * 4 + 10
    assert torch.equal(small.module(*ids), model.module(*ids))
    again = run(small, [PruneVocabulary(7, keep=(2,))]).module.dec
    assert (again.num_embeddings, again.embedding_dim, again.padding_idx) == (30, 4, 29)


def test_refuses_a_weight_that_another_embedding_shares() -> None:
    ids = torch.randint(0, 29, (2, 5))
    model = Model(Sides(is_one_module=False).eval(), (ids, ids))
    with pytest.raises(PassError, match=r"'enc' are also the weight of embedding in 'dec'.*untie"):
        run(model, [PruneVocabulary(0, keep=(1, 2))])


@pytest.mark.parametrize(
    ("pass_", "message"),
    [
        (PruneVocabulary(30, keep=(1,)), "'words' has ids 0 to 29, got 30"),
        (PruneVocabulary(0, keep=(1,), layer="wards"), "'wards'; did you mean 'words'"),
    ],
)
def test_refuses_what_is_not_there(model: Model, pass_: PruneVocabulary, message: str) -> None:
    with pytest.raises(PassError, match=message):
        run(model, [pass_])


def test_refuses_a_network_without_embedding() -> None:
    model = Model(nn.Linear(2, 2), (torch.randn(1, 2),))
    with pytest.raises(PassError, match=r"no nn\.Embedding"):
        run(model, [PruneVocabulary(0, keep=(1,))])


def test_asks_for_what_says_which_ids_stay() -> None:
    with pytest.raises(ValueError, match="pass a task"):
        PruneVocabulary(0)
    with pytest.raises(ValueError, match="0 or more, got -1"):
        PruneVocabulary(0, keep=(3, -1))
