"""Mistakes in using a model: predict, differential, review, drift, export, serve."""

import socket
import sys
from collections.abc import Callable
from pathlib import Path

from tests.mistakes.scene import MODEL, Scene, Seen
from tests.mlflow_home import write_model, write_reference
from tests.wbc.test_classical import written
from wbc.predicting import command
from wbc.predicting.part import Part
from wbc.reference import REFERENCE_FILE

BY = ("--model", MODEL)


def predict(*words: str) -> Callable[[Scene], Seen]:
    """Of three pictures in cells/."""

    def make(scene: Scene) -> Seen:
        scene.cells("cells")
        return scene.wbc("predict", *words)

    return make


def no_picture(scene: Scene) -> Seen:
    scene.write("cells/notes.txt", "nothing to see")
    return scene.wbc("predict", "cells", *BY)


def unquoted_glob(scene: Scene) -> Seen:
    """The shell's `more/**/*.jpg` finds only one level deep, so nothing, and hands it on."""
    scene.cells("more/a/b")
    return scene.wbc("predict", "more/**/*.jpg", *BY)


def out_there(scene: Scene) -> Seen:
    scene.write("predictions.csv", "what is there\n")
    return predict("cells", *BY)(scene)


def stopped(*_: object) -> None:
    raise KeyboardInterrupt


def other_files(scene: Scene) -> Seen:
    """A run that was stopped is called again after pictures came and went."""
    scene.cells("cells", 6)
    with scene.monkeypatch.context() as patch:
        patch.setattr(command, "BATCH", 4)
        patch.setattr(Part, "finish", stopped)
        scene.wbc("predict", "cells", *BY)
    Path("cells/0.png").unlink()
    return scene.wbc("predict", "cells", *BY)


def model_without_files(scene: Scene) -> Seen:
    scene.cells("cells")
    Path("models/empty").mkdir()
    return scene.wbc("predict", "cells", "--model", "models/empty")


def model_cut_off(*words: str) -> Callable[[Scene], Seen]:
    def make(scene: Scene) -> Seen:
        scene.cells("cells")
        path = Path(MODEL, "model.safetensors")
        path.write_bytes(path.read_bytes()[:1000])
        return scene.wbc(*words)

    return make


def html_archive(scene: Scene) -> Seen:
    scene.write("cells.zip", "<!DOCTYPE html><title>Please log in</title>")
    return scene.wbc("predict", "cells.zip", *BY)


def looping_links(scene: Scene) -> Seen:
    scene.cells("cells")
    Path("cells/again").symlink_to(Path("cells").absolute())
    return scene.wbc("predict", "cells", *BY)


def differential(*words: str) -> Callable[[Scene], Seen]:
    def make(scene: Scene) -> Seen:
        scene.cells("slides/a")
        return scene.wbc("differential", *words)

    return make


def files_instead_of_slides(scene: Scene) -> Seen:
    scene.cells("cells")
    return scene.wbc("differential", "cells/0.png", *BY)


def no_slides(scene: Scene) -> Seen:
    """Pictures lie in the folder itself: it is the slide."""
    scene.cells("cells")
    return scene.wbc("differential", "cells", *BY)


def archive_of_slides(scene: Scene) -> Seen:
    scene.write("slides.zip", b"PK\x05\x06" + bytes(18))
    return scene.wbc("differential", "slides.zip", *BY)


def bad_ranges(scene: Scene) -> Seen:
    scene.write("ranges.yaml", "neutrophils: 40-70\n")
    return differential("slides", "--ranges", "ranges.yaml", *BY)(scene)


def out_of_another(scene: Scene) -> Seen:
    scene.write("differential/thesis.docx", "years of work")
    return differential("slides", *BY)(scene)


def review_of_no_differential(scene: Scene) -> Seen:
    scene.cells("cells")
    return scene.wbc("review", "cells")


def drift_without_reference(scene: Scene) -> Seen:
    scene.cells("cells")
    Path(MODEL, "reference.safetensors").unlink()
    return scene.wbc("drift", "cells", *BY)


def export_of_the_baseline(scene: Scene) -> Seen:
    written(Path("models/classical"))
    return scene.wbc("export", "--model", "models/classical")


def without_package(name: str, *words: str) -> Callable[[Scene], Seen]:
    def make(scene: Scene) -> Seen:
        scene.cells("cells")
        for module in [each for each in sys.modules if each.split(".")[0] == name]:
            scene.monkeypatch.delitem(sys.modules, module)
        scene.monkeypatch.setitem(sys.modules, name, None)
        return scene.wbc(*words)

    return make


def port_taken(command: str) -> Callable[[Scene], Seen]:
    def make(scene: Scene) -> Seen:
        with socket.create_server(("127.0.0.1", 0)) as other:
            port = str(other.getsockname()[1])
            return scene.wbc(command, "--port", port)

    return make


def reference_of_another(scene: Scene) -> Seen:
    scene.cells("cells")
    other, _ = write_model(scene.home / "other", seed=2)
    write_reference(other)
    return scene.wbc("drift", "cells", "--reference", str(other / REFERENCE_FILE), *BY)


MAKERS = {
    "predict on a folder without a picture": no_picture,
    "predict on a folder that is not there": predict("cels", *BY),
    "a glob that matches nothing": predict("cells/*.jpg", *BY),
    "a glob without quotes": unquoted_glob,
    "--out in a folder that is not there": predict("cells", "--out", "results/p.csv", *BY),
    "--out that is a folder": predict("cells", "--out", "cells", *BY),
    "--out with another ending": predict("cells", "--out", "p.xlsx", *BY),
    "--out that is there already": out_there,
    "pictures changed while predict was stopped": other_files,
    "--annotate without --fields": predict("cells", "--annotate", "shown", *BY),
    "a probability of 50": predict("cells", "--uncertain-below", "50", *BY),
    "a model folder without files": model_without_files,
    "a model file cut off": model_cut_off("predict", "cells", *BY),
    "serving a model whose file is cut off": model_cut_off("serve", *BY, "--port", "5986"),
    "a model's folder misspelt": predict("cells", "--model", "models/googlnet"),
    "a .zip that is an HTML page": html_archive,
    "links that lead in a circle": looping_links,
    "differential on files instead of a folder": files_instead_of_slides,
    "differential on an archive": archive_of_slides,
    "differential on a folder without slides": no_slides,
    "a --slides rule without parentheses": differential("slides", "--slides", "^[^_]+", *BY),
    "reference ranges that cannot be read": bad_ranges,
    "a differential over somebody's folder": out_of_another,
    "review of a folder that is no differential": review_of_no_differential,
    "drift without a reference": drift_without_reference,
    "drift with another model's reference": reference_of_another,
    "export of the classical baseline": export_of_the_baseline,
    "export without the packages": without_package("onnx", "export", *BY),
    "predict --runtime onnx without the packages": without_package(
        "onnxruntime", "predict", "cells", "--runtime", "onnx", *BY
    ),
    "serve on a port that is taken": port_taken("serve"),
    "the UI on a port that is taken": port_taken("ui"),
    "a command that there is not": lambda scene: scene.wbc("predcit", "cells"),
}
