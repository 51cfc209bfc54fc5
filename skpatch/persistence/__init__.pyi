# SPDX-License-Identifier: BSD-3-Clause
from .models import load as load
from .models import save as save
