"""The start leaves out a grammar that nothing here reads, and leaves everything else as it was."""

import importlib.util
import subprocess
import sys

import pytest

CODE = """
import sys
import rsutils
assert "rfc3987_syntax" not in sys.modules, "the start reads the grammar of addresses"
import rfc3987_syntax
assert rfc3987_syntax.is_valid_syntax("iri", "http://a.b/é")
import jsonschema
try:
    jsonschema.validate("no address", {"format": "uri"}, format_checker=jsonschema.FormatChecker())
except jsonschema.ValidationError:
    print("as it was")
"""


@pytest.mark.skipif(not importlib.util.find_spec("rfc3987_syntax"), reason="JupyterLab's validators are not here")
def test_only_the_grammar_is_left_out():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True)
    assert done.stdout == "as it was\n", done.stderr[-2000:]
