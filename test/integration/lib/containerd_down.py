#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""containerd_down.py DIR: ends the private containerd of DIR and removes all it made.

What is ours is found by name: the socket in a shim's arguments, the network's name in the CNI cache,
the folder in the table of mounts. Steps go on after a failure; what is gone already is fine.
"""
import base64, glob, json, os, select, shutil, signal, subprocess, sys

CACHE = '/var/lib/cni/results'


def read(path, fallback=''):
    try:
        with open(path) as file:
            return file.read()
    except OSError:
        return fallback


def processes():
    """Of each process: (pid, parent, arguments)."""
    for name in filter(str.isdigit, os.listdir('/proc')):
        stat = read(f'/proc/{name}/stat')
        if stat:
            parent = int(stat.rsplit(')', 1)[1].split()[1])
            yield int(name), parent, read(f'/proc/{name}/cmdline').split('\0')


def kill(pid):
    """Kills one process and waits until it has ended."""
    try:
        fd = os.pidfd_open(pid)
        signal.pidfd_send_signal(fd, signal.SIGKILL)
        select.select([fd], [], [], 20)
        os.close(fd)
    except OSError:
        pass


def shims(socket):
    return [pid for pid, _, args in processes() if 'containerd-shim' in args[0] and socket in args]


def kill_tasks(socket):
    """Containers first: a shim that dies leaves them running."""
    while found := shims(socket):
        for pid in [pid for pid, parent, _ in processes() if parent in found] + found:
            kill(pid)


def setting(folder, wanted):
    """The first value of that name in the daemon's configuration."""
    for line in read(f'{folder}/config.toml').splitlines():
        key, _, value = line.partition('=')
        if key.strip() == wanted:
            return value.strip().strip('"')
    return ''


def cni_del(folder, cached):
    """The DEL that the runtime would have sent, from the copy libcni keeps."""
    entry = json.loads(read(cached, '{}'))
    conf = json.loads(base64.b64decode(entry.get('config', '')) or '{}')
    bin_dir = setting(folder, 'bin_dir')
    for plugin in reversed(conf.get('plugins', [])):
        wanted = plugin.get('capabilities') or {}
        args = entry.get('capabilityArgs') or {}
        plugin.update(name=conf['name'], cniVersion=conf['cniVersion'], prevResult=entry.get('result'),
                      runtimeConfig={k: v for k, v in args.items() if wanted.get(k)})
        env = dict(os.environ, CNI_COMMAND='DEL', CNI_CONTAINERID=entry['containerId'], CNI_IFNAME=entry['ifName'],
                   CNI_PATH=bin_dir, CNI_NETNS='')
        subprocess.run([os.path.join(bin_dir, plugin['type'])], input=json.dumps(plugin), env=env, text=True,
                       capture_output=True)
    os.unlink(cached)


def namespaces(folder):
    """Network namespaces of the sandboxes, named in their runtime configuration."""
    for path in glob.glob(f'{folder}/state/io.containerd.runtime.v2.task/*/*/config.json'):
        config = json.loads(read(path, '{}') or '{}')
        for ns in config.get('linux', {}).get('namespaces', []):
            if ns['type'] == 'network' and '/netns/' in ns.get('path', ''):
                yield ns['path']


def containers(folder):
    return [os.path.basename(p) for p in glob.glob(f'{folder}/state/io.containerd.runtime.v2.task/*/*')]


def unmount_below(folder):
    mounts = [line.split()[4] for line in read('/proc/self/mountinfo').splitlines()]
    for path in reversed([m for m in mounts if m.startswith(folder + '/')]):
        subprocess.run(['umount', '-l', path], capture_output=True)


def remove_tree(group):
    for path, _, _ in os.walk(group, topdown=False):
        try:
            os.rmdir(path)
        except OSError:
            pass


def remove_cgroups(network, names):
    """Groups of agents lie below the network's name. Containers without an agent live below /k8s.io."""
    for group in [f'/sys/fs/cgroup/{network}'] + glob.glob(f'/sys/fs/cgroup/*/{network}'):
        remove_tree(group)
    for name in names:
        for path in glob.glob(f'/sys/fs/cgroup/k8s.io/{name}') + glob.glob(f'/sys/fs/cgroup/*/k8s.io/{name}'):
            try:
                os.rmdir(path)
            except OSError:
                pass


def main():
    folder = os.path.abspath(sys.argv[1])
    if not os.path.exists(f'{folder}/config.toml'):
        return
    network = read(f'{folder}/network').strip()
    pid = read(f'{folder}/containerd.pid').strip()
    if pid and f'{folder}/config.toml' in read(f'/proc/{pid}/cmdline').split('\0'):
        kill(int(pid))
    netns, ids = set(namespaces(folder)), containers(folder)
    kill_tasks(f'{folder}/containerd.sock')
    for cached in glob.glob(f'{CACHE}/{network}-*'):
        netns.add(json.loads(read(cached, '{}') or '{}').get('netns', ''))
        cni_del(folder, cached)
    for loopback in glob.glob(f'{CACHE}/cni-loopback-*'):
        if any(f'-{name}-' in loopback for name in ids):
            os.unlink(loopback)
    for path in filter(None, netns):
        subprocess.run(['umount', '-l', path], capture_output=True)
        if os.path.exists(path):
            os.unlink(path)
    subprocess.run(['ip', 'link', 'delete', network], capture_output=True)
    data = setting(folder, 'root')
    for path in (folder, data):
        unmount_below(path)
    remove_cgroups(network, ids)
    for path in (data, folder):
        shutil.rmtree(path, ignore_errors=True)


main()
