# SPDX-License-Identifier: BSD-3-Clause
"""Models with transformers: fitted, saved, loaded, and the same as before."""

import sys

import numpy as np
import pytest
import torch
from _persistence import saved
from _photographs import photographs
from torch import nn

import skpatch
from skpatch import PatchFeatureExtractor, SoftPatchDetector, make_pipeline

pytestmark = pytest.mark.usefixtures("one_thread")
PICTURES = photographs(*[(150, 150)] * 3)
DINOV2 = "timm/vit_small_patch14_dinov2.lvd142m"


def fitted(**parameters):
    extractor = PatchFeatureExtractor(weights=None, random_state=0, **parameters)
    detector = SoftPatchDetector(discriminator=None, random_state=0)
    return make_pipeline(extractor, detector).fit(PICTURES)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backbone", "grid"), [(DINOV2, (16, 16)), ("vit_b_16", (14, 14)), ("swin_t", (28, 28))]
)
def test_fit_score_map_save_and_load(tmp_path, backbone, grid):
    pytest.importorskip("timm")
    model = fitted(backbone=backbone, image_size=224)
    assert model[0].grid_size_ == grid
    scores, maps = model.score_samples(PICTURES), model.predict_map(PICTURES)
    assert [one.shape for one in maps] == [(150, 150)] * 3
    again = saved(model, tmp_path)
    assert again[0].layers_ == model[0].layers_
    assert np.array_equal(again.score_samples(PICTURES), scores)
    assert all(map(np.array_equal, again.predict_map(PICTURES), maps))


def test_a_name_of_timm_builds_the_network_again(tmp_path):
    pytest.importorskip("timm")
    model = fitted(backbone="timm/vit_tiny_patch16_224", layers="blocks.0", image_size=64)
    again = saved(model, tmp_path)
    assert np.array_equal(again.score_samples(PICTURES), model.score_samples(PICTURES))


class Untraceable(nn.Module):
    """Decides by the size of the image."""

    def __init__(self):
        super().__init__()
        self.patches = nn.Conv2d(3, 4, 16, 16)
        self.blocks = nn.ModuleList([nn.Linear(4, 4), nn.Linear(4, 4)])

    def forward(self, x):
        if x.shape[2] % 16:
            raise ValueError("no multiple of 16")
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        for block in self.blocks:
            tokens = block(tokens)
        return tokens


def test_a_network_that_cannot_be_traced(tmp_path):
    torch.manual_seed(0)
    module = Untraceable()
    detector = SoftPatchDetector(discriminator=None, random_state=0)
    model = make_pipeline(PatchFeatureExtractor(backbone=module), detector).fit(PICTURES)
    again = saved(model, tmp_path, backbone=module)
    assert np.array_equal(again.score_samples(PICTURES), model.score_samples(PICTURES))
    with pytest.raises(ValueError, match="other weights"):
        saved(model, tmp_path, backbone=Untraceable())
    with pytest.raises(ValueError, match="fitted with a module, a Untraceable; pass it"):
        saved(model, tmp_path)


def test_without_timm_it_says_what_is_missing(tmp_path, monkeypatch):
    pytest.importorskip("timm")
    model = fitted(backbone="timm/vit_tiny_patch16_224", layers="blocks.0", image_size=64)
    skpatch.save(model, tmp_path / "model.skpatch")
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ValueError, match=r"model\.skpatch.* pip install 'skpatch\[timm\]'"):
        skpatch.load(tmp_path / "model.skpatch")


def test_weights_of_timm_that_are_not_here(tmp_path, monkeypatch):
    pytest.importorskip("timm")
    constants = pytest.importorskip("huggingface_hub").constants
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    name = "timm/vit_tiny_patch16_224"
    model = fitted(backbone=name, layers="blocks.0", image_size=64)
    file = tmp_path / "weights.pth"
    torch.save(model[0].model_.state_dict(), file)
    # As if these had been downloaded.
    model[0].set_params(weights="default")
    model[0]._built_from["weights"] = "default"
    skpatch.save(model, tmp_path / "model.skpatch")
    with pytest.raises(FileNotFoundError, match=f"'{name}', are not on this computer"):
        skpatch.load(tmp_path / "model.skpatch")
    again = skpatch.load(tmp_path / "model.skpatch", weights=file)
    assert np.array_equal(again.score_samples(PICTURES), model.score_samples(PICTURES))
