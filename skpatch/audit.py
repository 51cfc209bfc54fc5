# SPDX-License-Identifier: BSD-3-Clause
"""Which training images and patches are noise, and why."""

from .inspection.audit import NoiseAudit

__all__ = ["NoiseAudit"]
