# SPDX-License-Identifier: Apache-2.0
"""A model's file, and what it predicts of arrays, of tensors and as ONNX."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from dexndm_ros.training.dynamics.config import NetworkConfig
from dexndm_ros.training.dynamics.errors import DynamicsError
from dexndm_ros.training.dynamics.model import DynamicsModel
from dexndm_ros.training.dynamics.networks import DynamicsNet
from dexndm_ros.training.export import main as export


@pytest.fixture
def model():
    torch.manual_seed(3)
    net = DynamicsNet(NetworkConfig(window=4, width=8))
    with torch.no_grad():
        for p in net.parameters():
            p.normal_(0.0, 0.3)
    return DynamicsModel(net, {"seed": 3})


def rows(*lead):
    rng = np.random.default_rng(0)
    return rng.normal(size=(*lead, 4, 16)), rng.normal(size=(*lead, 4, 16))


def test_arrays_and_tensors_get_the_same_answer(model):
    q, a = rows(3, 5)
    found = model.predict(q, a)
    assert found.shape == (3, 5, 16)
    assert found.dtype == np.float32
    same = model.predict(torch.from_numpy(q).float(), torch.from_numpy(a).float())
    np.testing.assert_array_equal(found, same.numpy())
    np.testing.assert_allclose(model.predict(q[1, 2], a[1, 2]), found[1, 2], atol=1e-6)


def test_a_gradient_reaches_the_targets_and_leaves_the_model_alone(model):
    q, a = (torch.from_numpy(x).float() for x in rows(6))
    a.requires_grad_(True)
    model.predict(q, a).sum().backward()
    assert (a.grad != 0).all()
    assert all(p.grad is None for p in model.net.parameters())


def test_other_shapes_are_refused(model):
    q, a = rows(2)
    with pytest.raises(DynamicsError, match=r"must both be \(\.\.\., 4, 16\)"):
        model.predict(q[:, 1:], a[:, 1:])


def test_a_file_brings_the_model_back(model, tmp_path):
    model.save(tmp_path / "dynamics.pt")
    again = DynamicsModel.load(tmp_path)
    np.testing.assert_array_equal(again.predict(*rows(2)), model.predict(*rows(2)))
    assert (again.config, again.facts) == (model.config, {"seed": 3})


def test_what_is_no_model_is_told(tmp_path):
    with pytest.raises(DynamicsError, match="does not exist; give the --out folder"):
        DynamicsModel.load(tmp_path)
    (tmp_path / "dynamics.pt").write_bytes(b"no")
    with pytest.raises(DynamicsError, match="cannot be read as a model"):
        DynamicsModel.load(tmp_path)
    torch.save({"net": 1}, tmp_path / "dynamics.pt")
    with pytest.raises(DynamicsError, match="is no dynamics model"):
        DynamicsModel.load(tmp_path)


def test_a_model_of_other_joints_is_refused(model, tmp_path):
    model.save(tmp_path / "dynamics.pt")
    data = torch.load(tmp_path / "dynamics.pt", weights_only=True)
    torch.save(data | {"joints": data["joints"][::-1]}, tmp_path / "dynamics.pt")
    with pytest.raises(DynamicsError, match="of other joints"):
        DynamicsModel.load(tmp_path)


def test_the_exported_model_is_the_model(model, tmp_path, capsys):
    model.save(tmp_path / "dynamics.pt")
    path = tmp_path / "joint.onnx"
    assert export(["--run", str(tmp_path), "--out", str(path)]) == 0
    assert "largest difference" in capsys.readouterr().out
    session = onnxruntime.InferenceSession(str(path))
    for count in (1, 9):
        q, a = (x.astype(np.float32) for x in rows(count))
        (found,) = session.run(None, {"q": q, "a": a})
        np.testing.assert_allclose(found, model.predict(q, a), atol=1e-5)
    props = {p.key: p.value for p in onnx.load(path).metadata_props}
    assert (props["dexndm.window"], props["dexndm.structure"]) == ("4", "joint")
