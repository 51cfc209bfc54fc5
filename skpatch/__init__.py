# SPDX-License-Identifier: BSD-3-Clause
"""Find defects in images when the training images are themselves contaminated with defects."""

import lazy_loader

__version__ = "0.1.0"

# The names are those of __init__.pyi, and are imported on first use: scikit-learn and torch take
# seconds to load.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
