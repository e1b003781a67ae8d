# SPDX-License-Identifier: Apache-2.0
"""Networks that see their own joints only, equal whichever way they are computed."""

from __future__ import annotations

import pytest
import torch

from dexndm_ros.training.dynamics.config import NetworkConfig
from dexndm_ros.training.dynamics.networks import DynamicsNet, flops_a_transition

STRUCTURES = {"joint": 1, "finger": 4, "hand": 16}


def random_net(structure: str, shared: bool = False, **settings) -> DynamicsNet:
    torch.manual_seed(1)
    net = DynamicsNet(NetworkConfig(structure=structure, window=5, width=12, **settings), shared)
    with torch.no_grad():  # the last layer begins at zero, which would hide all else
        for p in net.parameters():
            p.normal_(0.0, 0.3)
        net.mean.normal_()
        net.spread.uniform_(0.5, 2.0)
    return net


def windows(count: int = 7) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(2)
    return torch.randn(count, 5, 16), torch.randn(count, 5, 16)


@pytest.mark.parametrize("structure", STRUCTURES)
@pytest.mark.parametrize("activation", ["silu", "relu"])
def test_one_product_and_one_network_after_the_other_are_equal(structure, activation):
    found = []
    for batched in (True, False):
        net = random_net(structure, activation=activation)
        net.mlp.batched = batched
        q, a = windows()
        a.requires_grad_(True)
        out = net(q, a)
        out.square().sum().backward()
        found.append([out.detach(), a.grad, *(p.grad for p in net.parameters())])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("structure", STRUCTURES)
def test_a_joint_is_predicted_from_its_own_group_alone(structure):
    net, (q, a) = random_net(structure), windows(1)
    before = net(q, a)[0]
    for joint in range(16):
        moved = q.clone()
        moved[:, :, joint] += 0.1
        changed = (net(moved, a)[0] != before).nonzero().flatten().tolist()
        size = STRUCTURES[structure]
        first = joint // size * size
        assert changed == list(range(first, first + size))


def test_every_step_of_the_history_counts():
    net, (q, a) = random_net("joint"), windows(1)
    for step in range(5):
        for rows in (q, a):
            moved = rows.clone()
            moved[:, step] += 0.1
            args = (moved, a) if rows is q else (q, moved)
            assert (net(*args) != net(q, a)).all()


@pytest.mark.parametrize("structure", ["joint", "finger"])
def test_copies_of_a_shared_network_predict_what_it_predicted(structure):
    net, (q, a) = random_net(structure, shared=True), windows()
    torch.testing.assert_close(net.unshared()(q, a), net(q, a))


@pytest.mark.parametrize("shared", [True, False])
def test_no_window_is_no_prediction(shared):
    nothing = torch.zeros(0, 5, 16)
    assert random_net("joint", shared)(nothing, nothing).shape == (0, 16)


def test_a_network_that_has_learned_nothing_says_that_nothing_moves():
    net = DynamicsNet(NetworkConfig(window=5))
    assert (net(*windows()) == 0).all()


def test_flops_are_those_of_the_products_that_training_computes():
    # Of a product's three (forward, weights' gradient, inputs' gradient) the first layer needs no last one.
    config = NetworkConfig(structure="hand", window=10, width=64, layers=2, skip=False)
    assert flops_a_transition(config) == 4 * 320 * 64 + 6 * (64 * 64 + 64 * 16)
    config = NetworkConfig(structure="joint", window=10, width=64, layers=2)
    assert flops_a_transition(config) == 16 * (4 * (20 * 64 + 20) + 6 * (64 * 64 + 64))
