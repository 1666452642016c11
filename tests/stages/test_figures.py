"""stages._figures: what evaluate draws from files that others wrote."""

from pathlib import Path

import pytest

from stages import _figures
from wbc.errors import UserError

HISTORY = """epoch,phase,train/loss,val/loss,val/macro_f1,val/balanced_accuracy
1,head,1.5,1.4,0.5,0.4
2,all,1.25,1.2,0.75,0.7
"""
CARD = {"architecture": "resnet18", "best": {"epoch": 2}}


def test_a_history_without_the_kept_epoch_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "history.csv"
    path.write_text(HISTORY)
    _figures.draw_training(CARD, path, "resnet18", tmp_path)
    assert (tmp_path / "history.png").is_file()
    for cut, words in ((-30, "is cut off"), (HISTORY.index("2,all"), "has no epoch 2"), (9, "cut")):
        path.write_text(HISTORY[:cut])
        with pytest.raises(UserError, match=rf"history\.csv should be a table .*{words}.*checkout"):
            _figures.draw_training(CARD, path, "resnet18", tmp_path)
