"""Reads a statement and checks it, and its predicate, against the in-toto project's own definitions: an unknown field or a wrong type is an error."""
import json
import sys

from google.protobuf.json_format import ParseDict
from in_toto_attestation.predicates.provenance.v1.provenance_pb2 import Provenance
from in_toto_attestation.predicates.test_result.v0.test_result_pb2 import TestResult
from in_toto_attestation.v1.statement import Statement
from in_toto_attestation.v1.statement_pb2 import Statement as StatementMessage

PREDICATES = {
    "https://slsa.dev/provenance/v1": Provenance,
    "https://in-toto.io/attestation/test-result/v0.1": TestResult,
}

statement = json.load(sys.stdin)
Statement.copy_from_pb(ParseDict(statement, StatementMessage())).validate()
ParseDict(statement["predicate"], PREDICATES[statement["predicateType"]]())
print("valid")
