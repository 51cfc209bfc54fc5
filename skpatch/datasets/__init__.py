# SPDX-License-Identifier: BSD-3-Clause
"""Image sets: solar cells, folders, and training sets with defects hidden in them.

Imports images.
"""

from .elpv import load_elpv
from .folder import load_folder
from .masks import read_mask
from .noise import inject_noise
from .synthetic import make_contaminated_images

__all__ = ["inject_noise", "load_elpv", "load_folder", "make_contaminated_images", "read_mask"]
