import subprocess
import sys

import torch

from tests.fusion.capture.fx.models import assert_same, mlp


def test_a_model_by_name_forward_and_backward():
    assert_same(mlp(), torch.randn(32, 16))


def test_the_package_is_imported_without_torch():
    code = "import sys, workbench, workbench.fusion; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
