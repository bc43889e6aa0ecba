"""The best epochs of a run as checkpoints: complete, and independent of interruptions."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file
from tiny import tiny_checkpoint, tiny_model

from tier_cli.app import main
from tier_cli.errors import TierError
from tier_cli.model.checkpoint import open_checkpoint
from tier_cli.model.verify import verify
from tier_cli.training.loop.state import save_state
from tier_cli.training.report.card import write_card
from tier_cli.training.report.epochs import KeptEpochs


class Measures:
    """Stand in for validation, with one AUC per epoch."""

    def __init__(self, aucs):
        self.values = iter(aucs)

    def scores(self, model):
        return np.zeros((2, 1))

    def aucs(self, scores):
        value = next(self.values)
        return {} if value is None else {"mean_auc": value}


def kept_epochs(aucs, count, folder):
    """Keep the best epochs of a run whose validation gives these AUCs."""
    validation: Any = Measures(aucs)
    return KeptEpochs(validation, count, folder)


AUCS = [0.5, 0.7, 0.6, 0.8, 0.7, 0.65]


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("killed_after", range(7))
@pytest.mark.parametrize("saved", [True, False])
def test_the_best_epochs_are_kept_wherever_the_run_was_killed(tmp_path, killed_after, saved):
    """Killed after an epoch was measured, with its state saved or not; what comes then is made again."""
    model = tiny_model()
    first = kept_epochs(AUCS, 2, tmp_path)
    first.begin(0)
    for _ in range(killed_after):
        first(model)
    done = max(killed_after - (0 if saved else 1), 0)
    again = kept_epochs(AUCS[done:], 2, tmp_path)
    again.begin(done)
    for _ in range(len(AUCS) - done):
        again(model)
    # Of the two with 0.7 the earlier one.
    assert [measured["epoch"] for measured in again.best()] == [2, 4]


def test_a_repeated_epoch_is_ranked_against_all_others(tmp_path):
    """On a GPU the bits differ: what a better second epoch had pushed out must still be there."""
    first = kept_epochs([0.5, 0.9], 1, tmp_path)
    first.begin(0)
    first(tiny_model())
    first(tiny_model())
    again = kept_epochs([0.4], 1, tmp_path)
    again.begin(1)
    again(tiny_model())
    assert [measured["epoch"] for measured in again.best()] == [1]


def test_an_epoch_without_an_auc_is_not_kept(tmp_path):
    kept = kept_epochs([None, 0.5], 2, tmp_path)
    kept.begin(0)
    assert kept(tiny_model()) == {}
    kept(tiny_model())
    assert names(tmp_path) == ["epoch-02"]


def test_a_disk_that_is_full_leaves_nothing_half_written(tmp_path, monkeypatch):
    kept = kept_epochs(AUCS, 2, tmp_path)
    kept.begin(0)
    kept(tiny_model())

    def full(*given, **named):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tier_cli.training.report.epochs.np.save", full)
    with pytest.raises(TierError, match=r"cannot keep epoch 2 \(No space left on device\).*--resume"):
        kept(tiny_model())
    assert names(tmp_path) == ["epoch-01"]


def run(manifest, output, towers, *more):
    return main(["train", "--data", str(manifest), "--output", str(output), *towers, "--image-size", "64",
                 "--batch-size", "16", "--learning-rate", "0.003", "--schedule", "constant",
                 "--warmup-share", "0", *more])  # fmt: skip


def watched(output):
    lines = [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()]
    return [line["mean_auc"] for line in lines if "mean_auc" in line]


@pytest.mark.parametrize("decay", ["0", "0.9"])
def test_what_is_kept_is_the_model_of_that_epoch(decay, manifest, towers, tmp_path, without_graphs):
    more = ("--average-decay", decay)
    assert run(manifest, tmp_path / "a", towers, "--epochs", "4", "--keep-epochs", "2", *more) == 0
    aucs = watched(tmp_path / "a")
    best = sorted(sorted(range(1, 5), key=lambda epoch: (-aucs[epoch - 1], epoch))[:2])
    assert names(tmp_path / "a" / "epochs") == [f"epoch-{epoch:02d}" for epoch in best]
    assert not (tmp_path / "a" / ".training").exists()
    for epoch in best:
        # With a constant rate a shorter run ends with the weights of that epoch of a longer one.
        assert run(manifest, tmp_path / str(epoch), towers, "--epochs", str(epoch), *more) == 0
        folder = tmp_path / "a" / "epochs" / f"epoch-{epoch:02d}"
        same = load_file(tmp_path / str(epoch) / "model.safetensors")
        kept = load_file(folder / "model.safetensors")
        assert all(np.array_equal(kept[name], tensor) for name, tensor in same.items())
        record = json.loads((folder / "training.json").read_text())
        assert (record["epoch"], record["validation"]["mean_auc"]) == (epoch, aucs[epoch - 1])
        judged = json.loads((folder / "validation.json").read_text())
        assert judged["mean_auc"]["auc"] == pytest.approx(aucs[epoch - 1], abs=1e-5)
        card = (folder / "README.md").read_text()
        assert f"# epoch-{epoch:02d}" in card
        assert f"Epoch {epoch} of 4 is one of the 2 epochs kept" in card
        assert "not strictly zero-shot" in card
        assert f"at the end of epoch {epoch}" in card or decay == "0"
    assert f"epochs {best[0]}, {best[1]}, selected" in (tmp_path / "a" / "README.md").read_text()


@pytest.mark.parametrize(
    "when",
    [pytest.param("before the state of epoch 3", marks=pytest.mark.slow), "while the epochs are written"],
)
def test_a_run_killed_and_resumed_ends_with_the_same_epochs(
    when, manifest, towers, tmp_path, without_graphs, monkeypatch
):
    more = ("--epochs", "5", "--keep-epochs", "2")
    assert run(manifest, tmp_path / "whole", towers, *more) == 0
    with monkeypatch.context() as broken:
        calls = iter(range(100))

        def dies(name, real, at):
            def call(*given, **named):
                if next(calls) == at:
                    raise KeyboardInterrupt
                return real(*given, **named)

            broken.setattr(name, call)

        if "state" in when:
            dies("tier_cli.training.loop.loop.save_state", save_state, 2)
        else:
            dies("tier_cli.training.report.epochs.write_card", write_card, 1)
        assert run(manifest, tmp_path / "killed", towers, *more) == 130
    # Another number of epochs to keep is another run.
    assert run(manifest, tmp_path / "killed", towers, "--epochs", "5", "--keep-epochs", "3", "--resume") == 2
    assert run(manifest, tmp_path / "killed", towers, *more, "--resume") == 0
    ended = [
        {folder.name: open_checkpoint(folder).hashes for folder in (tmp_path / name / "epochs").iterdir()}
        for name in ("whole", "killed")
    ]
    assert len(ended[0]) == 2
    assert ended[0] == ended[1]


def test_kept_epochs_form_an_ensemble_and_can_be_averaged(manifest, tmp_path, capsys):
    output, start = tmp_path / "model", tiny_checkpoint(tmp_path / "start")
    # From a checkpoint whose graphs were traced before: its own take seconds.
    small = ["--batch-size", "16", "--freeze-text-layers", "0", "--epochs", "2", "--keep-epochs", "2"]
    command = ["train", "--data", str(manifest), "--init", str(start), "--output", str(output)]
    assert main([*command, *small]) == 0
    models = [f"--model={folder}" for folder in sorted((output / "epochs").iterdir())]
    assert len(models) == 2
    assert all(verify(model.partition("=")[2]) == [] for model in models)
    assert verify(output) == []
    capsys.readouterr()
    assert main(["classify", str(manifest.parent / "1.png"), *models]) == 0
    assert "effusion" in capsys.readouterr().out.lower()
    paths = [model.partition("=")[2] for model in models]
    assert main(["model", "average", *paths, "--output", str(tmp_path / "mean")]) == 0
    assert verify(tmp_path / "mean") == []
    # Labelled images chose them, and so this one too.
    assert "labelled images selected them" in (tmp_path / "mean" / "README.md").read_text()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--valid-split", "train2"], "no image is in split"),
        (["--findings", "Edema,Mass"], "--keep-epochs: no finding has both"),
        (["--sweep", "seed=0,1"], "--keep-epochs: a sweep keeps whole runs"),
    ],
)
def test_keep_epochs_without_validation_is_refused(options, message, manifest, towers, tmp_path, capsys):
    assert run(manifest, tmp_path / "out", towers, "--keep-epochs", "2", *options) == 2
    assert message in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "out").exists()


def test_epochs_of_another_run_are_not_mixed_with_its_own(manifest, towers, tmp_path, capsys):
    (tmp_path / "out" / "epochs" / "epoch-01").mkdir(parents=True)
    assert run(manifest, tmp_path / "out", towers, "--keep-epochs", "2") == 2
    assert "already holds a checkpoint" in " ".join(capsys.readouterr().err.split())
