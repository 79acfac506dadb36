"""Reads what /metrics says on stdin by the parser of Prometheus' own client; prints each family with its type."""

import sys

from prometheus_client.parser import text_string_to_metric_families

text = sys.stdin.read()
families = list(text_string_to_metric_families(text))
names = [family.name for family in families]
assert len(set(names)) == len(names), f"a family twice: {names}"
for family in families:
    assert family.documentation, f"{family.name} has no help"
    assert family.type in ("counter", "gauge", "histogram"), f"{family.name} is {family.type}"
    assert family.samples, f"{family.name} has no sample"
    print(family.name, family.type)
