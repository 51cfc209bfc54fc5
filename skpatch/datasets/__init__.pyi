# SPDX-License-Identifier: BSD-3-Clause
from .elpv import load_elpv as load_elpv
from .folder import load_folder as load_folder
from .masks import read_mask as read_mask
from .noise import inject_noise as inject_noise
from .synthetic import make_contaminated_images as make_contaminated_images
