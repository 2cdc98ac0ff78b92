"""torch's own DistributedDataParallel, one rank: told by lines on its input, it answers by lines of JSON.

`start BATCH`: a fresh net of the recipe, three steps that do not count. `go STEPS`: the end of each step, by this
host's monotonic clock, and its loss. Run by `benchmarks.training_links` on each emulated host.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import Any

from benchmarks.training_recipes import RECIPES

SECONDS_OF_A_GROUP = 120


def main() -> None:
    """Serve one rank until the input ends."""
    import datetime

    import torch
    from torch import distributed
    from torch.nn.parallel import DistributedDataParallel

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recipe", choices=RECIPES)
    parser.add_argument("rank", type=int)
    parser.add_argument("size", type=int)
    parser.add_argument("host")
    parser.add_argument("port")
    options = parser.parse_args()
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo", f"tcp://{options.host}:{options.port}", rank=options.rank, world_size=options.size,
        timeout=datetime.timedelta(seconds=SECONDS_OF_A_GROUP),
    )  # fmt: skip
    recipe = RECIPES[options.recipe]
    net: Any = None
    at = 0
    for line in sys.stdin:
        command, _, number = line.partition(" ")
        if command == "start":
            batch = int(number)
            plain = recipe.net(0)
            net = DistributedDataParallel(plain)
            optimizer = recipe.optimizer(plain)
            inputs, targets = recipe.data()
            at, count = 0, 3
        else:
            count = int(number)
        ends, losses = [], []
        for _ in range(count):
            first = (at * options.size + options.rank) * batch
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(net(inputs[first : first + batch]), targets[first : first + batch])
            loss.backward()
            optimizer.step()
            ends.append(time.monotonic())
            losses.append(loss.item())
            at += 1
        print(json.dumps({"ends": ends, "losses": losses}), flush=True)


if __name__ == "__main__":
    main()
