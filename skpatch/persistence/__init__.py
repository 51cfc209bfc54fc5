# SPDX-License-Identifier: BSD-3-Clause
"""Save fitted models and load them again, without pickle: loading runs no code from the file.

Imports pipeline, detector, discriminators, bank, features, likeness, networks, engines,
distances and runtime.
"""

import lazy_loader

# The names are those of __init__.pyi: whoever only looks into a file has no use for torch.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
