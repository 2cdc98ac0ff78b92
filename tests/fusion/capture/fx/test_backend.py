import copy
import shutil
import subprocess
import sys

import pytest
import torch

import workbench as wb
from tests.fusion.capture.fx.models import assert_same, mlp


def test_a_model_by_name_forward_and_backward():
    assert_same(mlp(), torch.randn(32, 16))


def test_the_package_is_imported_without_torch():
    code = "import sys, workbench, workbench.fusion; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.skipif(shutil.which("g++") is None, reason="Inductor needs a C++ compiler")
def test_inductor_computes_regions_where_that_is_asked_for():
    model, x = mlp(), torch.randn(32, 16)
    compiled = torch.compile(copy.deepcopy(model), backend="workbench", options={"inductor": "always"})
    for each in (model, compiled):
        each(x).square().sum().backward()
    for one, other in zip(model.parameters(), compiled.parameters(), strict=True):
        torch.testing.assert_close(other.grad, one.grad)
    plan = wb.fusion.explain(compiled)
    assert {kernel.kind for kernel in plan.kernels} == {"extern", "inductor"}
    assert plan.launches == 0
