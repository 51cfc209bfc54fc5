# SPDX-License-Identifier: BSD-3-Clause
"""PatchFeatureExtractor: images to patch features with a pretrained network."""

import os
import pickle
from collections.abc import Sequence
from functools import cache, partial
from numbers import Integral
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import check_random_state

from ..engines.choosing import ENGINES, check_engine, device_of
from ..images.collection import Images, check_images
from ..networks.tracing import running, tracing
from ..runtime.devices import check_device
from ..runtime.files import check_output, replacing
from ..runtime.parameters import (
    HasMethods,
    StrOptions,
    check_is_fitted,
    fit_context,
    positive_integer,
)
from ..runtime.products import require_torch
from ..runtime.threads import execution, run_blocks
from .names import feature_names
from .region import patches_inside, read_region
from .storage import create_memmap, empty_features
from .survey import check_intensity_range, survey, tell_remarks
from .turning import AS_IS, AUGMENTS, turn, turn_back, views_of
from .view import check_geometry, learn_geometry, prepare

if TYPE_CHECKING:
    import torch

__all__ = ["PatchFeatureExtractor"]

# What features are made from beside what is learned: a saved extractor is made from these again.
_BUILT_FROM = (
    *("backbone", "weights", "resize", "crop", "n_scales", "tile_size", "patch_size"),
    "embedding_dim",
)


class PatchFeatureExtractor(  # type: ignore[call-arg]
    TransformerMixin, BaseEstimator, auto_wrap_output_keys=None
):
    """Extract a grid of patch features from each image with a pretrained network.

    Maps of a few middle layers are pooled over small neighbourhoods, brought to the finest grid
    and joined, so every grid position holds a vector that describes the patch around it.

    Parameters
    ----------
    backbone : str or torch.nn.Module, default="efficientnet_lite0"
        "efficientnet_lite0", whose weights are installed with skpatch; the name of any torchvision
        classification model; "timm/" and the name of a network of timm, as in
        "timm/vit_small_patch14_dinov2.lvd142m", which takes the package extra ``skpatch[timm]``; or
        a module, which takes images (n, 3, H, W) normalised by ImageNet's mean and standard
        deviation, or by what timm says of its own. A module is copied, not changed; compiled and
        parallel ones are unwrapped.
    weights : "default", None or path, default="default"
        "default" is what torchvision or timm has for the name, which it downloads on first use, or,
        for a module, its own weights. None is random, for a named backbone. A path names
        a file with a state dict, also in a checkpoint, which is loaded without running code. It
        must have what the layers in use need.
    layers : str, sequence of str or None, default=None
        Layers whose maps (n, c, h, w) or (n, h, w, c), or whose tokens (n, t, c), are used. None
        takes the last stages whose maps are 8 and 16 times smaller than the image: "layer2" and
        "layer3" of a ResNet, "features.3" and "features.5" of an EfficientNet or a Swin
        transformer. Vision transformers have no stages; there it takes the blocks at a half and at
        three quarters of the depth, "blocks.5" and "blocks.8" of twelve.
    image_size : "auto", int or (int, int), default="auto"
        Size of the network's input. An int is the shorter side; the aspect ratio is the median
        of the training images', and each side is rounded to a multiple of the network's stride, of
        twice that with two scales. A pair is (height, width). All images are resized to it as a
        whole. "auto" is 320 for square images and, for elongated ones, the shorter side with which
        they have as many pixels, but not more than 1.5 times that of the images themselves, and 224
        at least. For networks that take no other size it is theirs, most often 224 x 224.
    resize : int or None, default=None
        With `crop`, in place of `image_size`: the shorter side of an image after resizing, before
        cropping. The paper's protocol is ``resize=256, crop=224``.
    crop : int or None, default=None
        Side of the central square that is left after `resize`. The border of the image is not
        inspected then.
    n_scales : "auto" or int, default="auto"
        At how many sizes images pass the network: that of its input, half of it, and so on. A
        layer's map is the mean of those of all sizes, each brought to the largest one's grid, so a
        patch is described by what is around it, too. "auto" is 2 for inputs of at least 224 pixels
        along the shorter side, which takes a quarter more of its arithmetic, and 1 for smaller
        ones, with `crop` or `tile_size`, and for layers that give tokens.
    region : path, array of shape (H, W) or None, default=None
        The part of the images that is inspected, the same for all: a picture, white there and
        black elsewhere, or a mask, True there. It is laid over each image as a whole, so it has
        the proportions of all training images, in any size. A patch is inspected if at least half
        of its cell is inside; the features of the others are NaN.
    intensity_range : "auto" or (float, float), default="auto"
        Which numbers are black and white in images that are not 8-bit, such as 16-bit files of a
        12-bit camera; values beyond are cut off. "auto" learns it from the training images: black
        is 0, and white the smallest of 255, 1023, 4095, 16383 and 65535, for floating-point numbers
        also 1, that holds all of them. Images of 8 bits are read as they are.
    tile_size : int or None, default=None
        For a large `image_size`: largest side of overlapping tiles, in pixels of the network's
        input, which pass the network one after the other and take less memory than the whole; at
        least 272 with the default network. Networks that average over the whole image
        (squeeze-and-excitation) average over a tile instead.
    patch_size : "auto" or int, default="auto"
        Side of the neighbourhood pooled around each position, odd. "auto" is 1 for layers that give
        tokens, each of which has seen the whole image, and 3 for others.
    embedding_dim : int or None, default=None
        None joins the mean-pooled maps of all layers. An int reproduces the two adaptive poolings
        of the reference implementations of PatchCore and SoftPatch, which use 1024.
    augment : {"rotation", "flip"} or None, default=None
        Copies of the training images that :meth:`transform_training` adds, as AnomalyDINO does:
        "rotation" turns them by 90, 180 and 270 degrees, or elongated ones by 180 only; "flip"
        mirrors them left to right, top to bottom, and both. For few images of parts that lie in any
        direction. `transform` makes none.
    batch_size : int, default=2
        Images per forward pass of a thread. On two CPU cores 2 was the fastest of 1, 2, 4 and 8
        with the default network, and 4 with a WideResNet-50-2, by 3 %. A GPU wants more.
    device : str, default="auto"
        Torch device. "auto" takes CUDA if there is a GPU, else the CPU.
    engine : {"torch", "openvino", "onnx"}, default="torch"
        What runs the network. "openvino" is the fastest on many CPUs, and needs the package extra
        ``skpatch[openvino]``; "onnx" is onnxruntime, in ``skpatch[onnx]``. Their features differ
        by rounding errors. They run on the CPU, also where `device` is "auto", in float32, and
        "openvino" in bfloat16 too. A model that is saved with one of them has its network in the
        file, and scores where torch is not installed. The detector is not concerned.
    dtype : {"float32", "bfloat16", "float16"}, default="float32"
        Number type of the network. The features are float32 in any case. On a GPU, torch's own
        setting says whether float32 convolutions may use TF32.
    n_jobs : int or None, default=None
        Number of threads. Each decodes a batch and runs the network on it, so that none waits for
        the others. None is as many as torch uses, -1 all cores. A lazy sequence is indexed from
        these threads; 1 is for one that no two threads may use at once.
    output : path or None, default=None
        A .npy file for the features, when they do not fit in memory; `transform` returns them
        memory-mapped. Each call of `transform` replaces the file, once it is complete.
    random_state : int, RandomState instance or None, default=None
        Seed of random weights.
    verbose : bool, default=False
        Whether to show a progress bar.

    Attributes
    ----------
    layers_ : tuple of str
        Layers used.
    image_size_ : tuple (height, width)
        Size of the network's input.
    n_scales_ : int
        At how many sizes images pass the network.
    grid_size_ : tuple (h, w)
        Number of patches of an image.
    crop_share_ : float or None
        With `crop`: side of the central square that is seen, relative to the shorter side of an
        image.
    intensity_range_ : tuple (black, white) or None
        What `intensity_range` says or was learned. None if all training images are 8-bit: then
        white is 65535 in uint16 images, 1 in floating-point images up to 1, and 255 in others.
    inspected_ : ndarray of shape (h, w), bool
        The patches in the `region`; all of them without one.
    n_features_out_ : int
        Number of features d of a patch.
    model_ : torch.nn.Module
        The network up to the last of the layers, float32 on the CPU. `transform` makes a copy of it
        that runs fast on the `device`, and keeps that. Missing where torch is not installed.

    See Also
    --------
    skpatch.SoftPatchDetector : Finds anomalies in the features.

    Notes
    -----
    Of a fitted extractor, `augment`, `batch_size`, `device`, `engine`, `dtype`, `n_jobs`, `output`
    and `verbose` may be changed at any time; other parameters take effect in the next `fit`.

    Images whose aspect ratio differs from `image_size_` are stretched. No part of an image is cut
    away unless `crop` is set.

    Features stay an array whatever ``set_output`` asks for: a table has no place for a grid.

    References
    ----------
    K. Roth et al., "Towards Total Recall in Industrial Anomaly Detection" (PatchCore), CVPR 2022.

    Examples
    --------
    >>> from skpatch import PatchFeatureExtractor
    >>> from skpatch.datasets import make_contaminated_images
    >>> images = make_contaminated_images(n_normal=3, n_defective=1, random_state=0).images
    >>> PatchFeatureExtractor(image_size=64).fit_transform(images).shape
    (4, 8, 8, 152)
    """

    layers_: tuple[str, ...]
    image_size_: tuple[int, int]
    n_scales_: int
    grid_size_: tuple[int, int]
    crop_share_: float | None
    intensity_range_: tuple[float, float] | None
    inspected_: NDArray[np.bool_]
    n_features_out_: int
    model_: "torch.nn.Module"

    _parameter_constraints = {
        "backbone": [str, HasMethods(["forward", "named_modules"])],
        "weights": [None, str, os.PathLike],
        "layers": [None, str, "array-like"],
        "image_size": [StrOptions({"auto"}), positive_integer(), tuple, list],
        "resize": [None, positive_integer()],
        "crop": [None, positive_integer()],
        "n_scales": [StrOptions({"auto"}), positive_integer()],
        "region": [None, str, os.PathLike, "array-like"],
        "intensity_range": [StrOptions({"auto"}), tuple, list],
        "tile_size": [None, positive_integer()],
        "patch_size": [StrOptions({"auto"}), positive_integer()],
        "embedding_dim": [None, positive_integer()],
        "augment": [None, StrOptions(set(AUGMENTS))],
        "batch_size": [positive_integer()],
        "device": [str],
        "engine": [StrOptions(set(ENGINES))],
        "dtype": [StrOptions({"float32", "bfloat16", "float16"})],
        "n_jobs": [None, Integral],
        "output": [None, str, os.PathLike],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        *,
        backbone: "str | torch.nn.Module" = "efficientnet_lite0",
        weights: str | os.PathLike | None = "default",
        layers: str | Sequence[str] | None = None,
        image_size: Literal["auto"] | int | tuple[int, int] = "auto",
        resize: int | None = None,
        crop: int | None = None,
        n_scales: Literal["auto"] | int = "auto",
        region: str | os.PathLike | ArrayLike | None = None,
        intensity_range: Literal["auto"] | tuple[float, float] = "auto",
        tile_size: int | None = None,
        patch_size: Literal["auto"] | int = "auto",
        embedding_dim: int | None = None,
        augment: Literal["rotation", "flip"] | None = None,
        batch_size: int = 2,
        device: str = "auto",
        engine: str = "torch",
        dtype: str = "float32",
        n_jobs: int | None = None,
        output: str | os.PathLike | None = None,
        random_state: int | np.random.RandomState | None = None,
        verbose: bool = False,
    ) -> None:
        self.backbone = backbone
        self.weights = weights
        self.layers = layers
        self.image_size = image_size
        self.resize = resize
        self.crop = crop
        self.n_scales = n_scales
        self.region = region
        self.intensity_range = intensity_range
        self.tile_size = tile_size
        self.patch_size = patch_size
        self.embedding_dim = embedding_dim
        self.augment = augment
        self.batch_size = batch_size
        self.device = device
        self.engine = engine
        self.dtype = dtype
        self.n_jobs = n_jobs
        self.output = output
        self.random_state = random_state
        self.verbose = verbose

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Images, y: None = None) -> "PatchFeatureExtractor":
        """Build the network and learn the common size of the images, and what white is in them.

        Of files only the headers are read, unless they are not 8-bit.

        Parameters
        ----------
        X : sequence of images
            Paths, bytes of files, open files, PIL images, or arrays (H, W) or (H, W, 1|3|4), of
            any sizes, in a list or in any object with a length and integer indexing; or an array
            (n, H, W) or (n, H, W, 1|3|4). Numbers are of any real type; see `intensity_range`.
        y : None
            Ignored.

        Returns
        -------
        self

        Raises
        ------
        TypeError, ValueError, OSError
            The message names the image, file or parameter.
        ImportError
            If torch is not installed.

        Warns
        -----
        UserWarning
            If images that are not 8-bit are likely of different bit depths.
        """
        require_torch("PatchFeatureExtractor.fit")
        images = check_images(X)
        check_geometry(self)
        check_intensity_range(self.intensity_range)
        check_output(self.output)
        check_device(self.device)
        check_engine(self.engine, self.device, self.dtype)
        mask = None if self.region is None else read_region(self.region)
        with execution(self.n_jobs, self.verbose):
            sizes, intensity_range = survey(self, images)
        seed = check_random_state(self.random_state).randint(np.iinfo(np.int32).max)
        learned = self._build(*self._plan(seed, self.layers, partial(learn_geometry, self, sizes)))
        grid = learned["grid_size_"]
        for index, size in enumerate(sizes):
            images.check_size(index, size, grid)
        learned["inspected_"] = np.ones(grid, bool)
        if mask is not None:
            share = learned["crop_share_"]
            learned["inspected_"] = patches_inside(mask, images, sizes, share, grid)
        learned["intensity_range_"] = intensity_range
        # Only now: a fit that fails leaves the estimator as it was.
        vars(self).update(learned)  # type: ignore[attr-defined]
        return self

    def _plan(self, seed, layers, choose):
        """What loads the weights of the network, and everything that is learned.

        From layers and a function that chooses the input's size and the number of scales; it is
        given one from a size (H, W) to the shapes of the layers' maps, a size that the network
        takes, and whether some may give tokens. Networks of torchvision have no values yet: none is
        made or read for a network that does not suit.
        """
        from ..networks.backbones import build_backbone
        from ..networks.layers import TracedNetwork
        from ..networks.scales import at_scales
        from .embedding import make_embedding
        from .tiling import plan_tiles

        built = build_backbone(self.backbone, self.weights, seed)
        network = TracedNetwork(self.backbone, built.module)
        if layers is None:
            layers = network.default_layers()
        layers = (layers,) if isinstance(layers, str) else tuple(map(str, layers))
        model = network.taps(layers)
        # Square images are as large as the probe.
        shapes_at = cache(partial(network.map_shapes, model))
        turns_tokens = network.turns_tokens(model)
        image_size, n_scales = choose(shapes_at, network.probe_size, turns_tokens)
        tile, margin, shapes = plan_tiles(
            shapes_at, network.probe_size, image_size, self.tile_size, n_scales
        )
        patch_size = self.patch_size
        if patch_size == "auto":
            patch_size = 1 if network.gives_tokens(model, tile) else 3
        embedding = make_embedding(shapes, patch_size, self.embedding_dim)
        return built.load, {
            "layers_": layers,
            "image_size_": image_size,
            "n_scales_": n_scales,
            "grid_size_": tuple(embedding.grid),
            "n_features_out_": self.embedding_dim or sum(channels for channels, *_ in shapes),
            "model_": at_scales(model, n_scales),
            "_tile": tile,
            "_margin": margin,
            "_embedding": embedding,
            "_mean": built.mean,
            "_std": built.std,
            "_map_shapes": [tuple(shape) for shape in shapes],
            "_seed": seed,
            **self._as_given(),
        }

    def _as_given(self):
        """What a fitted extractor has that follows from its parameters; nothing has run yet."""
        return {
            "crop_share_": None if self.crop is None else self.crop / self.resize,
            "_built_from": {name: getattr(self, name) for name in _BUILT_FROM},
            "_saved_network": None,
            "_kept_steps": None,
        }

    def _build(self, load, learned):
        """Everything that is learned, and the weights of the network; arguments from `_plan`."""
        import torch

        from ..networks.layers import weighted

        load(weighted(learned["model_"]))
        for module in learned["model_"].modules():
            if isinstance(module, torch.nn.Conv2d):
                module.to(memory_format=torch.channels_last)
        return learned

    def transform(self, X: Images) -> NDArray[np.float32]:
        """Extract the patch features of images.

        Parameters
        ----------
        X : sequence of images
            As for :meth:`fit`.

        Returns
        -------
        ndarray of shape (n, h, w, d), float32
            Features of the h x w patches of each image, NaN outside the `region`. A memory map with
            `output`.

        Warns
        -----
        UserWarning
            If images do not fit the range of intensities that was learned, or files have more pages
            than the one that is read.
        """
        return self._extract(X, ())

    def fit_transform(self, X: Images, y: None = None) -> NDArray[np.float32]:
        """Fit, and extract the features to train on.

        Parameters
        ----------
        X : sequence of images
            As for :meth:`fit`.
        y : None
            Ignored.

        Returns
        -------
        ndarray of shape (n, h, w, d) or (n, v, h, w, d), float32
            As of :meth:`transform_training`.
        """
        return self.fit(X).transform_training(X)

    def transform_training(self, X: Images) -> NDArray[np.float32]:
        """Extract the patch features of images to train on, with the copies of `augment`.

        Parameters
        ----------
        X : sequence of images
            As for :meth:`fit`.

        Returns
        -------
        ndarray of shape (n, h, w, d) or (n, v, h, w, d), float32
            As of :meth:`transform` without `augment`. Else features of v views of each image, of
            which the first is the image itself. Those of a copy are at the places of the image that
            its patches come from.
        """
        check_is_fitted(self, "layers_")
        copies = views_of(self.augment, self.image_size_)[1:]
        # A subclass may have a `transform` of its own.
        return self._extract(X, copies) if copies else self.transform(X)

    def _extract(self, X, copies):
        """Features (n, h, w, d) of images, or (n, v, h, w, d) of these and of copies, views."""
        check_is_fitted(self, "layers_")
        check_device(self.device)
        check_engine(self.engine, self.device, self.dtype)
        check_output(self.output)
        images = check_images(X).read_by(self)
        views = (*AS_IS, *copies)
        n_views = (len(views),) if copies else ()
        shape = (len(images), *n_views, *self.grid_size_, self.n_features_out_)
        with execution(self.n_jobs, self.verbose):
            if self.output is None:
                features = empty_features(shape)
                self._fill(features, images, views)
                tell_remarks(images, self)
                return features
            with replacing(self.output) as file:
                features = create_memmap(file, shape)
                self._fill(features, images, views)
                features.flush()
                del features
            tell_remarks(images, self)
            return np.load(self.output, mmap_mode="r")

    def _fill(self, features, images, views):
        """Write the features of all images, batch by batch."""
        steps = self._steps()
        features = features.reshape(len(images), len(views), *features.shape[-3:])

        def fill(start, stop):
            pixels = np.stack([prepare(images, index, self) for index in range(start, stop)])
            for number, view in enumerate(views):
                found = features[start:stop, number]
                with running():
                    steps(turn(pixels, view), found)
                if view not in AS_IS:
                    found[:] = turn_back(found, view).copy()
            features[start:stop, :, ~self.inspected_] = np.nan

        if len(images) == 1 and self.n_jobs is None:
            # torch's own threads share the one image.
            fill(0, 1)
        else:
            run_blocks(fill, len(images), self.batch_size, "features")

    def _steps(self):
        """What makes features of pixels, as it runs; the last one is kept."""
        saved = self._saved_network
        if saved is None:
            from .steps import TorchSteps

            device = device_of(self.engine, self.device)
            made_for = self.model_, self.engine, self.dtype, device
            make = partial(TorchSteps, self, device)
        else:
            from .saved import SavedSteps

            made_for = saved, self.engine, self.dtype
            make = partial(SavedSteps, *made_for, self.layers_, self._margin)
        if self._kept_steps is None or self._kept_steps[0] != made_for:
            with tracing():
                self._kept_steps = made_for, make()
        return self._kept_steps[1]

    def __getstate__(self):
        """Leave the networks as they run out of pickles; they are made again."""
        state = {**super().__getstate__(), "_kept_steps": None}
        if "model_" in state:
            # In its own pickle, because it is traced when it is loaded.
            state["model_"] = pickle.dumps(self.model_)
        return state

    def __setstate__(self, state):
        """Load the network while no other one runs."""
        if "model_" in state:
            with tracing():
                state = {**state, "model_": pickle.loads(state["model_"])}
        super().__setstate__(state)

    def set_output(self, *, transform: str | None = None) -> "PatchFeatureExtractor":
        """Do nothing, for pipelines: features have four dimensions and stay an array."""
        return self

    def get_feature_names_out(self, input_features: None = None) -> NDArray[np.object_]:
        """Names of the features of a patch.

        Parameters
        ----------
        input_features : None
            Ignored.

        Returns
        -------
        ndarray of shape (d,), object
            The layer and its channel, or "embedding" and the dimension.
        """
        check_is_fitted(self, "layers_")
        names = feature_names(self.layers_, self._map_shapes, self._built_from["embedding_dim"])
        return np.array(names, dtype=object)

    def __sklearn_tags__(self):
        """Declare that the input is images, not a table, and the output float32."""
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = []
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        tags.input_tags.string = True
        return tags
