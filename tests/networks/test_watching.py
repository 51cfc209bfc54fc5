# SPDX-License-Identifier: BSD-3-Clause
"""Networks that torch.fx cannot trace."""

import pickle
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from _photographs import photographs
from torch import nn

from skpatch import PatchFeatureExtractor
from skpatch.engines.choosing import ENGINES

pytestmark = pytest.mark.usefixtures("one_thread")
PICTURES = photographs((70, 100), (70, 100), (70, 100))


class Block(nn.Module):
    """Gives its tokens in a tuple, as blocks with an attention to show do."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(6, 6)

    def forward(self, tokens):
        return tokens + self.linear(tokens), None


class Encoder(nn.Module):
    """As Hugging Face's: patches of 14 pixels, a class token and two registers."""

    def __init__(self, n_blocks=4):
        super().__init__()
        torch.manual_seed(0)
        self.config = SimpleNamespace(num_register_tokens=2)
        self.patches = nn.Conv2d(3, 6, 14, 14)
        self.others = nn.Parameter(torch.randn(1, 3, 6))
        self.layer = nn.ModuleList(Block() for _ in range(n_blocks))
        self.unused = nn.Linear(6, 6)

    def forward(self, pixel_values, interpolate_pos_encoding=False, **kwargs):
        # torch.fx has no truth for a symbol.
        if pixel_values.shape[-1] != 56 and not interpolate_pos_encoding:
            raise ValueError("another size")
        tokens = self.patches(pixel_values).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.others.expand(len(tokens), -1, -1), tokens], 1)
        for layer in self.layer:
            tokens, _ = layer(tokens)
        return {"last_hidden_state": tokens}


def normalised(size):
    """What a network is given, (n, 3, H, W)."""
    extractor = PatchFeatureExtractor(
        backbone=nn.Sequential(nn.Identity()), layers="0", patch_size=1, image_size=size
    )
    return torch.from_numpy(extractor.fit_transform(PICTURES)).permute(0, 3, 1, 2)


def test_features_are_those_of_the_tokens():
    module = Encoder()
    extractor = PatchFeatureExtractor(backbone=module, image_size=(70, 98)).fit(PICTURES)
    assert extractor.layers_ == ("layer.1", "layer.2")
    assert extractor.grid_size_ == (5, 7)
    seen = []
    for number in (1, 2):
        module.layer[number].register_forward_hook(lambda *given: seen.append(given[2][0]))
    with torch.inference_mode():
        module(normalised((70, 98)), interpolate_pos_encoding=True)
    expected = torch.cat(seen, 2)[:, 3:].reshape(3, 5, 7, 12)
    np.testing.assert_allclose(extractor.transform(PICTURES), expected, atol=1e-5)


def test_threads_see_their_own_images():
    extractor = PatchFeatureExtractor(backbone=Encoder(), image_size=56, batch_size=1)
    many = PICTURES * 8
    one = extractor.fit(many).transform(many)
    assert np.array_equal(extractor.set_params(n_jobs=4).transform(many), one)


def test_pickled():
    extractor = PatchFeatureExtractor(backbone=Encoder(), image_size=56).fit(PICTURES)
    again = pickle.loads(pickle.dumps(extractor))
    assert np.array_equal(again.transform(PICTURES), extractor.transform(PICTURES))


def test_weights_from_a_file(tmp_path):
    trained, path = Encoder(), tmp_path / "weights.pth"
    nn.init.normal_(trained.layer[1].linear.weight)
    torch.save({"model": trained.state_dict()}, path)
    expected = PatchFeatureExtractor(backbone=trained, image_size=56).fit_transform(PICTURES)
    extractor = PatchFeatureExtractor(backbone=Encoder(), weights=path, image_size=56)
    assert np.array_equal(extractor.fit_transform(PICTURES), expected)


@pytest.mark.parametrize("engine", ["openvino", "onnx"])
def test_other_engines(engine):
    pytest.importorskip(ENGINES[engine][0])
    extractor = PatchFeatureExtractor(backbone=Encoder(), image_size=56).fit(PICTURES)
    expected = extractor.transform(PICTURES)
    extractor.set_params(engine=engine)
    np.testing.assert_allclose(extractor.transform(PICTURES), expected, atol=1e-4)


def test_a_layer_that_is_not_called():
    extractor = PatchFeatureExtractor(backbone=Encoder(), layers="unused")
    with pytest.raises(ValueError, match="'unused' of Encoder gives no tensor"):
        extractor.fit(PICTURES)


def test_an_unknown_layer():
    extractor = PatchFeatureExtractor(backbone=Encoder(), layers="blocks.1")
    with pytest.raises(ValueError, match=r"Encoder has no layer 'blocks\.1'. It has .*layer\.1"):
        extractor.fit(PICTURES)


@pytest.mark.parametrize("name", ["Dinov2", "DINOv3ViT", "ViT"])
def test_hugging_face(name):
    transformers = pytest.importorskip("transformers")
    parts = {"hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 2}
    parts |= {"image_size": 64, "patch_size": 16, "intermediate_size": 64}
    torch.manual_seed(0)
    module = getattr(transformers, f"{name}Model")(getattr(transformers, f"{name}Config")(**parts))
    extractor = PatchFeatureExtractor(backbone=module, image_size=(64, 96)).fit(PICTURES)
    assert extractor.grid_size_ == (4, 6)
    options = {"interpolate_pos_encoding": True} if name == "ViT" else {}
    with torch.inference_mode():
        pixels = normalised((64, 96))
        states = module.eval()(pixels, output_hidden_states=True, **options).hidden_states
    expected = torch.cat([states[2], states[3]], 2)[:, -24:].reshape(3, 4, 6, 64)
    np.testing.assert_allclose(extractor.transform(PICTURES), expected, atol=1e-4)


def test_stages_of_hugging_face():
    transformers = pytest.importorskip("transformers")
    parts = {"embed_dim": 8, "depths": [1] * 4, "num_heads": [1] * 4, "window_size": 7}
    module = transformers.SwinModel(transformers.SwinConfig(**parts))
    extractor = PatchFeatureExtractor(backbone=module, image_size=224, batch_size=1)
    assert extractor.fit_transform(PICTURES[:1]).shape == (1, 28, 40, 16 + 32)
    assert extractor.layers_ == ("encoder.layers.0", "encoder.layers.1")
