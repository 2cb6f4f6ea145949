"""Two processes pretrain one encoder, as on a cluster: one Run, finished, with weights that both can read."""

from pathlib import Path

import numpy as np
from together import run_together

from trilineage.core.artifacts import Run


def test_two_processes_leave_one_finished_run_whose_loss_fell(smears, tmp_path):
    script = Path(__file__).with_name("paired_pretrain.py")
    first, second = run_together(script, tmp_path, str(smears / "manifest.csv"))
    run = Run.open(tmp_path / "run")
    assert run.is_complete
    assert not run.checkpoints_dir.exists()
    assert set(first) == set(second)
    assert all(np.array_equal(value, second[name]) for name, value in first.items())
    assert len(first["losses"]) == 4
    assert first["losses"][-1] < first["losses"][0]
