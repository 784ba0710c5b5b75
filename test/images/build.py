#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""build.py OUT: makes the images of the tests and of the quickstart, without a registry.

OUT/images.tar is one OCI archive with all images in it; `ctr -n k8s.io images import` gives each its
name. The same sources give the same bytes. Nothing is done when OUT is newer than its sources.
"""
import hashlib, io, json, os, platform, subprocess, sys, tarfile

HERE = os.path.dirname(os.path.abspath(__file__))
BUSYBOX = '/bin/busybox'
ARCH = {'x86_64': 'amd64', 'aarch64': 'arm64'}[platform.machine()]
PASSWD = b'root:x:0:0:root:/root:/bin/sh\napp:x:1234:2345:app:/home/app:/bin/sh\n'
GROUP = b'root:x:0:\napp:x:2345:\nextra:x:3456:app\n'
MANIFEST = 'application/vnd.oci.image.manifest.v1+json'
CONFIG = 'application/vnd.oci.image.config.v1+json'
LAYER = 'application/vnd.oci.image.layer.v1.tar'
DIRS = {'bin': 0o755, 'dev': 0o755, 'etc': 0o755, 'home': 0o755, 'home/app': 0o755, 'proc': 0o755,
        'root': 0o700, 'sys': 0o755, 'tmp': 0o1777, 'var': 0o755, 'work': 0o777, 'www': 0o777}


def tar(entries):
    """Entries (name, mode, bytes | link target | None for a folder) as a tar without times or owners."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode='w', format=tarfile.USTAR_FORMAT) as archive:
        for name, mode, content in entries:
            info = tarfile.TarInfo(name)
            info.mode = mode
            if content is None:
                info.type = tarfile.DIRTYPE
                archive.addfile(info)
            elif isinstance(content, str):
                info.type, info.linkname = tarfile.SYMTYPE, content
                archive.addfile(info)
            else:
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def compiled(out, source, compiler, *flags):
    program = os.path.join(out, os.path.splitext(source)[0])
    subprocess.run([compiler, '-Os', '-s', '-static', '-Wall', '-Wextra', '-Werror', *flags, '-o', program,
                    os.path.join(HERE, source)], check=True)
    with open(program, 'rb') as file:
        return file.read()


class Archive:
    """An OCI image layout that grows."""

    def __init__(self):
        self.blobs, self.manifests = {}, []

    def blob(self, media_type, data):
        digest = 'sha256:' + hashlib.sha256(data).hexdigest()
        self.blobs[digest] = data
        return {'mediaType': media_type, 'digest': digest, 'size': len(data)}

    def json(self, media_type, value):
        return self.blob(media_type, json.dumps(value, sort_keys=True).encode())

    def image(self, names, layers, config):
        described = [self.blob(LAYER, layer) for layer in layers]
        rootfs = {'type': 'layers', 'diff_ids': [d['digest'] for d in described]}
        config = self.json(CONFIG, {'architecture': ARCH, 'os': 'linux', 'config': config, 'rootfs': rootfs})
        manifest = self.json(MANIFEST, {'schemaVersion': 2, 'mediaType': MANIFEST, 'config': config,
                                        'layers': described})
        for name in names:
            self.manifests.append(dict(manifest, annotations={'io.containerd.image.name': name},
                                       platform={'architecture': ARCH, 'os': 'linux'}))

    def write(self, path):
        index = {'schemaVersion': 2, 'manifests': self.manifests}
        entries = [('blobs', 0o755, None), ('blobs/sha256', 0o755, None),
                   ('oci-layout', 0o644, b'{"imageLayoutVersion":"1.0.0"}'),
                   ('index.json', 0o644, json.dumps(index, sort_keys=True).encode())]
        entries += [('blobs/' + d.replace(':', '/'), 0o644, self.blobs[d]) for d in sorted(self.blobs)]
        with open(path + '.next', 'wb') as file:
            file.write(tar(entries))
        os.rename(path + '.next', path)


def base_layer():
    with open(BUSYBOX, 'rb') as file:
        binary = file.read()
    applets = sorted(subprocess.run([BUSYBOX, '--list'], check=True, capture_output=True, text=True).stdout.split())
    entries = [(name, mode, None) for name, mode in DIRS.items()]
    entries += [('bin/busybox', 0o755, binary), ('etc/passwd', 0o644, PASSWD), ('etc/group', 0o644, GROUP)]
    return tar(entries + [('bin/' + a, 0o777, 'busybox') for a in applets if a != 'busybox'])


def build(out):
    path = 'PATH=/bin'
    archive = Archive()
    archive.image(['docker.io/keelson/pause:1'],
                  [tar([('pause', 0o755, compiled(out, 'pause.c', 'gcc'))])], {'Entrypoint': ['/pause']})
    base = base_layer()
    archive.image(['docker.io/library/busybox:1.36', 'docker.io/library/busybox:latest'], [base],
                  {'Cmd': ['sh'], 'Env': [path]})
    server = compiled(out, 'testserver.cc', 'g++', '-std=c++20', '-fno-exceptions', '-fno-rtti')
    program = tar([('testserver', 0o755, server), ('pause', 0o777, 'testserver'), ('www', 0o777, None),
                   ('tmp', 0o1777, None)])
    archive.image(['docker.io/keelson/testserver:1'], [program],
                  {'Entrypoint': ['/testserver'], 'Cmd': ['serve'], 'ExposedPorts': {'8080/tcp': {}}})
    archive.image(['docker.io/keelson/init:1'], [program], {'Entrypoint': ['/pause']})
    archive.image(['docker.io/keelson/user-number:1'], [base], {'User': '1000', 'Cmd': ['sh'], 'Env': [path]})
    archive.image(['docker.io/keelson/user-name:1'], [base], {'User': 'app', 'Cmd': ['sh'], 'Env': [path]})
    archive.image(['docker.io/keelson/full:1'], [base],
                  {'Entrypoint': ['/bin/echo', 'entrypoint'], 'Cmd': ['command'], 'WorkingDir': '/work',
                   'Env': [path, 'FROM_IMAGE=yes', 'BOTH=image'], 'StopSignal': 'SIGINT'})
    archive.image(['docker.io/keelson/no-such-entrypoint:1'], [base], {'Entrypoint': ['/no/such/program'], 'Env': [path]})
    archive.image(['docker.io/keelson/no-command:1'], [base], {'Env': [path]})
    archive.write(os.path.join(out, 'images.tar'))


def newest(paths):
    return max(os.stat(path).st_mtime for path in paths)


def main():
    out = sys.argv[1]
    os.makedirs(out, exist_ok=True)
    target = os.path.join(out, 'images.tar')
    sources = [os.path.join(HERE, name) for name in ('build.py', 'pause.c', 'testserver.cc')] + [BUSYBOX]
    if not os.path.exists(target) or os.stat(target).st_mtime < newest(sources):
        build(out)
    print(target)


if __name__ == '__main__':
    main()
