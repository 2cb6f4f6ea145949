"""The keeper: nothing without a folder, names under a prefix, and identities that name what differs."""

import pytest
import torch

from trilineage.core.errors import ArtifactError
from trilineage.training.checkpoint import CheckpointStore
from trilineage.training.distributed import Processes
from trilineage.training.resuming import Keeper, under_prefix, with_prefix
from trilineage.training.state import TrainingState


def test_without_a_folder_nothing_is_kept():
    keeper = Keeper(None, {}, Processes(), every_s=0.0)
    keeper.save(TrainingState(), {}, scaler={})
    assert (keeper.is_due(), keeper.load(), keeper.kept_step) == (False, None, None)


def test_names_come_back_from_under_their_prefix():
    tensors = with_prefix("model", {"a.b/c": torch.ones(1)}) | with_prefix("modelled", {"x": torch.ones(1)})
    assert list(under_prefix("model", tensors)) == ["a.b/c"]


def test_what_was_kept_comes_back(tmp_path):
    keeper = Keeper(CheckpointStore(tmp_path, "a"), {"seed": 1}, Processes(), every_s=100.0)
    keeper.save(TrainingState(step=4, loss_sum=0.1), {"w": torch.arange(3)}, scaler={"scale": 2.0})
    again = Keeper(CheckpointStore(tmp_path, "a"), {"seed": 1}, Processes(), every_s=100.0)
    found = again.load()
    assert (found.state.loss_sum, found.scaler, again.kept_step) == (0.1, {"scale": 2.0}, 4)
    assert torch.equal(found.tensors["w"], torch.arange(3))


def test_an_identity_that_differs_is_refused(tmp_path):
    store = CheckpointStore(tmp_path, "a")
    Keeper(store, {"seed": 1}, Processes(), every_s=0.0).save(TrainingState(), {}, scaler={})
    with pytest.raises(ArtifactError, match="seed: 1 then, 2 now"):
        Keeper(store, {"seed": 2}, Processes(), every_s=0.0).load()
