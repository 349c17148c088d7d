# SPDX-License-Identifier: Apache-2.0
# How lit runs the golden tests; the paths come from CMakeLists.txt.
import os

import lit.formats

config.name = "tegu"
config.test_format = lit.formats.ShTest(execute_external=False)
config.suffixes = [".tir", ".tegu"]
config.test_source_root = os.path.dirname(__file__)
config.test_exec_root = lit_config.params["output"]
config.substitutions.append(("%tegu", lit_config.params["tegu"]))
config.substitutions.append((r"\bFileCheck\b", lit_config.params["filecheck"]))
