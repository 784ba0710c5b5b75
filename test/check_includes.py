#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""check_includes.py TOP: every #include of ours points the way ARCHITECTURE.md allows; exit code 1 if not.

kubelet -> {csi, probes} -> cri -> cgroups -> proto -> base; tools -> proto, base; cni-plugins -> the
part of base that needs no loop. Also: no room is outside this table, and every header has #pragma once.
"""
import os, re, sys

MAY_INCLUDE = {
    'base': [],
    'proto': ['base'],
    'cgroups': ['base', 'proto'],
    'cri': ['base', 'proto', 'cgroups'],
    'probes': ['base', 'proto', 'cgroups', 'cri'],
    'csi': ['base', 'proto', 'cgroups', 'cri'],
    'kubelet': ['base', 'proto', 'cgroups', 'cri', 'probes', 'csi'],
    'cni-plugins': ['base'],
    'tools': ['base', 'proto'],
    'test': ['base', 'proto', 'cgroups', 'cri', 'probes', 'csi', 'kubelet', 'cni-plugins', 'tools'],
}
INCLUDE = re.compile(r'^\s*#\s*include\s*"([^"]+)"')
# What a plugin would pay for at each start of a pod.
TOO_HEAVY_FOR_PLUGINS = re.compile(r'^\s*#\s*include\s*[<"](grpc|google/protobuf|boost|absl)')


def sources(top, room):
    for folder, folders, names in os.walk(os.path.join(top, room)):
        folders.sort()
        for name in sorted(names):
            if name.endswith(('.cc', '.h')):
                yield os.path.join(folder, name)


def check(top, room, path):
    text = open(path, encoding='utf-8').read()
    where = os.path.relpath(path, top)
    if path.endswith('.h') and '#pragma once' not in text:
        yield f'{where}: no #pragma once'
    for number, line in enumerate(text.splitlines(), 1):
        found = INCLUDE.match(line)
        if found:
            target = found[1].split('/')[0]
            if target == 'absl':
                continue  # its own custom is quotes
            if target not in MAY_INCLUDE:
                yield f'{where}:{number}: "{found[1]}" is not named from the top of the tree'
            elif target != room and target not in MAY_INCLUDE[room]:
                yield f'{where}:{number}: {room} may not include {target}'
        if room == 'cni-plugins' and TOO_HEAVY_FOR_PLUGINS.match(line):
            yield f'{where}:{number}: too heavy for a plugin: {line.strip()}'


def main():
    top = sys.argv[1]
    problems = [p for room in MAY_INCLUDE for path in sources(top, room) for p in check(top, room, path)]
    print('\n'.join(problems) if problems else 'includes point the right way')
    return 1 if problems else 0


sys.exit(main())
