# SPDX-License-Identifier: BSD-3-Clause
"""Write the notebook of an example beside it, to be opened in a hosted notebook service.

    python docs/make_notebook.py examples/plot_first_hour.py

Its first cell installs skpatch. The notebooks that pages of the gallery offer begin with it, too.
"""

import sys

FIRST_CELL = '%pip install "skpatch[demo]"'

if __name__ == "__main__":
    # docs/conf.py takes the cell, also where the gallery is not installed.
    from sphinx_gallery.notebook import python_to_jupyter_cli

    python_to_jupyter_cli(sys.argv[1:], sphinx_gallery_conf={"first_notebook_cell": FIRST_CELL})
