"""Rates, groups and the average of the weights."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from little import SETTINGS, encoders
from tiny import tiny_model

from tier_cli.training.loop.optimise import WeightAverage, build_optimizer, rate_factor, set_rate


def test_rates_warm_up_and_then_fall_or_stay():
    cosine = replace(SETTINGS, warmup_share=0.1, schedule="cosine")
    constant = replace(cosine, schedule="constant")
    for settings in (cosine, constant):
        assert [rate_factor(step, 100, settings) for step in (0, 4, 9)] == pytest.approx([0.1, 0.5, 1.0])
    assert rate_factor(55, 100, cosine) == pytest.approx(0.5)
    assert rate_factor(99, 100, cosine) == pytest.approx(0.5 * (1 + math.cos(math.pi * 89 / 90)))
    assert rate_factor(99, 100, constant) == 1.0


def test_fresh_heads_learn_faster_and_norms_do_not_decay():
    model = encoders(SETTINGS).model
    settings = replace(SETTINGS, learning_rate=0.5, head_rate_factor=3.0, weight_decay=0.1, warmup_share=0.5)
    for fresh, factor in ((True, 3.0), (False, 1.0)):
        optimizer = build_optimizer(model, settings, fresh)
        assert set_rate(optimizer, 4, 20, settings) == pytest.approx(0.25)
        rates = {id(p): g["lr"] for g in optimizer.param_groups for p in g["params"]}
        decays = {id(p): g["weight_decay"] for g in optimizer.param_groups for p in g["params"]}
        assert rates.keys() == {id(p) for p in model.parameters()}
        named = dict(model.named_parameters())
        assert rates[id(named["image_projection.conv_in.weight"])] == pytest.approx(0.25 * factor)
        assert rates[id(model.logit_scale)] == pytest.approx(0.25)
        assert decays[id(model.logit_scale)] == 0.0
        assert decays[id(named["image_projection.norm.weight"])] == 0.0
        assert decays[id(named["image_projection.conv_in.weight"])] == 0.1
        assert decays[id(named["text_tower.embeddings.word_embeddings.weight"])] == 0.1


def test_the_average_follows_its_formula_and_leaves_the_model_alone():
    model = tiny_model()
    average = WeightAverage(model, 0.9)
    expected, scale = 0.0, model.logit_scale
    with torch.no_grad():
        for step, value in enumerate((1.0, 2.0, 4.0), start=1):
            scale.fill_(value)
            average.update(step)
            decay = 0.0 if step == 1 else min(0.9, (1 + step) / (10 + step))
            expected = decay * expected + (1 - decay) * value
    assert average.averaged().logit_scale.item() == pytest.approx(expected)
    assert scale.item() == 4.0
    average.apply()
    assert scale.item() == pytest.approx(expected)


def test_no_average_gives_the_last_step():
    model = tiny_model()
    average = WeightAverage(model, 0.0)
    with torch.no_grad():
        model.logit_scale.fill_(2.0)
    average.update(1)
    assert average.averaged().logit_scale.item() == 2.0
