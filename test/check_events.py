#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""docs/events.md names every reason of an event that the sources spell out.

check_events.py TOP: exit code 1 and one line for each reason that is missing.
"""
import pathlib, re, sys

# PodEvent(pod, EventType::kNormal, "Reason", ...) and the words that become events elsewhere.
SPELLED = [
    re.compile(r'EventType::k(?:Normal|Warning)\s*,\s*"(\w+)"'),
    re.compile(r'ProbeEvent\{\s*"(\w+)"'),
    re.compile(r'Rejection\{\s*"(\w+)"'),
]


def main(top):
    page = (top / "docs/events.md").read_text()
    missing = 0
    seen = set()
    for room in ("kubelet", "probes", "cri", "csi"):
        for source in sorted((top / room).rglob("*.cc")):
            text = source.read_text()
            for pattern in SPELLED:
                for match in pattern.finditer(text):
                    seen.add(match[1])
                    if f"`{match[1]}`" not in page:
                        line = text.count("\n", 0, match.start()) + 1
                        print(f"{source.relative_to(top)}:{line}: docs/events.md does not have {match[1]}")
                        missing += 1
    if len(seen) < 20:
        print(f"only {len(seen)} reasons found: the patterns are out of date")
        missing += 1
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main(pathlib.Path(sys.argv[1])))
