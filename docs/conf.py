"""The documentation site, made from the Markdown pages in this folder: `sphinx-build -W docs build/site`."""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# Autodoc and notebooks read this checkout, also where another version is installed.
sys.path[:0] = [str(ROOT), str(ROOT / "docs")]
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # threads that spin make notebooks slow on busy computers
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))

from site_pages import text_of, write_studies  # noqa: E402

from qiskit_fedqml import __version__  # noqa: E402

project = "qiskit_fedqml"
author = "The qiskit_fedqml authors"
project_copyright = author
version = release = __version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "myst_nb",
    "sphinxcontrib.mermaid",
]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"qiskit_fedqml {version}"
html_theme_options = {"source_directory": "docs/"}
html_static_path = ["site.css"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_copyright = False

# The Markdown pages are written for GitHub as well: the same anchors of headings, and diagrams in fences.
myst_heading_anchors = 4
myst_enable_extensions = ["dollarmath"]
myst_fence_as_directive = ["mermaid"]

# Tutorials run when they have changed, in a folder of their own; a failure fails the build.
nb_execution_mode = "cache"
nb_execution_in_temp = True
nb_execution_timeout = 300
nb_execution_raise_on_error = True
nb_merge_streams = True

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
napoleon_numpy_docstring = False
napoleon_use_ivar = True


def setup(app):
    """Let Sphinx read pages as they are on the site; called by Sphinx."""
    write_studies()
    app.connect("source-read", lambda _app, page, source: source.__setitem__(0, text_of(page, source[0])))
