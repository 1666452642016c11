"""params.yaml as frozen dataclasses, strictly: whatever is loaded here can be run.

`load` raises a UserError with key, value and remedy for anything unknown, missing, of the wrong
type, out of range or impossible in combination. What each setting does is written beside it in
params.yaml.
"""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from ruamel.yaml import YAML

from wbc.combinations import check_combinations
from wbc.errors import UserError, one_line
from wbc.schema import MayBeEmpty, Pattern, Range, build

Architecture = Literal[
    "googlenet",
    "mobilenet_v2",
    "mobilenet_v3_small",
    "mobilenet_v3_large",
    "efficientnet_b0",
    "squeezenet1_0",
    "squeezenet1_1",
    "shufflenet_v2_x1_0",
    "resnet18",
    "classical",
]
Role = Literal["auto", "train", "external"]
Share = Annotated[float, Range(0, 1)]
Seed = Annotated[int, Range(0, 2**31 - 1)]
Name = Annotated[
    str,
    Pattern(r"[a-z0-9][a-z0-9_-]{0,39}", "lower-case letters, digits, - and _, at most 40"),
]
_PART = r"/(?!\.\.?(/|$))[^/]+"  # of a path; never . or .., which could lead out of the folder
# of the path of weights: no braces but those of {architecture}
_WEIGHTS_PART = r"/(?!\.\.?(/|$))([^/{}]|\{architecture\})+"
_INCOMING = rf"data/incoming({_PART})+"
_BRING = "(bring yours there with `dvc import-url /your/path data/incoming/NAME`)"
IncomingPath = Annotated[str, Pattern(_INCOMING, f"a path under data/incoming/ {_BRING}")]
KagglePath = Annotated[
    str, Pattern(f"kaggle|{_INCOMING}", f"kaggle or a path under data/incoming/ {_BRING}")
]
MendeleyPath = Annotated[
    str, Pattern(f"mendeley|{_INCOMING}", f"mendeley or a path under data/incoming/ {_BRING}")
]


@dataclass(frozen=True)
class SampleSource:
    """Drawn smears."""

    kind: Literal["sample"]
    name: Name
    role: Role
    num_cells: Annotated[int, Range(200, 100_000)]
    image_size: Annotated[int, Range(96, 1024)]


@dataclass(frozen=True)
class RaabinSource:
    """Raabin-WBC: from Kaggle, or from a folder or archive already at hand."""

    kind: Literal["raabin"]
    name: Name
    role: Role
    path: KagglePath = "kaggle"


@dataclass(frozen=True)
class KrdWbcSource:
    """KRD-WBC: from Mendeley Data, or from a folder or archive already at hand."""

    kind: Literal["krd-wbc"]
    name: Name
    role: Role
    path: MendeleyPath = "mendeley"


@dataclass(frozen=True)
class FolderSource:
    """Class folders, optionally with a CSV (path, label, group, split)."""

    kind: Literal["folder"]
    name: Name
    role: Role
    path: IncomingPath
    table: str = ""  # a CSV inside `path`; "" reads the label from the folder's name
    group_pattern: str = ""  # regular expression whose first group is the smear in a file name


Source = SampleSource | RaabinSource | KrdWbcSource | FolderSource


@dataclass(frozen=True)
class Data:
    sources: tuple[Source, ...]


@dataclass(frozen=True)
class Split:
    seed: Seed
    val_share: Annotated[float, Range(0.05, 0.4)]
    test_share: Annotated[float, Range(0.05, 0.5)]
    max_group_share: Annotated[float, Range(0, 1, open_low=True)]
    duplicates: Literal["drop", "stop"]
    near_duplicate_bits: Annotated[int, Range(0, 20)]


@dataclass(frozen=True)
class Preprocess:
    input_size: Annotated[int, Range(32, 1024)]
    crop: Literal["none", "cell", "mask"]
    context: Annotated[float, Range(1.0, 4.0)]
    max_broken_share: Share
    shard_cells: Annotated[int, Range(1, 1_000_000)]
    backend: Literal["loky", "dask"]


@dataclass(frozen=True)
class Model:
    weights: Annotated[
        str,
        Pattern(
            rf"auto|imagenet|none|data/weights({_WEIGHTS_PART})+",
            "auto, imagenet, none or a file under data/weights/, {architecture} in it standing for"
            " the network's name"
            " (bring yours there with `dvc import-url /your/file.pth data/weights/NAME.pth`)",
        ),
    ]
    dropout: Annotated[float, Range(0, 0.9)]


@dataclass(frozen=True)
class Augment:
    flips: bool
    rotation: Annotated[float, Range(0, 180)]
    scale: Annotated[float, Range(0, 0.5)]
    shift: Annotated[float, Range(0, 0.3)]
    brightness: Annotated[float, Range(0, 0.5)]
    contrast: Annotated[float, Range(0, 0.5)]
    saturation: Annotated[float, Range(0, 0.5)]
    hue: Annotated[float, Range(0, 0.1)]
    stain: Annotated[float, Range(0, 0.5)]
    stain_hue: Annotated[float, Range(0, 0.2)]
    uptake: Annotated[float, Range(0, 1)]
    white_point: Annotated[float, Range(0, 0.3)]
    gamma: Annotated[float, Range(0, 0.7)]
    gradient: Annotated[float, Range(0, 0.5)]
    microscope_share: Share
    resolution: Annotated[float, Range(0, 0.75)]
    blur: Annotated[float, Range(0, 0.03)]
    fringe: Annotated[float, Range(0, 0.02)]
    sharpen: Annotated[float, Range(0, 3)]
    noise: Annotated[float, Range(0, 40)]
    jpeg: Annotated[float, Range(0, 90)]


@dataclass(frozen=True)
class Train:
    device: Literal["auto", "cpu", "gpu"]
    precision: Literal["auto", 32, "bf16"]
    threads: Annotated[int, Range(0, 1024)]
    launcher: Literal["none", "torchrun"]
    processes: Annotated[int, Range(1, 1024)]
    loader_workers: Annotated[int, Range(0, 256)]
    unfreeze: Literal["head", "upper", "most", "all"]
    batch_norm: Literal["auto", "frozen", "train"]
    cache_views: Annotated[int, Range(0, 8)]
    head_epochs: Annotated[int, Range(0, 1000)]
    epochs: Annotated[int, Range(1, 10_000)]
    patience: Annotated[int, Range(1, 10_000)]
    batch_size: Annotated[int, Range(2, 4096)]
    head_learning_rate: Annotated[float, Range(0, 1, open_low=True)]
    learning_rate: Annotated[float, Range(0, 1, open_low=True)]
    weight_decay: Annotated[float, Range(0, 10)]
    warmup_share: Annotated[float, Range(0, 0.9)]
    ema_decay: Annotated[float, Range(0, 0.99999)]
    label_smoothing: Annotated[float, Range(0, 0.5)]
    imbalance: Literal["logit_adjustment", "loss_weights", "none"]
    seeds: Annotated[tuple[Seed, ...], MayBeEmpty()]
    augment: Augment


@dataclass(frozen=True)
class Evaluate:
    batch_size: Annotated[int, Range(1, 65_536)]


@dataclass(frozen=True)
class Promotion:
    """What `python -m wbc promote` asks of a model; no stage reads it and no model records it."""

    set: Annotated[
        str,
        Pattern(
            r"(?!val$)[a-z0-9][a-z0-9_-]{0,39}",
            "auto or the name of an evaluation set other than val, on which models were chosen",
        ),
    ]
    recall_margin: Annotated[float, Range(0, 0.5, open_low=True)]
    floor: Share


@dataclass(frozen=True)
class Params:
    seed: Seed
    architectures: tuple[Architecture, ...]
    data: Data
    split: Split
    preprocess: Preprocess
    model: Model
    train: Train
    evaluate: Evaluate
    promotion: Promotion


def load(path: Path) -> Params:
    """Read and check params.yaml.

    Raises:
        UserError: the file is missing, is no YAML, or holds anything that could not be run.
    """
    if not path.is_file():
        raise UserError(
            f"{path} was expected but is not there; run from the repository's root,"
            " or bring it back with `git checkout params.yaml`."
        )
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"{path} cannot be read as YAML: {one_line(error)}.") from None
    return check(read_yaml(text, path.name), path.name)


def read_yaml(text: str, file: str) -> Any:
    """Parse as DVC does, in YAML 1.2: 1e-3 is a number, `no` a word, a repeated key an error."""
    try:
        return YAML(typ="safe", pure=True).load(text)
    except Exception as error:  # beside its own, ruamel raises what a bad date or number gives it
        raise UserError(f"{file} cannot be read as YAML: {_yaml_words(error)}.") from None


def check(raw: object, file: str) -> Params:
    """Build the parameters from parsed YAML; `file` is the name used in messages.

    Raises:
        UserError: anything in them could not be run.
    """
    params: Params = build(Params, raw, "", file)
    check_combinations(params, file)
    return params


def each_seed(params: Params) -> list[Params]:
    """The parameters of each training that is asked for: `seed` is its own, `train.seeds` empty."""
    seeds = params.train.seeds or (params.seed,)
    return [replace(params, seed=seed, train=replace(params.train, seeds=())) for seed in seeds]


def flatten(params: Params, architecture: str) -> dict[str, str | int | float | bool]:
    """Flat names as in params.yaml (`train.epochs`) for the one model `architecture`.

    Sources appear as `data.sources.NAME.OPTION`. `promotion` is left out: it makes no model.
    """
    values = asdict(params)
    del values["architectures"], values["promotion"]
    return {"architecture": architecture, **flatten_values(values)}


def flatten_values(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested sections as flat names; a list of named entries by their names."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        full = f"{prefix}{name}"
        if isinstance(value, list | tuple) and all(isinstance(entry, dict) for entry in value):
            value = {
                entry["name"]: {k: v for k, v in entry.items() if k != "name"} for entry in value
            }
        flat.update(flatten_values(value, f"{full}.") if isinstance(value, dict) else {full: value})
    return flat


def _yaml_words(error: Exception) -> str:
    mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
    if not (mark and problem):
        return one_line(error)
    mend = "indent it with spaces, not a tab" if "'\\t'" in problem else "mend that line"
    return f"line {mark.line + 1}: {problem}; {mend}"
