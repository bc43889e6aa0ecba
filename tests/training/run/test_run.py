"""A run from a manifest to a checkpoint that scores, on towers of a few thousand parameters."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file
from tiny import tiny_checkpoint, tiny_model, tiny_tokenizer

from tier_cli.app import main
from tier_cli.model.checkpoint import open_checkpoint
from tier_cli.model.open_engine import open_engine
from tier_cli.model.verify import verify


def run(manifest, output, towers, *more):
    return main(["train", "--data", str(manifest), "--output", str(output), *towers, "--image-size", "64",
                 "--batch-size", "16", "--freeze-text-layers", "0", *more])  # fmt: skip


@pytest.fixture(scope="module")
def learned(manifest, towers, tmp_path_factory):
    """A checkpoint that learned to tell effusions, complete with graphs and curves."""
    output = tmp_path_factory.mktemp("learned") / "model"
    how = ("--epochs", "12", "--lr", "0.01", "--reg-weight", "0.1", "--seed", "2", "--device", "cpu")
    assert run(manifest, output, towers, *how) == 0
    return output


def test_the_validation_result_is_what_eval_gives_for_the_written_checkpoint(learned, manifest, tmp_path):
    """Two numbers for the same images leave people to guess which of them is true."""
    output, report = learned, tmp_path / "eval.json"
    validation = json.loads((output / "validation.json").read_text())
    record = json.loads((output / "training.json").read_text())["validation"]
    options = ["--split", "valid", "--replicates", "5", "--workers", "0", "--device", "cpu"]
    evaluate = ["eval", "--data", str(manifest), "--model", str(output), "--output", str(report)]
    assert main([*evaluate, *options, "--engine", "torch"]) == 0
    expected = json.loads(report.read_text())["scores"][0]["macro"]["auc"]["value"]
    assert validation["mean_auc"]["auc"] == pytest.approx(expected, abs=1e-5)
    assert record["mean_auc"] == pytest.approx(expected, abs=1e-5)
    assert record["measured"] == "checkpoint"


def test_a_run_with_prompts_says_so(manifest, towers, tmp_path, without_graphs):
    """People who read the checkpoint must see that labels taught its scores."""
    more = ("--prompt-weight", "1", "--contrast-weight", "0.1", "--partners", "labels", "--lr", "0.003",
            "--batches-from", "view", "--entropy-temperature", "0.1", "--epochs", "2",
            "--prompt-steps", "2")  # fmt: skip
    assert run(manifest, tmp_path / "model", towers, *more) == 0
    record = json.loads((tmp_path / "model" / "training.json").read_text())
    assert record["prompt_findings"] == ["effusion"]
    assert "not zero-shot" in (tmp_path / "model" / "README.md").read_text()
    log = [json.loads(line) for line in (tmp_path / "model" / "metrics.jsonl").read_text().splitlines()]
    assert all(line["prompt"] > 0 for line in log if "contrastive" in line)


def test_scores_are_compared_with_probabilities_instead_of_labels(manifest, towers, tmp_path, without_graphs):
    """Probabilities that repeat the labels change nothing, their opposites do; the card names the file."""
    frame = pd.read_csv(manifest)
    frame["path"] = [str(manifest.parent / path) for path in frame["path"]]
    once = ("--epochs", "1", "--prompt-weight", "1")
    for name, column in (("same", frame["Effusion"]), ("opposite", 1 - frame["Effusion"])):
        frame.assign(Effusion=column)[["path", "Effusion"]].to_csv(tmp_path / f"{name}.csv", index=False)
        more = ("--soft-labels", str(tmp_path / f"{name}.csv"))
        assert run(manifest, tmp_path / name, towers, *once, *more) == 0
    assert run(manifest, tmp_path / "labels", towers, *once) == 0
    same, opposite, labels = (
        open_checkpoint(tmp_path / name).hashes["weights"] for name in ("same", "opposite", "labels")
    )
    assert same == labels != opposite
    record = json.loads((tmp_path / "same" / "training.json").read_text())
    assert record["data"]["soft_labels"]["images"] == (frame["split"] == "train").sum()
    assert "probabilities from same.csv" in (tmp_path / "same" / "README.md").read_text()
    assert run(manifest, tmp_path / "none", towers, "--soft-labels", str(tmp_path / "same.csv")) == 2


def test_boxes_teach_where_a_finding_is(boxed, towers, tmp_path):
    """Maps of images that the run has not seen are high in the white half; the card says what was taught."""
    how = ("--prompt-weight", "1", "--region-weight", "5", "--contrast-weight", "0", "--reg-weight", "0",
           "--prompts-per-finding", "20", "--epochs", "12", "--lr", "0.01", "--device", "cpu")  # fmt: skip
    assert run(boxed, tmp_path / "model", towers, *how) == 0
    record = json.loads((tmp_path / "model" / "training.json").read_text())
    assert record["data"]["regions"] == {"effusion": 16}
    assert record["data"]["regions_left_out"] == {"Rib": 16}
    assert "effusion (16 images)" in (tmp_path / "model" / "README.md").read_text()
    report = tmp_path / "eval.json"
    evaluate = ["eval", "--data", str(boxed), "--split", "valid", "--replicates", "5", "--grounding"]
    more = ["--model", str(tmp_path / "model"), "--output", str(report), "--workers", "0"]
    assert main([*evaluate, *more, "--device", "cpu", "--engine", "torch"]) == 0
    found = json.loads(report.read_text())["sections"]["grounding"]
    assert found["macro"]["auc"]["value"] > 0.95


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (("--region-weight", "1"), "give a --prompt-weight"),
        (("--region-weight", "1", "--prompt-weight", "1"), "add a column `boxes` or `mask`"),
        (
            ("--region-weight", "1", "--prompt-weight", "1", "--freeze-image-blocks", "1"),
            "give --freeze-image-blocks 0",
        ),
    ],
)
def test_a_region_term_that_cannot_be_is_refused(manifest, towers, tmp_path, more, told, capfd):
    assert run(manifest, tmp_path / "model", towers, *more) == 2
    assert told in capfd.readouterr().err.replace("\n", " ")


def test_boxes_of_other_findings_are_named(boxed, towers, tmp_path, capfd):
    (tmp_path / "a.csv").write_text(boxed.read_text().replace("Effusion", "Clavicle"))
    lines = (tmp_path / "a.csv").read_text().replace("view,Clavicle", "view,Effusion")
    (tmp_path / "a.csv").write_text(lines)
    more = ("--region-weight", "1", "--prompt-weight", "1")
    assert run(tmp_path / "a.csv", tmp_path / "model", towers, *more) == 2
    assert "they are of Clavicle, Rib, labels of effusion" in capfd.readouterr().err.replace("\n", " ")


def test_prompts_without_labels_are_refused(towers, tmp_path):
    (tmp_path / "a.csv").write_text("path,split,text\nx.png,train,Clear.\ny.png,train,Mass.\n")
    assert run(tmp_path / "a.csv", tmp_path / "model", towers, "--prompt-weight", "1") == 2
    assert run(tmp_path / "a.csv", tmp_path / "model", towers, "--prompt-steps", "1") == 2


def test_a_run_learns_and_leaves_a_whole_checkpoint(learned):
    output = learned
    assert verify(output) == []
    assert (output / "curves.png").stat().st_size > 10_000
    assert not any(path.is_dir() for path in output.iterdir())
    record = json.loads((output / "training.json").read_text())
    assert record["settings"]["lambda_patch"] == record["settings"]["lambda_token"] == 0.1
    # The tiny text tower cannot know a prompt from its denial, so the sign is chance.
    assert abs(record["validation"]["effusion"] - 0.5) > 0.4
    log = [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()]
    assert {"contrastive", "patch_entropy", "token_entropy", "similarity_hoyer"} <= log[0].keys()
    checkpoint = open_checkpoint(output)
    assert checkpoint.preprocessing.crop == 64
    assert np.isfinite(open_engine(checkpoint).encode_images(np.zeros((1, 3, 64, 64), np.float32))).all()


def test_the_seed_decides_everything(manifest, towers, tmp_path, without_graphs):
    for name, seed in (("a", "3"), ("b", "3"), ("c", "4")):
        assert run(manifest, tmp_path / name, towers, "--epochs", "1", "--seed", seed) == 0
    hashes = [open_checkpoint(tmp_path / name).hashes["weights"] for name in "abc"]
    assert hashes[0] == hashes[1] != hashes[2]


def test_frozen_blocks_stay_and_their_features_are_used_again(manifest, towers, tmp_path, without_graphs):
    kept = tmp_path / "features"
    more = ("--epochs", "1", "--freeze-image-blocks", "1", "--features", str(kept), "--cached-views", "2")
    assert run(manifest, tmp_path / "a", towers, *more) == 0
    (file,) = kept.iterdir()
    assert file.suffix == ".npy"
    written = file.stat().st_mtime_ns
    assert run(manifest, tmp_path / "b", towers, *more, "--reg-weight", "0") == 0
    assert [f.stat().st_mtime_ns for f in kept.iterdir()] == [written]
    data = Path(shutil.copytree(manifest.parent, tmp_path / "data"))
    shutil.copyfile(data / "1.png", data / "0.png")
    assert run(data / "manifest.csv", tmp_path / "c", towers, *more) == 0
    assert len(list(kept.iterdir())) == 2
    shutil.copyfile(manifest.parent / "0.png", data / "0.png")
    assert run(data / "manifest.csv", tmp_path / "d", towers, *more) == 0
    assert len(list(kept.iterdir())) == 2
    assert run(manifest, tmp_path / "paper", towers, *more, "--augmentation", "paper") == 0
    assert len(list(kept.iterdir())) == 3, "features of other views must not be taken"
    record = json.loads((tmp_path / "paper" / "training.json").read_text())
    assert record["settings"]["augmentation"] == "paper"
    trained, start = load_file(tmp_path / "a" / "model.safetensors"), tiny_model().half().state_dict()
    stages: dict[str, list[bool]] = {"stages.0": [], "stages.1": []}
    for name, tensor in start.items():
        for stage, same in stages.items():
            if stage in name and "num_batches" not in name:
                same.append(np.array_equal(trained[name], tensor.numpy()))
    assert all(stages["stages.0"])
    assert not all(stages["stages.1"])


@pytest.mark.parametrize(("kind", "frozen", "code"), [("distilbert", 1, 0), ("albert", 1, 2)])
def test_text_towers_other_than_bert_train_or_are_refused(
    kind, frozen, code, manifest, towers, tmp_path, capsys, without_graphs
):
    from transformers import AutoConfig, AutoModel

    sizes = {"hidden_size": 32, "num_attention_heads": 2, "num_hidden_layers": 2, "vocab_size": 200}
    sizes |= {"hidden_dim": 64} if kind == "distilbert" else {"intermediate_size": 64}
    tiny_tokenizer(tmp_path / "text")
    AutoModel.from_config(AutoConfig.for_model(kind, **sizes)).save_pretrained(tmp_path / "text")
    options = [*towers[:2], "--text-tower", str(tmp_path / "text"), "--epochs", "1"]
    more = ("--freeze-text-layers", str(frozen))
    assert run(manifest, tmp_path / "out", options, *more) == code
    assert ("--text-tower" in capsys.readouterr().err) == (code == 2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "no data was given"),
        (["--data", "absent.csv", "--text-tower", "absent"], "one of them was given"),
    ],
)
def test_missing_options_say_what_to_give(options, message, tmp_path, capsys):
    assert main(["train", "--output", str(tmp_path / "out"), *options]) == 2
    assert message in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "out").exists()


def test_an_unreadable_image_ends_the_run_unless_allowed(manifest, towers, tmp_path, capsys, without_graphs):
    text = manifest.read_text()
    broken = manifest.with_name("broken.csv")
    broken.write_text(text.replace("0.png,p0,", "nothing.png,p0,", 1))
    assert run(broken, tmp_path / "a", towers, "--epochs", "1") == 2
    assert "--max-bad" in " ".join(capsys.readouterr().err.split())
    assert run(broken, tmp_path / "b", towers, "--epochs", "1", "--max-bad", "1") == 0
    assert json.loads((tmp_path / "b" / "training.json").read_text())["data"]["images"] == 31


def test_validation_obeys_max_bad_and_its_split_is_case_insensitive(
    manifest, towers, tmp_path, capsys, without_graphs
):
    broken = manifest.with_name("broken-valid.csv")
    broken.write_text(manifest.read_text().replace("40.png,p40,valid", "nothing.png,p40,Valid"))
    assert run(broken, tmp_path / "a", towers, "--epochs", "1") == 2
    assert "1 of 16 images cannot be read" in " ".join(capsys.readouterr().err.split())
    assert run(broken, tmp_path / "b", towers, "--epochs", "1", "--max-bad", "1") == 0
    assert json.loads((tmp_path / "b" / "training.json").read_text())["validation"]["images"] == 15


def test_an_unwritable_output_is_named_and_nothing_is_deleted(manifest, towers, tmp_path, capsys):
    (tmp_path / "file").touch()
    assert run(manifest, tmp_path / "file" / "model", towers) == 2
    assert "--output" in " ".join(capsys.readouterr().err.split())
    (tmp_path / "scratch").mkdir()
    (tmp_path / "scratch" / "mine").touch()
    assert run(manifest.with_name("absent.csv"), tmp_path, towers) == 2
    assert (tmp_path / "scratch" / "mine").exists()


def test_a_patient_on_both_sides_is_refused(manifest, towers, tmp_path, capsys):
    leaking = manifest.with_name("leaking.csv")
    leaking.write_text(manifest.read_text().replace(",p40,", ",p0,"))
    assert run(leaking, tmp_path / "a", towers) == 2
    assert "1 patients are in both" in " ".join(capsys.readouterr().err.split())


def test_a_checkpoint_is_never_overwritten(manifest, towers, tmp_path, capsys):
    (tmp_path / "model.safetensors").write_bytes(b"mine")
    assert run(manifest, tmp_path, towers) == 2
    assert (tmp_path / "model.safetensors").read_bytes() == b"mine"


def test_more_frozen_text_layers_than_there_are_is_refused(manifest, towers, tmp_path, capsys):
    assert run(manifest, tmp_path / "a", towers, "--freeze-text-layers", "9") == 2
    assert "has 1 layers, not 9" in " ".join(capsys.readouterr().err.split())


def test_a_checkpoint_is_trained_further_with_all_that_it_has(manifest, towers, tmp_path, without_graphs):
    start = tiny_checkpoint(tmp_path / "start")
    output = tmp_path / "model"
    options = ["--init", str(start), "--batch-size", "16", "--freeze-text-layers", "0", "--epochs", "1",
               "--learning-rate", "0", "--average-decay", "0", "--images", "stream"]  # fmt: skip
    assert main(["train", "--data", str(manifest), "--output", str(output), *options]) == 0
    before, after = open_checkpoint(start), open_checkpoint(output)
    assert after.preprocessing == before.preprocessing
    assert after.findings.ids == before.findings.ids
    assert after.hashes["tokenizer"] == before.hashes["tokenizer"]
    first, second = (load_file(folder / "model.safetensors") for folder in (start, output))
    for name, tensor in first.items():
        # With a rate of 0 only the statistics of the images move.
        assert ("running" in name or "num_batches" in name) or np.array_equal(second[name], tensor)


def test_sigmoid_in_parts_learns_and_keeps_its_bias(manifest, towers, tmp_path, without_graphs):
    output = tmp_path / "model"
    options = ("--objective", "sigmoid", "--micro-batch-size", "4", "--epochs", "12")
    assert (
        run(manifest, output, towers, *options, "--checkpoint-activations", "--learning-rate", "0.003") == 0
    )
    bias = load_file(output / "model.safetensors")["logit_bias"]
    assert -10.5 < bias < -9.5
    log = [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()]
    losses = [line["total"] for line in log if "total" in line]
    assert losses[-1] < losses[0]
    assert json.loads((output / "training.json").read_text())["settings"]["accumulate"] == 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--init", "tier-small", "--image-size", "64"],
            "--image-size: the checkpoint of --init has its own",
        ),
        (["--accumulate", "2", "--micro-batch-size", "2"], "--accumulate, --micro-batch-size"),
        (["--micro-batch-size", "5"], "parts of 5 images do not divide a batch of 16"),
        (["--accumulate", "3"], "a batch of 16 cannot be divided among 1 processes with 3 parts each"),
        (["--reg-weight", "inf"], "--lambda-patch: cannot be inf"),
        (["--output", ""], "no checkpoint folder was given"),
        (["--valid-split", "TEST"], "--valid-split: a test split is for evaluation"),
        (["--train-split", "testing"], "--train-split: a test split is for evaluation"),
        (["--device", "mps"], "torch cannot use a mps device"),
    ],
)
def test_options_that_contradict_each_other_are_refused(options, message, manifest, towers, tmp_path, capsys):
    start = [] if "--init" in options else towers
    assert run(manifest, tmp_path / "out", start, *options) == 2
    assert message in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "out" / ".training").exists()


def test_a_folder_of_other_things_is_left_alone(manifest, towers, tmp_path, capsys):
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "README.md").write_text("mine")
    assert run(manifest, tmp_path / "project", towers) == 2
    assert "holds README.md, which a checkpoint would replace" in " ".join(capsys.readouterr().err.split())
    assert (tmp_path / "project" / "README.md").read_text() == "mine"


def test_a_run_that_failed_before_it_read_anything_leaves_nothing(manifest, towers, tmp_path, capsys):
    assert run(manifest, tmp_path / "a", towers, "--accumulate", "3") == 2
    assert list((tmp_path / "a").iterdir()) == []


def test_a_disk_without_room_for_the_images_is_reported(manifest, towers, tmp_path, capsys):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    try:
        code = run(manifest, tmp_path / "a", towers, "--images", "memory-map")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert code == 2
    assert "cannot be written: File too large; free disk space" in " ".join(capsys.readouterr().err.split())
    assert list((tmp_path / "a").iterdir()) == []


REUSING_TRACES = """
import pathlib, sys
import pytest
from traced import reuse_traces
from tier_cli.app import main
reuse_traces(pytest.MonkeyPatch(), pathlib.Path(sys.argv.pop(1)))
sys.exit(main())
"""


@pytest.mark.slow
def test_torchrun_writes_one_checkpoint(manifest, towers, tmp_path, graphs):
    """The quick version, without torchrun and graphs, is in `test_distributed.py`."""
    command = [
        *(sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--no-python"),
        *(sys.executable, "-c", REUSING_TRACES, str(graphs)),
        *(
            "train",
            "--data",
            str(manifest),
            "--output",
            str(tmp_path / "model"),
            *towers,
            "--image-size",
            "64",
        ),
        *("--batch-size", "16", "--freeze-text-layers", "0", "--epochs", "2", "--device", "cpu"),
    ]
    here = Path(__file__).resolve().parents[3]
    done = subprocess.run(
        command,
        env={**os.environ, "PYTHONPATH": f"{here}:{here / 'tests' / 'support'}", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("Wrote") == 1
    assert verify(tmp_path / "model") == []
    assert json.loads((tmp_path / "model" / "training.json").read_text())["processes"] == 2
    steps = [
        json.loads(line)["step"] for line in (tmp_path / "model" / "metrics.jsonl").read_text().splitlines()
    ]
    # One line per step, and one per epoch: each is written once, not once per process.
    assert steps == [1, 2, 2, 3, 4, 4]


def test_out_of_memory_on_a_gpu_suggests_remedies(manifest, towers, tmp_path, capsys, monkeypatch):
    import torch

    def full(*given, **named):
        raise torch.cuda.OutOfMemoryError

    monkeypatch.setattr("tier_cli.training.loop.step.Gradients.whole", full)
    assert run(manifest, tmp_path / "a", towers) == 2
    assert "--micro-batch-size" in " ".join(capsys.readouterr().err.split())
