# SPDX-License-Identifier: BSD-3-Clause
"""Networks of timm: by name, as modules, and with weights in the forms that people have."""

import copy
import pickle
from functools import partial

import numpy as np
import pytest
import torch
from _photographs import photographs
from safetensors.torch import save_file

from skpatch import PatchFeatureExtractor
from skpatch.engines.choosing import ENGINES
from skpatch.networks.backbones import build_backbone, downloaded_weights
from skpatch.networks.layers import TracedNetwork

timm = pytest.importorskip("timm")
pytestmark = pytest.mark.usefixtures("one_thread")
TINY = "timm/vit_tiny_patch16_224.augreg_in21k"


def vision_transformer(**parameters):
    """DINOv2's architecture, small: patches of 14 pixels, a class token and four registers."""
    torch.manual_seed(0)
    given = {"img_size": 56, "patch_size": 14, "embed_dim": 16, "depth": 4, "num_heads": 2}
    parameters = {**given, "num_classes": 0, "init_values": 1.0, **parameters}
    module = timm.models.VisionTransformer(reg_tokens=4, no_embed_class=True, **parameters)
    # timm's random class and register tokens are nearly alike.
    for token in (module.cls_token, module.reg_token, module.pos_embed):
        torch.nn.init.normal_(token)
    return module.eval()


def images(*size):
    return torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("size", [(56, 56), (70, 98)])
def test_maps_are_those_of_timm(size):
    """Also for another size than that of the position embedding."""
    module = vision_transformer()
    reference = vision_transformer(dynamic_img_size=True)
    network = TracedNetwork(module, build_backbone(module, "default", 0).module)
    layers = network.default_layers()
    assert layers == ("blocks.1", "blocks.2")
    taps = network.taps((*layers, "norm"))
    assert network.gives_tokens(taps, size)
    with torch.inference_mode():
        found = taps(images(*size))
        last, maps = reference.forward_intermediates(images(*size))
        for layer, number in zip(layers, (1, 2), strict=True):
            torch.testing.assert_close(found[layer], maps[number])
        grid = last[:, 5:].unflatten(1, maps[0].shape[2:]).permute(0, 3, 1, 2)
        torch.testing.assert_close(found["norm"], grid)


def test_dinov3_with_rotary_positions():
    torch.manual_seed(0)
    parameters = {"img_size": 64, "patch_size": 16, "embed_dim": 32, "depth": 2, "num_heads": 2}
    parameters |= {"rope_type": "dinov3", "use_rot_pos_emb": True, "use_abs_pos_emb": False}
    parameters |= {"num_reg_tokens": 4, "num_classes": 0}
    module = timm.models.Eva(**parameters).eval()
    reference = timm.models.Eva(**parameters, dynamic_img_size=True).eval()
    reference.load_state_dict(module.state_dict())
    network = TracedNetwork(module, build_backbone(module, "default", 0).module)
    taps = network.taps(("blocks.0", "blocks.1"))
    with torch.inference_mode():
        maps = reference.forward_intermediates(images(64, 96), intermediates_only=True)
        found = taps(images(64, 96))
        torch.testing.assert_close(list(found.values()), maps)


def test_a_module_is_not_changed():
    module = vision_transformer()
    before = copy.deepcopy(vars(module.patch_embed)), module.dynamic_img_size
    PatchFeatureExtractor(backbone=module).fit(photographs((60, 60)))
    assert str(vars(module.patch_embed)) == str(before[0])
    assert module.dynamic_img_size is before[1]


@pytest.mark.parametrize("engine", ["torch", "openvino", "onnx"])
def test_position_embeddings_are_resampled_once(engine):
    """OpenVINO would resample them otherwise, to fewer positions."""
    pytest.importorskip(ENGINES[engine][0])
    resampled = build_backbone(vision_transformer(), "default", 0).module
    resampled.set_input_size((28, 42))
    module, pictures = vision_transformer(), photographs((40, 60))
    expected, found = (
        PatchFeatureExtractor(backbone=one, image_size=(28, 42), layers="blocks.1")
        for one in (resampled, module)
    )
    found.set_params(engine=engine)
    np.testing.assert_allclose(
        found.fit_transform(pictures), expected.fit_transform(pictures), rtol=1e-4, atol=1e-4
    )


def small_davit():
    sizes = {"depths": (1, 1, 1, 1), "embed_dims": (8, 16, 24, 32), "num_heads": (1, 1, 1, 1)}
    return timm.models.DaVit(**sizes)


def small_swin():
    return timm.models.SwinTransformer(
        56, embed_dim=8, depths=(2, 2, 2), num_heads=(1, 1, 1), window_size=7
    )


@pytest.mark.parametrize(
    ("make", "layer", "number", "size"),
    [
        (small_davit, "stages.1", 1, (64, 96)),
        (small_swin, "layers.1", 1, (56, 56)),
        (partial(timm.create_model, "maxvit_rmlp_pico_rw_256"), "stages.1", 2, (256, 256)),
    ],
    ids=["davit", "swin", "maxvit"],
)
def test_windows_are_put_together_for_each_image(make, layer, number, size):
    """That function is not looked into, and after `unbind`; its result is no constant for that."""
    torch.manual_seed(0)
    module, pictures = make().eval(), photographs(size, size, size)
    extractor = PatchFeatureExtractor(
        backbone=module, layers=layer, image_size=size, n_scales=1, patch_size=1
    )
    extractor.fit(pictures)
    mean, std = torch.tensor(extractor._mean), torch.tensor(extractor._std)
    pixels = (torch.from_numpy(np.stack(pictures)) / 255 - mean) / std
    with torch.inference_mode():
        (expected,) = module.forward_intermediates(
            pixels.permute(0, 3, 1, 2).float(), indices=[number], intermediates_only=True
        )
    for n_images in (1, 3):
        found = extractor.transform(pictures[:n_images])
        np.testing.assert_allclose(
            found, expected[:n_images].permute(0, 2, 3, 1), rtol=1e-3, atol=1e-4
        )


def test_windows_with_masks_of_five_axes():
    extractor = PatchFeatureExtractor(backbone=small_swin(), image_size=(56, 56), layers="layers.1")
    pictures = photographs((56, 56))
    found = extractor.set_params(patch_size=1).fit_transform(pictures)
    assert found.shape == (1, 7, 7, 16)


@pytest.mark.parametrize(
    ("name", "size", "layers"),
    [
        ("beit_base_patch16_224", (224, 224), ("blocks.5", "blocks.8")),
        ("eva02_tiny_patch14_224", (224, 224), ("blocks.5", "blocks.8")),
        ("swinv2_tiny_window8_256", (256, 256), ("layers.1", "layers.2")),
        ("maxvit_rmlp_pico_rw_256", (256, 256), ("stages.1", "stages.2")),
    ],
)
def test_default_layers_are_found_at_the_size_that_a_network_is_for(name, size, layers):
    network = TracedNetwork(f"timm/{name}", build_backbone(f"timm/{name}", None, 0).module)
    assert network.probe_size == size
    assert network.default_layers() == layers


def test_a_network_for_one_size_has_that_size():
    """CoAtNet seems to take any, as long as no image is there."""
    extractor = PatchFeatureExtractor(backbone="timm/coatnet_pico_rw_224", weights=None)
    assert extractor.fit(photographs((40, 60))).image_size_ == (224, 224)
    extractor.set_params(image_size=256)
    with pytest.raises(ValueError, match="cannot process an image of 256 x 384 pixels"):
        extractor.fit(photographs((40, 60)))


def test_a_module_for_another_size_has_that_size():
    module = timm.create_model("swin_tiny_patch4_window7_224", img_size=112)
    extractor = PatchFeatureExtractor(backbone=module).fit(photographs((40, 60)))
    assert extractor.image_size_ == (112, 112)
    assert extractor.layers_ == ("layers.1", "layers.2")


def test_pickled():
    extractor = PatchFeatureExtractor(backbone=vision_transformer(), image_size=(70, 98))
    expected = extractor.fit_transform(photographs((40, 60)))
    again = pickle.loads(pickle.dumps(extractor))
    assert np.array_equal(again.transform(photographs((40, 60))), expected)


def test_statistics_are_those_of_the_weights():
    built = build_backbone(TINY, None, 0)
    assert (built.mean, built.std) == ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    module = timm.create_model(TINY.removeprefix("timm/"))
    assert build_backbone(module, "default", 0).mean == (0.5, 0.5, 0.5)


@pytest.mark.parametrize(
    "name", ["vit_small_patch16_dinov3", "swin_tiny_patch4_window7_224", "convnext_atto"]
)
def test_what_no_file_of_weights_has_is_computed(name):
    """A sketch has values of all buffers."""
    buffers = dict(build_backbone(f"timm/{name}", None, 0).module.named_buffers())
    expected = dict(timm.create_model(name).named_buffers())
    assert buffers.keys() == expected.keys()
    assert all(torch.equal(buffers[key], expected[key]) for key in buffers)


def test_random_weights_have_a_seed():
    pictures = photographs((40, 40))

    def features(seed):
        extractor = PatchFeatureExtractor(
            backbone=TINY, weights=None, layers="blocks.0", image_size=32, random_state=seed
        )
        return extractor.fit_transform(pictures)

    first = features(0)
    assert first.shape == (1, 2, 2, 192)
    assert np.array_equal(features(0), first)
    assert not np.array_equal(features(1), first)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("timm/vit_tiny_patch16_244", "unknown .* Did you mean .*'timm/vit_tiny_patch16_224"),
        ("timm/vit_tiny_patch16_224.dino", "Invalid pretrained tag"),
    ],
)
def test_unknown_names(name, said):
    with pytest.raises(ValueError, match=f"backbone='{name}'.*{said}"):
        build_backbone(name, None, 0)


# Weights


def metas_names(state):
    """A state dict in the names of DINOv2's own files, for a network with registers."""
    state = dict(state)
    state["register_tokens"] = state.pop("reg_token")
    state["mask_token"] = torch.zeros(1, state["cls_token"].shape[2])
    # There, the class token has a position too.
    position = torch.randn(1, 1, state["cls_token"].shape[2])
    state["cls_token"] = state["cls_token"] - position
    state["pos_embed"] = torch.cat([position, state["pos_embed"]], 1)
    return state


@pytest.mark.parametrize("names", ["timm", "dinov2"])
@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
def test_weights_from_a_file(tmp_path, names, suffix):
    trained = vision_transformer()
    torch.nn.init.normal_(trained.blocks[0].attn.qkv.weight)
    state = trained.state_dict() if names == "timm" else metas_names(trained.state_dict())
    path = tmp_path / f"weights.{suffix}"
    save_file(state, path) if suffix == "safetensors" else torch.save(state, path)
    pictures = photographs((60, 60))
    extractor = PatchFeatureExtractor(backbone=trained, image_size=56)
    expected = extractor.fit_transform(pictures)
    extractor.set_params(backbone=vision_transformer(), weights=path)
    np.testing.assert_allclose(extractor.fit_transform(pictures), expected, rtol=1e-4, atol=1e-5)


def test_weights_of_another_network(tmp_path):
    path = tmp_path / "weights.safetensors"
    save_file({"mask_token": torch.zeros(1, 3), "pos_embed": torch.zeros(1, 7, 3)}, path)
    extractor = PatchFeatureExtractor(backbone=vision_transformer(), weights=path)
    with pytest.raises(ValueError, match="does not fit the backbone: it lacks cls_token"):
        extractor.fit(photographs((60, 60)))


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """An empty folder of downloads, and no network."""
    constants = pytest.importorskip("huggingface_hub").constants
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return tmp_path


def test_downloaded_weights(hub):
    name = TINY.removeprefix("timm/")
    folder = hub / f"models--timm--{name}"
    snapshot = folder / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("0" * 40)
    assert downloaded_weights(TINY) is None
    trained = timm.create_model(name)
    save_file(trained.state_dict(), snapshot / "model.safetensors")
    assert downloaded_weights(TINY) == str(snapshot / "model.safetensors")
    parameters = {"layers": "blocks.1", "image_size": 32}
    found = PatchFeatureExtractor(backbone=TINY, **parameters).fit_transform(photographs((40, 40)))
    module = PatchFeatureExtractor(backbone=trained, **parameters)
    np.testing.assert_array_equal(found, module.fit_transform(photographs((40, 40))))


@pytest.mark.usefixtures("hub")
def test_weights_that_cannot_be_downloaded():
    extractor = PatchFeatureExtractor(backbone=TINY, layers="blocks.0", image_size=32)
    repository = "timm/vit_tiny_patch16_224.augreg_in21k"
    with pytest.raises(OSError, match=f"could not be downloaded .* {repository}") as caught:
        extractor.fit(photographs((40, 40)))
    assert 'weights="path/to/model.safetensors"' in str(caught.value)
