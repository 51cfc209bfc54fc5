# SPDX-License-Identifier: BSD-3-Clause
"""Settings that the pages for researchers print can be fitted as they stand; commands are known."""

import ast
import re
import shlex
import sys
import textwrap
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from _photographs import photographs
from torch import nn

from skpatch import PatchFeatureExtractor
from skpatch.cli.commands import commands

GUIDE = Path(__file__).parent.parent / "docs" / "guide"
GIVEN = "from skpatch import PatchFeatureExtractor, SoftPatchDetector, make_pipeline\n"


def code_blocks(page):
    """The Python of a page that is no doctest."""
    text = (GUIDE / page).read_text(encoding="utf-8")
    found = re.findall(r"^\.\. code-block:: python\n\n((?: +.*\n|\n)+)", text, re.MULTILINE)
    return [textwrap.dedent(block) for block in found]


def commands_of(page):
    """Words of each command of skpatch in the blocks of a page."""
    text = (GUIDE / page).read_text(encoding="utf-8")
    blocks = re.findall(r"^\.\. code-block:: bash\n\n((?: +.*\n|\n)+)", text, re.MULTILINE)
    lines = (line.strip() for block in blocks for line in block.splitlines())
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("skpatch ")]


def test_commands_have_the_options_that_the_page_gives_them():
    found = commands_of("paper.rst")
    assert len(found) == 2
    for command, *arguments in found:
        # Wrong usage is an exception.
        assert commands.commands[command].make_context(command, arguments).params["folders"]


def last_value(source):
    """What the last statement of a block gives, an expression or an assignment."""
    *statements, last = ast.parse(GIVEN + source).body
    names = {}
    exec(compile(ast.Module(statements, []), "block", "exec"), names)
    return eval(compile(ast.Expression(last.value), "block", "eval"), names)


def test_every_block_is_run_here():
    assert len(code_blocks("paper.rst")) == 1
    assert len(code_blocks("networks.rst")) == 3
    assert code_blocks("parity.rst") == []


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    ("page", "number", "grid", "n_features"),
    [("paper.rst", 0, (28, 28), 1024), ("networks.rst", 1, (32, 48), 384)],
    ids=["softpatch", "anomalydino"],
)
def test_settings_of_papers_can_be_fitted(page, number, grid, n_features):
    model = last_value(code_blocks(page)[number])
    # Nothing is downloaded.
    model[0].set_params(weights=None, random_state=0)
    images = photographs(*3 * [(60, 90)])
    assert model.fit(images).score_samples(images).shape == (3,)
    assert (model[0].grid_size_, model[0].n_features_out_) == (grid, n_features)
    assert model.predict_map(images[:1])[0].shape == (60, 90)


@pytest.mark.slow
def test_weights_of_a_file(tmp_path, monkeypatch):
    timm = pytest.importorskip("timm")
    monkeypatch.chdir(tmp_path)
    network = timm.create_model("vit_small_patch14_dinov2")
    torch.save(network.state_dict(), "dinov2_vits14_pretrain.pth")
    found = last_value(code_blocks("networks.rst")[0]).set_params(image_size=(56, 56))
    expected = PatchFeatureExtractor(backbone=network, image_size=(56, 56))
    images = photographs((60, 90))
    np.testing.assert_array_equal(found.fit_transform(images), expected.fit_transform(images))


def test_a_module_of_hugging_face(monkeypatch):
    """By a stand-in with the names that its DINOv2 has; the library is not needed for anything."""

    class Encoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.ModuleList(nn.Linear(6, 6) for _ in range(12))

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.patches, self.encoder = nn.Conv2d(3, 6, 14, 14), Encoder()

        def forward(self, pixel_values):
            tokens = self.patches(pixel_values).flatten(2).transpose(1, 2)
            for layer in self.encoder.layer:
                tokens = layer(tokens)
            return {"last_hidden_state": tokens}

    hub = SimpleNamespace(from_pretrained=lambda name: Model())
    monkeypatch.setitem(sys.modules, "transformers", SimpleNamespace(AutoModel=hub))
    extractor = last_value(code_blocks("networks.rst")[2]).set_params(image_size=(56, 70))
    assert extractor.fit_transform(photographs((60, 90))).shape == (1, 4, 5, 12)
