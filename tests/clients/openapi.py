"""Holds the OpenAPI document that a server gives against the specification of OpenAPI 3.1, with an outside validator.

    openapi.py --url URL
"""

import argparse
import json
import sys
import urllib.request

from openapi_spec_validator import OpenAPIV31SpecValidator

TIMEOUT_S = 30

parser = argparse.ArgumentParser()
parser.add_argument("--url", required=True)
with urllib.request.urlopen(f"{parser.parse_args().url}/v1/openapi.json", timeout=TIMEOUT_S) as reply:
    document = json.load(reply)
wrong = [f"{'/'.join(map(str, error.path))}: {error.message[:300]}" for error in OpenAPIV31SpecValidator(document).iter_errors()]
if wrong:
    sys.exit("\n".join(wrong))
n_operations = sum(len(item) for item in document["paths"].values())
if n_operations == 0:
    sys.exit("the document describes no operation")
print(f"{n_operations} operations, valid OpenAPI {document['openapi']}")
