"""wbc.labelled: which cells of a new laboratory are learned from, and which judge."""

import numpy as np
import pandas as pd
import pytest

from wbc.errors import UserError
from wbc.labelled import draw


def cells(counts: dict[str, int], smear_size: int = 0) -> pd.DataFrame:
    """`counts` cells a class; with `smear_size`, consecutive cells of mixed classes share one."""
    labels = np.concatenate([np.repeat(name, n) for name, n in counts.items()])
    labels = np.random.default_rng(0).permutation(labels)
    groups = [f"smear{i // smear_size}" if smear_size else "" for i in range(len(labels))]
    paths = [f"{i}.png" for i in range(len(labels))]
    return pd.DataFrame({"path": paths, "label": labels, "group": groups, "sha256": paths})


KRD_WBC = {"neutrophil": 300, "lymphocyte": 230, "monocyte": 39, "eosinophil": 11, "basophil": 20}


def test_rare_classes_keep_half_for_the_test() -> None:
    table = cells(KRD_WBC)
    drawn = draw(table, per_class=20, seed=1)
    labelled = table["label"].iloc[drawn.labelled].value_counts().to_dict()
    assert labelled == {
        "neutrophil": 20, "lymphocyte": 20, "monocyte": 19, "eosinophil": 5, "basophil": 10,
    }  # fmt: skip
    rest = table["label"].iloc[drawn.rest].value_counts().to_dict()
    assert rest == {name: n - labelled[name] for name, n in KRD_WBC.items()}
    assert drawn.num_unused == 0
    assert [sentence.split(":")[0] for sentence in drawn.shortages] == [
        "monocyte", "eosinophil", "basophil",
    ]  # fmt: skip


def test_smears_are_kept_apart() -> None:
    table = cells(dict.fromkeys(KRD_WBC, 100), smear_size=10)
    drawn = draw(table, per_class=20, seed=1)
    groups = table["group"].to_numpy()
    assert not set(groups[drawn.labelled]) & set(groups[drawn.rest])
    assert drawn.num_unused > 0
    assert len(drawn.labelled) + len(drawn.rest) + drawn.num_unused == len(table)
    assert table["label"].iloc[drawn.labelled].value_counts().max() <= 20


def test_copies_of_labelled_cells_do_not_judge() -> None:
    """Exact copies by their bytes, near ones as listed, in a chain too; half still judges."""
    once = cells(dict.fromkeys(KRD_WBC, 30))
    twice = pd.concat([once, once.assign(path="b" + once["path"])], ignore_index=True)
    near = pd.concat([twice, once.assign(path="c" + once["path"], sha256="c" + once["path"])])
    copies = pd.DataFrame({"path_a": ["gone", *("b" + once["path"])],
                           "path_b": ["0.png", *("c" + once["path"])]})  # fmt: skip
    for table, given in ((twice, None), (near, copies)):
        drawn = draw(table, per_class=15, seed=1, copies=given)
        picture = table["path"].str.lstrip("bc").to_numpy()
        assert not set(picture[drawn.labelled]) & set(picture[drawn.rest])
        assert len(drawn.labelled) == 75 and len(drawn.rest) >= len(table) // 2
        assert len(drawn.labelled) + len(drawn.rest) + drawn.num_unused == len(table)


def test_a_copy_joins_smears_and_moves_no_other() -> None:
    table = cells(dict.fromkeys(KRD_WBC, 100), smear_size=10)
    plain = draw(table, per_class=20, seed=1)
    rest = table.iloc[plain.rest]["path"]
    pair = {"path_a": [table.iloc[plain.labelled[0]]["path"]], "path_b": [rest.iloc[0]]}
    groups = table["group"].to_numpy()
    joined = draw(table, 20, 1, pd.DataFrame(pair))
    both = set(groups[[plain.labelled[0], plain.rest[0]]])
    assert len(both & set(groups[joined.rest])) in (0, 2)
    apart = draw(table, 20, 1, pd.DataFrame({"path_a": rest[:1], "path_b": rest[:1]}))
    assert np.array_equal(apart.labelled, plain.labelled)
    assert np.array_equal(apart.rest, plain.rest)


def test_a_class_in_one_smear_stays_for_the_test() -> None:
    table = cells({"neutrophil": 40, "lymphocyte": 40, "eosinophil": 10})
    table.loc[table["label"] == "eosinophil", "group"] = "one"
    drawn = draw(table, per_class=5, seed=1)
    assert "eosinophil" not in set(table["label"].iloc[drawn.labelled])
    assert any(s.startswith("eosinophil: 0 labelled instead of 5") for s in drawn.shortages)


def test_the_same_seed_gives_the_same_cells_and_another_gives_others() -> None:
    table = cells(KRD_WBC)
    first, again, other = (draw(table, 20, seed).labelled for seed in (1, 1, 2))
    assert np.array_equal(first, again) and not np.array_equal(first, other)


def test_fewer_cells_are_among_more() -> None:
    table = cells(KRD_WBC)
    assert set(draw(table, 5, 1).labelled) <= set(draw(table, 20, 1).labelled)


def test_too_few_cells_are_refused() -> None:
    with pytest.raises(UserError, match=r"at least two classes .* 1 of the set's 5 cells \(1 cl"):
        draw(cells({"neutrophil": 3, "lymphocyte": 1, "basophil": 1}), 20, 1)
    with pytest.raises(UserError, match="0 of the set's 0 cells"):
        draw(cells({"neutrophil": 1}).iloc[:0], 20, 1)
