"""A loss that is not a number: the images of its batch are listed for inspection."""

from __future__ import annotations

import numpy as np
import pytest
from little import silent, trainer

from tier_cli.app import main
from tier_cli.errors import TierError
from tier_cli.training.loop.diverged import LIST_FILE


def broken(folder):
    made = trainer(folder)
    made.model.logit_scale.data.fill_(float("nan"))
    return made


def test_the_images_of_the_batch_are_named_and_listed(tmp_path):
    made = broken(tmp_path)
    images = [f"{row}.png" for row in made.task.batches.plan.rows(0)]
    with pytest.raises(TierError) as told:
        made.run(silent)
    assert told.value.what == (
        f"the loss is not a finite number at step 1, for {', '.join(images[:3])} and 5 more images"
    )
    assert str(tmp_path / LIST_FILE) in str(told.value)
    assert (tmp_path / LIST_FILE).read_text().splitlines() == images


def test_the_error_does_not_name_a_list_that_was_not_written(tmp_path):
    made = broken(tmp_path)
    (tmp_path / LIST_FILE).mkdir()
    with pytest.raises(TierError, match="not a finite number") as told:
        made.run(silent)
    assert LIST_FILE not in str(told.value)


def test_a_successful_run_leaves_no_list(tmp_path):
    (tmp_path / LIST_FILE).write_text("of the run before\n")
    trainer(tmp_path, epochs=1).run(silent)
    assert not (tmp_path / LIST_FILE).exists()


def rate(manifest, towers, *more):
    """A rate at which nothing stays finite."""
    return main(["train", "--data", str(manifest), *towers, "--image-size", "64", "--batch-size", "16",
                 "--freeze-text-layers", "0", "--epochs", "40", "--clip-norm", "0", "--warmup-share", "0",
                 "--learning-rate", "1e30", *more])  # fmt: skip


def test_rows_that_were_left_out_do_not_shift_the_names(manifest, towers, tmp_path, capsys):
    """The names are those of the rows trained on, not of as many rows from the top of the table."""
    lines = manifest.read_text().splitlines()
    others = np.random.default_rng(0).permutation(lines[1:])
    table = manifest.with_name("shuffled.csv")
    table.write_text("\n".join([lines[0], "nothing.png,p99,train,FRONTAL,1", *others]) + "\n")
    output = tmp_path / "out"
    assert rate(table, towers, "--max-bad", "1", "--output", str(output)) == 2
    assert LIST_FILE in capsys.readouterr().err.replace("\n", "")
    trained = {str(manifest.parent / line.split(",")[0]) for line in lines[1:] if ",train," in line}
    named = (output / LIST_FILE).read_text().splitlines()
    assert 1 < len(named) <= 16
    assert set(named) <= trained


def test_a_sweep_keeps_the_list_of_a_point_that_diverged(manifest, towers, tmp_path):
    output = tmp_path / "grid"
    assert rate(manifest, towers, "--output", str(output), "--sweep", "seed=0,1") == 2
    assert len(list(output.glob(f"points/*/{LIST_FILE}"))) == 2
