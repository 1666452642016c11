"""wbc.tracking.views: saved views of MLflow's run list."""

import json

from wbc.tracking import views as tracking_views
from wbc.tracking.views import PREFIX


def test_the_first_column_is_what_models_are_chosen_by() -> None:
    names = ["test_a/macro_f1", "val/macro_f1", "best/macro_f1", "epoch/val/macro_f1"]
    tags = tracking_views.view_tags([names])

    state = json.loads(json.loads(tags[f"{PREFIX}scores"])["state"])

    assert state["selectedColumns"][:2] == ["metrics.`val/macro_f1`", "metrics.`test_a/macro_f1`"]
    assert state["orderByKey"] == "metrics.`val/macro_f1`" and not state["orderByAsc"]
    assert not any("best" in column or "epoch" in column for column in state["selectedColumns"])


def test_many_sets_fit_into_a_tag() -> None:
    names = [f"laboratory-number-{number}/macro_f1" for number in range(40)]
    assert all(len(tag) <= 5000 for tag in tracking_views.view_tags([names]).values())


def test_the_chart_has_the_sets_of_the_newest_run_that_is_done() -> None:
    runs: list[set[str]] = [
        {"epoch/val/loss"},
        {"val/macro_f1", "new/macro_f1"},
        {"val/macro_f1", "old/macro_f1"},
    ]
    tags = tracking_views.view_tags(runs)
    chart, table = (json.loads(tags[f"{PREFIX}{key}"])["state"] for key in ("parallel", "scores"))
    assert '"new/macro_f1"' in chart and '"old/macro_f1"' not in chart
    assert "new/macro_f1" in table and "old/macro_f1" in table
