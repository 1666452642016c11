"""The processes that train one network together: which one this is, and what they tell each other.

A process that works alone is a team of one: every method then hands back what it was given.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from wbc.errors import UserError

T = TypeVar("T")


class PeerLostError(SystemExit):
    """Another process of the team has ended; it knows why, this one can only end as well."""


@dataclass(frozen=True)
class Team:
    """`rank` of `size` processes in all, `local_rank` of `local_size` on this machine."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process speaks for all: it alone writes files and to MLflow."""
        return self.rank == 0

    @contextmanager
    def joined(self, device_type: str) -> Iterator[None]:
        """Connected to the others: over NCCL (on ROCm that name means RCCL), or gloo on CPUs."""
        if self.size == 1:
            yield
            return
        gpu = torch.device("cuda", self.local_rank) if device_type == "cuda" else None
        dist.init_process_group("nccl" if gpu else "gloo", device_id=gpu)
        yield
        dist.destroy_process_group()  # not after an error: it would wait for the others

    def rows(self, count: int) -> range:
        """This process's share of `count` rows: all shares together are every row once."""
        return range(count * self.rank // self.size, count * (self.rank + 1) // self.size)

    def mean(self, values: Tensor) -> Tensor:
        """The mean over the processes, element by element."""
        return values if self.size == 1 else _summed(values) / self.size

    def gathered(self, own: Tensor, count: int) -> Tensor:
        """All `count` rows, in order, where every process gives those of its `rows(count)`."""
        if self.size == 1:
            return own
        everything = own.new_zeros((count, *own.shape[1:]))
        everything[self.rows(count).start : self.rows(count).stop] = own
        return _summed(everything)  # each row is one process's, plus zeros

    def largest(self, number: int) -> int:
        """The largest of the processes' numbers."""
        if self.size == 1:
            return number
        place = torch.device("cuda", self.local_rank) if dist.get_backend() == "nccl" else "cpu"
        found = torch.tensor(number, device=place)
        dist.all_reduce(found, dist.ReduceOp.MAX)
        return int(found)

    def average(self, given: Iterable[Tensor]) -> None:
        """Set each tensor to its mean over the processes; alone, they are not even looked for."""
        if self.size == 1 or not (tensors := list(given)):
            return
        means = self.mean(torch.cat([tensor.flatten() for tensor in tensors]))
        for tensor, part in zip(
            tensors, torch.split(means, [t.numel() for t in tensors]), strict=True
        ):
            tensor.copy_(part.view_as(tensor))

    def wait(self) -> None:
        """Until all processes have come here."""
        if self.size > 1:
            dist.barrier()

    def from_first(self, value: T) -> T:
        """What the first process holds (it must be picklable)."""
        if self.size == 1:
            return value
        held = [value]
        dist.broadcast_object_list(held, src=0)
        return held[0]

    def shared_folder(self, held: Path | None) -> Path:
        """The folder that the first process holds.

        Raises:
            UserError: this process does not see it.
        """
        folder = self.from_first(held)
        if folder is None or not folder.is_dir():
            raise UserError(_unseen(folder, self))
        return folder

    def all_see(self, path: Path) -> bool:
        """Whether the first process sees this file.

        Raises:
            UserError: it does, and this one does not.
        """
        found = self.from_first(path.is_file())
        if found and not path.is_file():
            raise UserError(_unseen(path, self))
        return found

    def agree_on(self, facts: Mapping[str, str]) -> None:
        """Make sure that all processes start from the same.

        Args:
            facts: what must be equal everywhere, by its name.

        Raises:
            UserError: with the names of those that differ.
        """
        if self.size == 1:
            return
        everyone: list[Mapping[str, str]] = [{}] * self.size
        dist.all_gather_object(everyone, dict(facts))
        differing = [name for name in facts if len({other[name] for other in everyone}) > 1]
        if differing:
            raise UserError(
                f"All processes of a training must start from the same, but their"
                f" {' and '.join(differing)} differ; bring every machine to the same commit with"
                " the same params.yaml and run `dvc pull` or `dvc checkout` there."
            )


ALONE: Final = Team()


def read_team(environment: Mapping[str, str], num_processes: int) -> Team:
    """Whom torchrun says this process to be; alone where torchrun did not start it.

    Raises:
        UserError: torchrun started another number of processes than `train.processes`.
    """
    if "TORCHELASTIC_RUN_ID" not in environment:
        return ALONE
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
    team = Team(*(int(environment[name]) for name in names))
    if team.size != num_processes:
        raise UserError(
            f"torchrun started {team.size} processes, but train.processes is {num_processes}; set"
            f" train.launcher: torchrun and train.processes: {team.size} in params.yaml, or start"
            f" {num_processes} (--nnodes times --nproc-per-node)."
        )
    return team


@contextmanager
def ending_with_the_others() -> Iterator[None]:
    """Turn the error of a broken connection, which says nothing, into a quiet end.

    Raises:
        PeerLostError: instead of it; as after Ctrl-C, the training can be continued.
    """
    try:
        yield
    except RuntimeError as error:
        if not is_broken_connection(error):
            raise
        raise PeerLostError(
            "Another process of this training has ended, so this one ends too; where the reason is"
            " gone, the same command continues where the training was saved last."
        ) from None


def learned_statistics(network: nn.Module) -> Iterator[Tensor]:
    """The running batch-norm statistics that training moves on each process by its own cells."""
    norms = (m for m in network.modules() if isinstance(m, nn.BatchNorm2d) and m.training)
    return (t for norm in norms for t in (norm.running_mean, norm.running_var) if t is not None)


def lightning_options(team: Team, device_type: str) -> dict[str, Any]:
    """How Lightning's Trainer is to spread the training over the team."""
    if team.size == 1:
        return {"devices": 1}
    from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment
    from lightning.pytorch.strategies import DDPStrategy

    strategy = DDPStrategy(
        cluster_environment=TorchElasticEnvironment(),
        process_group_backend="nccl" if device_type == "cuda" else "gloo",
        # The head phase leaves parameters unused. And with False, DDP would lay its buckets out
        # anew after the first step, which changes the last digits of sums over three or more
        # processes: a training that is continued would not end in the same bytes.
        find_unused_parameters=True,
        # Statistics are averaged instead (TrainingModule), and a broadcast at every forward pass
        # would wait for ever in validation, where shares may have unequal numbers of batches.
        forward_sync_buffers=False,
    )
    nodes = team.size // team.local_size
    return {
        "strategy": strategy,
        "devices": team.local_size,
        "num_nodes": nodes,
        "use_distributed_sampler": False,
    }


def _unseen(path: Path | None, team: Team) -> str:
    return (
        f"{path} was expected on every machine, but process {team.rank + 1} of {team.size} does not"
        " see it; have all machines share one folder, under the same path (docs/clusters.md)."
    )


def _summed(values: Tensor) -> Tensor:
    total = values.detach().clone()
    dist.all_reduce(total)
    return total


def is_broken_connection(error: BaseException) -> bool:
    """Whether this process failed because it could not reach another one."""
    if not isinstance(error, RuntimeError):
        return False
    words = str(error).lower()
    return isinstance(error, dist.DistError) or "gloo" in words or "by peer" in words
