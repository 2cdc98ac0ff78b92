"""What the simulator is told about models and machines instead of measuring it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from workbench.training.errors import SimulationError, no_step_time, unknown

__all__ = ["MODELS", "ModelSpec", "SimCosts", "model"]


@dataclass(frozen=True)
class ModelSpec:
    """A model whose step times are known for some numbers of pipelines.

    Attributes
    ----------
    name : str
    stages : int
        Machines of one pipeline.
    samples_per_step : int
        Over all pipelines.
    step_seconds : dict of int to float
        Pipelines -> seconds.
    capacity : int
        The most machines that it asks a random market for.
    local_rendezvous : float
        Seconds that a reconfiguration between steps takes.
    on_demand_nodes : int
    on_demand_step_seconds : float
        The same on machines that are never taken away.
    steps : int or None
        After which training is done.
    state_bytes : float
        Of a checkpoint.
    """

    name: str
    stages: int
    samples_per_step: int
    step_seconds: dict[int, float]
    capacity: int
    local_rendezvous: float
    on_demand_nodes: int
    on_demand_step_seconds: float
    steps: int | None
    state_bytes: float = 0

    def seconds(self, pipelines: int) -> float:
        """Return the seconds of a step.

        Raises
        ------
        SimulationError
            If the table has no entry for so many pipelines.
        """
        if pipelines not in self.step_seconds:
            raise no_step_time(self.name, pipelines)
        return self.step_seconds[pipelines]


@dataclass(frozen=True)
class SimCosts:
    """Seconds that the events of a cluster take.

    Attributes
    ----------
    create : float
        From a machine's start until it is ready.
    global_rendezvous, local_rendezvous : float
        Forming the pipelines anew after a fatal loss, and between two steps.
    detect, rebuild : float
        Noticing a loss, and going on without the lost machine.
    restart : float
        Starting all workers again for a checkpoint.
    save, load : float or None
        A checkpoint; None: the state's bytes over the bandwidth.
    """

    create: float = 45.0
    global_rendezvous: float = 30.0
    local_rendezvous: float = 10.0
    detect: float = 0.1
    rebuild: float = 0.05
    restart: float = 30.0
    save: float | None = None
    load: float | None = None

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value is not None and not 0 <= value < float("inf"):
                raise SimulationError(f"{name} is a number of seconds; got {value!r}.", f"Write {name}=30.")


def _spec(
    name: str,
    samples: int,
    stages: int,
    capacity: int,
    local: float,
    milliseconds: tuple[int, int, int, int],
    on_demand: tuple[int, float],
    steps: int | None = None,
) -> ModelSpec:
    seconds = {count: ms / 1000 for count, ms in enumerate(milliseconds, 1)}
    return ModelSpec(name, stages, samples, seconds, capacity, local, *on_demand, steps)


#: the models of the Bamboo paper, with the step times of its simulator
MODELS: Mapping[str, ModelSpec] = {
    spec.name: spec
    for spec in (
        _spec("GPT-2", 32, 12, 48, 20.0, (1200, 1085, 1046, 1008), (32, 3.37), 188828),
        _spec("BERT", 264, 12, 48, 20.0, (4310, 2390, 1805, 1450), (20, 2.51), 22194),
        _spec("ResNet", 384, 8, 32, 10.0, (6100, 3200, 2400, 1600), (20, 1.3)),
        _spec("GNMT", 288, 6, 24, 10.0, (3100, 1660, 1185, 950), (16, 0.9)),
        _spec("VGG", 384, 6, 24, 5.0, (9300, 4900, 3440, 2750), (16, 2.2)),
        _spec("AlexNet", 384, 6, 24, 5.0, (6180, 3100, 2000, 1550), (16, 1.6)),
    )
}


def model(name: str) -> ModelSpec:
    """Return a model of the table, its name in any case.

    Raises
    ------
    TrainingError
        For a name that is not in it.
    """
    for known, spec in MODELS.items():
        if known.lower() == name.lower():
            return spec
    raise unknown("model", name, MODELS)
