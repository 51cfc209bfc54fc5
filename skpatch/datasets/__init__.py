# SPDX-License-Identifier: BSD-3-Clause
"""Image sets: solar cells, folders, and training sets with defects hidden in them.

Imports images.
"""

import lazy_loader

# The names are those of __init__.pyi: whoever lists a folder has no use for scikit-learn and scipy.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
