"""The texts of every error, word for word."""

from __future__ import annotations

import pickle

import pytest

from workbench import training
from workbench.engine.errors import WorkbenchError, WorkbenchWarning
from workbench.training import errors

RAISED = [
    (
        errors.stage_memory(
            2,
            ("node14", "node22"),
            3.1e9,
            2e9,
            versions=4,
            parameter_bytes=410e6,
            in_flight=6,
            activation_bytes=230e6,
            remedies=['schedule="2bw" (1.9 GB)', "recompute=True (1.4 GB)", "5 stages"],
        ),
        training.StageMemoryError,
        "Stage 2 (node14 to node22) needs 3.1 GB: 4 weight versions × 410 MB + 6 in-flight activations × 230 MB; "
        "a worker has 2.0 GB.",
        'Try schedule="2bw" (1.9 GB), recompute=True (1.4 GB) or 5 stages.',
    ),
    (
        errors.stage_memory(
            0,
            ("node1", "node1"),
            5e9,
            2e9,
            versions=1,
            parameter_bytes=1e9,
            in_flight=1,
            activation_bytes=1e9,
            kept_bytes=3e9,
        ),
        training.StageMemoryError,
        "Stage 0 (node1) needs 5.0 GB: 1 weight version × 1.0 GB + 1 in-flight activation × 1.0 GB + 3.0 GB for "
        "gradient and optimizer; a worker has 2.0 GB.",
        "Use workers with more memory, or a smaller microbatch.",
    ),
    (
        errors.depends_on_data("net.py", 12, "if x.sum() > 0:"),
        training.NotPipelinableError,
        'net.py:12: "if x.sum() > 0:" depends on data.',
        "Move the branch into one submodule, or mark it a leaf.",
    ),
    (
        errors.profile_line("a.txt", 3, "forward_compute_time=…", "forward=1"),
        training.ProfileError,
        'a.txt:3: expected "forward_compute_time=…", found "forward=1".',
        "A node line has id, description and four values; see wb.training.read_profile.",
    ),
    (
        errors.edge_without_node("a.txt", ("node7", "node9")),
        training.ProfileError,
        "a.txt: edge node7 -- node9 names a node that is not in the file.",
        "Add the node line or remove the edge.",
    ),
    (
        errors.levels_differ(2, 1),
        training.ClusterError,
        "machines has 2 levels, bandwidth has 1.",
        "Give one bandwidth (bytes/s) for each level.",
    ),
    (
        errors.too_few_cuts(8, 5),
        training.PartitionError,
        "8 stages wanted, the profile can be cut into 5.",
        "Use fewer machines or straight=False.",
    ),
    (
        errors.unknown_schedule("gpip"),
        training.TrainingError,
        'Unknown schedule "gpip"; did you mean "gpipe"?',
        "Use auto, gpipe, 1f1b, pipedream, 2bw or ddp.",
    ),
    (
        errors.too_few_microbatches(4, 2),
        training.ScheduleError,
        "2bw needs at least 4 microbatches for 4 stages; got 2.",
        "Use --micro 4.",
    ),
    (
        errors.too_many_microbatches(6, 8),
        training.ScheduleError,
        "A batch of 6 samples cannot make 8 microbatches.",
        "Use --micro 6 or a larger batch.",
    ),
    (
        errors.no_index(),
        training.DataError,
        "Training needs data with a length and an index.",
        "Pass a map-style Dataset or tensors.",
    ),
    (
        errors.no_samples(),
        training.DataError,
        "The data has no samples.",
        "Pass a map-style Dataset or tensors.",
    ),
    (
        errors.loss_nan("NaN", 812, 1, "conv3", 809, 3),
        training.LossNaN,
        'NaN at step 812, stage 1, first in "conv3" forward; weight version 809 (3 behind).',
        'Lower the learning rate, or use schedule="1f1b" to rule out staleness.',
    ),
    (
        errors.loss_nan("NaN", 2, 0, errors.THE_DATA, 2, 0),
        training.LossNaN,
        "NaN at step 2, stage 0: values of the data itself are not finite; weight version 2.",
        "Leave such samples out, or replace what they lack.",
    ),
    (
        errors.unknown_schedule("auto"),
        training.TrainingError,
        'Unknown schedule "auto": here one has to be named.',
        "Use gpipe, 1f1b, pipedream, 2bw or ddp; wb.training.auto(plan) chooses.",
    ),
    (
        errors.worker_lost(3, 2, 120),
        training.WorkerLost,
        "worker 3 (stage 2) lost at step 120; this run keeps no copies.",
        "Use --resilience redundant, or checkpoint.",
    ),
    (
        errors.replica_lost([2, 3], 2, 100, 20, 14.0),
        training.ReplicaLost,
        "workers 2 and 3 (neighbours) lost: no copy of stage 2.",
        "Restored checkpoint step 100; 20 steps (14 s) lost.",
    ),
    (
        errors.no_progress(3, 4, 6.2e9, 1, (3, 2.4e9)),
        training.NoProgress,
        "3 workers left; 4 stages need 6.2 GB.",
        "Waiting for 1 more; run.replan(stages=3) needs 2.4 GB each.",
    ),
    (
        errors.chaos_elsewhere(),
        training.TrainingError,
        "--chaos only stops workers that this session started.",
        "Use wb.session() without a remote address.",
    ),
    (
        errors.trace_row("t.csv", 4, "x;y"),
        training.TraceError,
        't.csv:4: "x;y" is neither "ms,add|remove,name" nor a count row.',
        "See read_trace.",
    ),
    (
        errors.no_step_time("BERT", 5),
        training.SimulationError,
        "BERT has no step time for 5 pipelines.",
        "Use compat=False with a plan, or fewer nodes.",
    ),
    (
        errors.resume_differs("ckpt", ["a", "b"], ["a", "b", "head.bias"]),
        training.CheckpointError,
        "ckpt was saved for a model with 2 parameters; this has 3 (new: head.bias).",
        "Resume with the same model.",
    ),
]

WARNED = [
    (
        errors.unbalanced("head", 0.61, 4, "1-3", 2.9),
        training.UnbalancedPlanWarning,
        'Layer "head" alone is 61 % of the time; 4 stages give at most 1.6x.',
        "Replicate it: plan 1-3 gives 2.9x.",
    ),
    (
        errors.peer_stalled(1, 20.0, 0.4),
        training.PeerStalled,
        "no message from stage 1 for 20 s; its worker is alive (heartbeat 0.4 s ago).",
        "Its stack is in run.incidents.",
    ),
]


@pytest.mark.parametrize(("error", "kind", "message", "hint"), RAISED)
def test_errors(error: WorkbenchError, kind: type[WorkbenchError], message: str, hint: str) -> None:
    assert type(error) is kind and isinstance(error, WorkbenchError)
    assert error.lines() == [message, hint]
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is kind and again.lines() == error.lines()


@pytest.mark.parametrize(("warning", "kind", "message", "hint"), WARNED)
def test_warnings(warning: WorkbenchWarning, kind: type[WorkbenchWarning], message: str, hint: str) -> None:
    assert type(warning) is kind and isinstance(warning, WorkbenchWarning)
    assert (warning.message, warning.hint) == (message, hint)


def test_incident() -> None:
    assert errors.worker_recovered(3, 2, 120, 2, 0.4, 1, 1.5) == (
        "worker 3 (stage 2) lost at step 120; worker 2 has its copy; resumed in 0.4 s, 1 step replayed, nothing lost.",
        "Steps are 1.5x slower until a worker joins.",
    )


def test_every_class_is_public_and_tested() -> None:
    tested = {kind.__name__ for _, kind, _, _ in [*RAISED, *WARNED]} | {"PartitionError"}
    assert set(errors.__all__) == tested
    assert set(errors.__all__) <= set(dir(training))
