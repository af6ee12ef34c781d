# SPDX-License-Identifier: Apache-2.0
"""What makes vectors from botocore runs where botocore is: beside moto."""
import importlib.util
import os
import pathlib
import sys


def run_with_botocore():
    """Returns in a Python that has botocore; starts that one if this has not."""
    if importlib.util.find_spec("botocore"):
        return
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
    from doubles import moto
    python = moto.botocore_python()
    os.execv(python, [python, *sys.argv])
