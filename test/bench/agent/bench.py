#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The agent beside its floor, in one run: ratios, not absolute times.

  bench.py --kubelet BIN --floor BIN --containerd-script SH [--pods 60] [--version 1.6|2] [--json]

Starts a private containerd, runs `floor` (the same CRI calls with nothing else) and the agent on a
manifest directory in turns, and prints a Markdown table. It looks only at the manifest directory, /proc and
what the pods' own containers write.
"""
import argparse, glob, json, os, shutil, signal, statistics, subprocess, tempfile, time

MANIFEST = """apiVersion: v1
kind: Pod
metadata: {{name: {name}, namespace: bench}}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: c
    image: docker.io/library/busybox:1.36
    imagePullPolicy: IfNotPresent
    command: ["/bin/sh", "-c", "echo $$ >> /out/{name}; exec sleep 100000"]
    volumeMounts: [{{name: out, mountPath: /out}}]
  volumes: [{{name: out, hostPath: {{path: {out}}}}}]
"""
CONFIG = """apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication: {{webhook: {{enabled: false}}}}
authorization: {{mode: AlwaysAllow}}
failCgroupV1: false
failSwapOn: false
healthzPort: 0
enableServer: false
maxPods: 1000
staticPodPath: {manifests}
podLogsDir: {work}/log/pods
containerRuntimeEndpoint: unix://{socket}
cgroupRoot: /klbench
"""


class Agent:
    def __init__(self, kubelet, work, socket):
        self.manifests, self.out = work + '/manifests', work + '/out'
        for d in (self.manifests, self.out, work + '/log'):
            os.makedirs(d, exist_ok=True)
        config = work + '/config.yaml'
        open(config, 'w').write(CONFIG.format(manifests=self.manifests, work=work, socket=socket))
        self.command = [kubelet, '--config=' + config, '--root-dir=' + work + '/root',
                        '--hostname-override=bench']
        self.log = open(work + '/kubelet.log', 'ab')
        self.start()

    def start(self):
        self.process = subprocess.Popen(self.command, stdout=self.log, stderr=self.log)
        return time.time()

    def put(self, name):
        temporary = f'{self.manifests}/.{name}'
        open(temporary, 'w').write(MANIFEST.format(name=name, out=self.out))
        begun = time.time()
        os.rename(temporary, f'{self.manifests}/{name}.yaml')
        return begun

    def drop(self, name):
        os.unlink(f'{self.manifests}/{name}.yaml')

    def clear(self):
        """Ends all pods and waits until nothing of them is left."""
        for path in glob.glob(self.manifests + '/*.yaml'):
            os.unlink(path)
        wait(lambda: not sleepers(self.out))
        wait(lambda: not os.listdir(os.path.dirname(self.manifests) + '/root/pods'))
        for name in os.listdir(self.out):
            os.unlink(f'{self.out}/{name}')
        time.sleep(2)

    def ran(self, name, lines=1):
        path = f'{self.out}/{name}'
        try:
            return os.stat(path).st_mtime if open(path).read().count('\n') >= lines else None
        except FileNotFoundError:
            return None

    def cpu(self):
        fields = open(f'/proc/{self.process.pid}/stat').read().rsplit(')', 1)[1].split()
        return sum(map(int, fields[11:15])) / os.sysconf('SC_CLK_TCK')

    def memory_mb(self):
        rows = dict(l.split(':', 1) for l in open(f'/proc/{self.process.pid}/status'))
        return [int(rows[k].split()[0]) / 1024 for k in ('VmRSS', 'RssAnon')]


def wait(condition, seconds=180, pause=0.05):
    """Pauses between looks so as not to take a processor from what it measures; times come from files."""
    end = time.time() + seconds
    while time.time() < end:
        value = condition()
        if value:
            return value
        time.sleep(pause)
    raise SystemExit(f'bench: nothing happened within {seconds} s')


def sleepers(out):
    """Processes of our pods' containers: those that have our output directory mounted."""
    pids = []
    for path in glob.glob('/proc/[0-9]*/mountinfo'):
        try:
            if f'{out} /out ' in open(path).read():
                pids.append(int(path.split('/')[2]))
        except OSError:
            pass
    return pids


def measure_agent(agent, pods, floor):
    """The floor runs before each start and burst, so that both see the same moods of the machine."""
    result = {}
    starts, stops = [], []
    for i in range(12):
        floor.once()
        time.sleep(0.5)  # what ends a pod in the kernel goes on after the call
        begun = agent.put(f's{i}')
        starts.append(wait(lambda: agent.ran(f's{i}')) - begun)
        time.sleep(0.5)
        begun = time.time()
        agent.drop(f's{i}')
        wait(lambda: not sleepers(agent.out), pause=0.001)
        stops.append(time.time() - begun)
        time.sleep(0.5)
    result['single_start_s'], result['single_stop_s'] = map(statistics.median, (starts, stops))
    names = [f'b{i}' for i in range(pods)]
    bursts = []
    for last in (False, False, True):
        floor.burst(pods)
        time.sleep(2)
        begun = time.time()
        for name in names:
            agent.put(name)
        bursts.append(max(wait(lambda: all(agent.ran(n) for n in names) and
                               [agent.ran(n) for n in names])) - begun)
        if not last:
            agent.clear()
    result['burst_s'] = statistics.median(bursts)
    time.sleep(10)
    before = agent.cpu()
    time.sleep(20)
    result['idle_cpu_percent'] = 100 * (agent.cpu() - before) / 20
    result['rss_mb'], result['anonymous_mb'] = agent.memory_mb()
    replaced = []
    for i in range(5):
        pid = sleepers(agent.out)[0]
        name = None
        for n in names:
            if open(f'{agent.out}/{n}').read().split()[-1]:
                name = name or (n if hostname_of(pid).startswith(n + '-') else None)
        lines = open(f'{agent.out}/{name}').read().count('\n')
        begun = time.time()
        os.kill(pid, signal.SIGKILL)
        at = wait(lambda: agent.ran(name, lines + 1))
        if lines == 1:  # later ends of one container wait for its back-off
            replaced.append(at - begun)
    result['replace_s'] = statistics.median(replaced)
    again = []
    count = {n: open(f'{agent.out}/{n}').read().count('\n') for n in names}
    for i in range(3):
        agent.process.kill()
        agent.process.wait()
        agent.put(f'x{i}')
        begun = agent.start()
        again.append(wait(lambda: agent.ran(f'x{i}')) - begun)
        time.sleep(2)
    result['restart_to_new_pod_s'] = statistics.median(again)
    result['disturbed'] = sum(open(f'{agent.out}/{n}').read().count('\n') - count[n] for n in names)
    agent.clear()
    return result


def hostname_of(pid):
    environment = open(f'/proc/{pid}/environ').read().split('\0')
    return next((e[9:] for e in environment if e.startswith('HOSTNAME=')), '')


def make_group(group):
    """A cgroup as BestEffort pods have it: the kernel gives it two shares, also while runc works in it."""
    for mount in glob.glob('/sys/fs/cgroup/*/') if not os.path.exists('/sys/fs/cgroup/cgroup.controllers') else ['/sys/fs/cgroup/']:
        if not os.path.exists(mount + 'cgroup.procs'):
            continue
        path = mount.rstrip('/')
        for part in group.strip('/').split('/'):
            above, path = path, f'{path}/{part}'
            os.makedirs(path, exist_ok=True)
            for name in ('cpuset.cpus', 'cpuset.mems'):  # v1: a new group has none, and then takes no process
                if os.path.exists(f'{path}/{name}') and not open(f'{path}/{name}').read().strip():
                    open(f'{path}/{name}', 'w').write(open(f'{above}/{name}').read())
        for name, value in (('cpu.shares', '2'), ('cpu.weight', '1')):
            if os.path.exists(f'{path}/{name}'):
                open(f'{path}/{name}', 'w').write(value)


def remove_groups(name):
    for path, _, _ in sorted(os.walk('/sys/fs/cgroup'), reverse=True):
        if f'/{name}/' in path + '/':
            try:
                os.rmdir(path)
            except OSError:
                pass  # still in use: shown by what stays


class Floor:
    PARENT = '/klbench-floor/besteffort'

    def __init__(self, binary, socket, out, pods):
        self.command = [binary, socket, out, self.PARENT]
        self.out, self.singles, self.bursts = out, [], []
        os.makedirs(out)
        make_group(self.PARENT)
        for name in ['f0', 'k0'] + [f'g{i}' for i in range(pods)]:
            make_group(f'{self.PARENT}/pod{name}')

    def run(self, mode, count):
        answer = json.loads(subprocess.check_output([*self.command, mode, str(count)]))
        for name in os.listdir(self.out):
            os.unlink(f'{self.out}/{name}')
        return answer

    def once(self):
        self.singles.append(self.run('single', 1))

    def burst(self, pods):
        self.bursts.append(self.run('burst', pods)['burst_s'])

    def result(self):
        medians = {key: statistics.median(s[key] for s in self.singles) for key in self.singles[0]}
        return {**medians, 'burst_s': statistics.median(self.bursts), **self.run('kill', 5)}


def report(agent, floor):
    rows = [('one pod, manifest to running', 'single_start_s', 's'), ('stop one pod, 1 s grace', 'single_stop_s', 's'),
            ('burst, all running', 'burst_s', 's'), ('container killed to replacement', 'replace_s', 's')]
    print('| what | agent | floor | ratio |\n|---|---|---|---|')
    for title, key, unit in rows:
        print(f'| {title} | {agent[key]:.3f} {unit} | {floor[key]:.3f} {unit} | {agent[key] / floor[key]:.2f} |')
    print(f'| CPU at rest | {agent["idle_cpu_percent"]:.2f} % | - | - |')
    print(f'| resident / anonymous memory | {agent["rss_mb"]:.1f} / {agent["anonymous_mb"]:.1f} MB | - | - |')
    print(f'| agent killed, started, new pod runs | {agent["restart_to_new_pod_s"]:.3f} s | - | - |')
    print(f'| containers disturbed by that | {agent["disturbed"]} | - | - |')


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--kubelet', required=True)
    parser.add_argument('--floor', required=True)
    parser.add_argument('--containerd-script', required=True)
    parser.add_argument('--pods', type=int, default=60)
    parser.add_argument('--version', default='1.6')
    parser.add_argument('--json', action='store_true')
    a = parser.parse_args()
    work = tempfile.mkdtemp(prefix='klbench')
    socket = subprocess.check_output(['bash', a.containerd_script, 'start', work + '/c', a.version],
                                     text=True).split()[-1]
    try:
        floor = Floor(a.floor, socket, work + '/floor-out', a.pods)
        agent = Agent(a.kubelet, work, socket)
        try:
            result = measure_agent(agent, a.pods, floor)
        finally:
            agent.process.terminate()
            agent.process.wait()
        beside = floor.result()
        if a.json:
            print(json.dumps({'agent': result, 'floor': beside}))
        report(result, beside)
    finally:
        subprocess.call(['bash', a.containerd_script, 'stop', work + '/c', a.version])
        remove_groups('klbench-floor')
        remove_groups('klbench')
        shutil.rmtree(work, ignore_errors=True)


if __name__ == '__main__':
    main()
