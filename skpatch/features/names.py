# SPDX-License-Identifier: BSD-3-Clause
"""Names of the features of a patch."""

__all__ = ["feature_names"]


def feature_names(layers, shapes, embedding_dim):
    """Names of the features: the layer and its channel, or "embedding" and the dimension.

    `shapes` are those (c, h, w) of the layers' maps.
    """
    if embedding_dim is not None:
        return [f"embedding_{index}" for index in range(embedding_dim)]
    return [
        f"{layer}_{channel}"
        for layer, (channels, *_) in zip(layers, shapes, strict=True)
        for channel in range(channels)
    ]
