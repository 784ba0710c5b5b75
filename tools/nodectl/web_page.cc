// SPDX-License-Identifier: Apache-2.0
#include "tools/nodectl/web_page.h"

namespace keelson::nodectl {
namespace {

constexpr std::string_view kPage = R"html(<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Keelson node</title>
<link rel="stylesheet" href="style.css">
</head>
<body>
<header><h1 id="node">node</h1><span id="state" role="status">loading</span>
<label>CPU <progress id="cpu" max="1"></progress> <span id="cpu-text"></span></label>
<label>Memory <progress id="memory" max="1"></progress> <span id="memory-text"></span></label></header>
<main>
<section aria-labelledby="pods-title"><h2 id="pods-title">Pods</h2>
<table><thead><tr><th>Namespace<th>Name<th>Ready<th>Status<th>Restarts<th>CPU<th>Memory<th>Logs</tr></thead>
<tbody id="pods"></tbody></table></section>
<section aria-labelledby="log-title"><h2 id="log-title">Logs</h2><pre id="log" tabindex="0">Choose a container above.</pre></section>
<section aria-labelledby="events-title"><h2 id="events-title">Events</h2>
<table><thead><tr><th>Last seen<th>Type<th>Reason<th>Object<th>Message</tr></thead>
<tbody id="events"></tbody></table></section>
</main>
<script src="app.js"></script>
</body>
</html>
)html";

constexpr std::string_view kStyle = R"css(:root { color-scheme: light dark; font: 14px/1.45 system-ui, sans-serif; }
body { margin: 0; }
header { display: flex; flex-wrap: wrap; gap: .4em 1.6em; align-items: baseline; padding: .7em 1.2em;
  border-bottom: 1px solid #8885; }
h1 { font-size: 1.25em; margin: 0; }
h2 { font-size: 1em; margin: 1.2em 0 .4em; }
main { padding: 0 1.2em 2em; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .25em .9em .25em 0; border-bottom: 1px solid #8883; vertical-align: top; }
th { font-weight: 600; opacity: .7; }
th, td { white-space: nowrap; max-width: 28em; overflow: hidden; text-overflow: ellipsis; }
td:last-child { white-space: normal; max-width: none; overflow-wrap: anywhere; }
.good { color: #18794e; } .bad { color: #cd2b31; } .busy { color: #ad5700; }
@media (prefers-color-scheme: dark) { .good { color: #4cc38a; } .bad { color: #ff6369; } .busy { color: #f1a10d; } }
progress { width: 7em; height: .7em; }
button { font: inherit; margin-right: .4em; }
button[aria-pressed=true] { font-weight: 700; }
pre { margin: 0; padding: .6em; height: 18em; overflow: auto; background: #8881; white-space: pre-wrap;
  overflow-wrap: anywhere; font: 12px/1.4 ui-monospace, monospace; }
)css";

constexpr std::string_view kScript = R"js('use strict';
const at = id => document.getElementById(id);
const MAX_LOG = 200000;
let following = null;

// Only text goes into the page: what a pod calls itself or prints stays words.
function cell(row, content, className) {
  const td = row.insertCell();
  if (content instanceof Node) td.append(content); else td.textContent = content;
  if (className) td.className = className;
  return td;
}

async function get(path) {
  const answer = await fetch('api/' + path, {cache: 'no-store'});
  if (!answer.ok) throw new Error((await answer.text()).trim() || answer.statusText);
  return answer.json();
}

function bytes(n) {
  let unit = 0;
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  for (; n >= 1024 && unit < 4; ++unit) n /= 1024;
  return (n < 10 && unit ? n.toFixed(1) : Math.round(n)) + ' ' + units[unit];
}

function ago(time) {
  const s = Math.max(0, (Date.now() - Date.parse(time)) / 1000);
  if (!(s >= 0)) return '';
  return s < 120 ? Math.round(s) + 's' : s < 7200 ? Math.round(s / 60) + 'm' : Math.round(s / 3600) + 'h';
}

function statusOf(pod) {
  if (pod.metadata.deletionTimestamp) return 'Terminating';
  const all = [...(pod.status?.initContainerStatuses || []), ...(pod.status?.containerStatuses || [])];
  for (const c of all)
    if (c.state?.waiting?.reason && c.state.waiting.reason !== 'PodInitializing') return c.state.waiting.reason;
  for (const c of all)
    if (c.state?.terminated && c.state.terminated.exitCode) return c.state.terminated.reason || 'Error';
  return pod.status?.reason || pod.status?.phase || 'Unknown';
}

function kindOf(status) {
  if (['Running', 'Succeeded', 'Completed'].includes(status)) return 'good';
  return /Pending|Creating|Initializing|Terminating/.test(status) ? 'busy' : 'bad';
}

function bar(value, max, text) {
  const span = document.createElement('span');
  const progress = document.createElement('progress');
  progress.max = max > 0 ? max : 1;
  progress.value = Math.min(value, progress.max);
  span.append(progress, ' ' + text);
  return span;
}

async function follow(ns, pod, container, button) {
  following?.abort();
  const mine = following = new AbortController();
  for (const other of document.querySelectorAll('button[aria-pressed]')) other.setAttribute('aria-pressed', 'false');
  button.setAttribute('aria-pressed', 'true');
  at('log-title').textContent = 'Logs of ' + ns + '/' + pod + ' ' + container;
  at('log').textContent = '';
  const say = text => {
    const log = at('log');
    const down = log.scrollTop + log.clientHeight >= log.scrollHeight - 8;
    log.textContent = (log.textContent + text).slice(-MAX_LOG);
    if (down) log.scrollTop = log.scrollHeight;
  };
  try {
    const path = [ns, pod, container].map(encodeURIComponent).join('/');
    const answer = await fetch('api/containerLogs/' + path + '?follow=true&tailLines=200', {signal: mine.signal});
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    for (;;) {
      const {done, value} = await reader.read();
      if (done) break;
      say(value);
    }
    say('\n[the container has ended]\n');
  } catch (error) {
    if (!mine.signal.aborted) say('\n[' + error.message + ']\n');
  }
}

const buttons = new Map();
function logButton(ns, pod, container) {
  const key = JSON.stringify([ns, pod, container]);
  if (!buttons.has(key)) {
    const button = document.createElement('button');
    button.textContent = container;
    button.setAttribute('aria-pressed', 'false');
    button.addEventListener('click', () => follow(ns, pod, container, button));
    buttons.set(key, button);
    // An address may name a log: #namespace/pod/container.
    if (decodeURIComponent(location.hash) === '#' + ns + '/' + pod + '/' + container) button.click();
  }
  return buttons.get(key);
}

function showPods(list, stats) {
  const used = new Map((stats?.pods || []).map(p => [p.podRef.uid, p]));
  const most = (stats?.node?.memory?.workingSetBytes || 0) + (stats?.node?.memory?.availableBytes || 0);
  const rows = document.createDocumentFragment();
  const names = pod => pod.metadata.namespace + '/' + pod.metadata.name;
  for (const pod of (list.items || []).sort((a, b) => names(a) < names(b) ? -1 : 1)) {
    const row = document.createElement('tr');
    const states = pod.status?.containerStatuses || [];
    const status = statusOf(pod);
    cell(row, pod.metadata.namespace);
    cell(row, pod.metadata.name);
    cell(row, states.filter(c => c.ready).length + '/' + pod.spec.containers.length);
    cell(row, status, kindOf(status));
    cell(row, String(states.reduce((sum, c) => sum + (c.restartCount || 0), 0)));
    const use = used.get(pod.metadata.uid);
    const milli = Math.round((use?.cpu?.usageNanoCores || 0) / 1e6);
    cell(row, bar(milli, 1000, milli + 'm'));
    cell(row, bar(use?.memory?.workingSetBytes || 0, most, bytes(use?.memory?.workingSetBytes || 0)));
    const logs = document.createElement('span');
    for (const c of pod.spec.containers) logs.append(logButton(pod.metadata.namespace, pod.metadata.name, c.name));
    cell(row, logs);
    rows.append(row);
  }
  at('pods').replaceChildren(rows);
}

function showEvents(list) {
  const rows = document.createDocumentFragment();
  for (const e of (list.items || []).slice(-100).reverse()) {
    const row = document.createElement('tr');
    cell(row, ago(e.lastTimestamp || e.eventTime || e.metadata.creationTimestamp));
    cell(row, e.type || '', e.type === 'Warning' ? 'busy' : '');
    cell(row, e.reason || '');
    cell(row, (e.involvedObject?.kind || '') + '/' + (e.involvedObject?.name || ''));
    cell(row, (e.message || '') + (e.count > 1 ? ' (x' + e.count + ')' : ''));
    rows.append(row);
  }
  at('events').replaceChildren(rows);
}

function showNode(node) {
  if (!node) return;
  at('node').textContent = node.nodeName;
  const cores = (node.cpu?.usageNanoCores || 0) / 1e9;
  const most = navigator.hardwareConcurrency || 1;
  at('cpu').max = most;
  at('cpu').value = Math.min(cores, most);
  at('cpu-text').textContent = cores.toFixed(2) + ' cores';
  const used = node.memory?.workingSetBytes || 0, all = used + (node.memory?.availableBytes || 0);
  at('memory').max = all || 1;
  at('memory').value = used;
  at('memory-text').textContent = bytes(used) + ' of ' + bytes(all);
}

async function refresh() {
  try {
    const [pods, events] = await Promise.all([get('pods'), get('events')]);
    const stats = await get('stats/summary?only_cpu_and_memory=true').catch(() => null);
    showPods(pods, stats);
    showEvents(events);
    showNode(stats?.node);
    const count = (pods.items || []).length;
    at('state').textContent = count + (count === 1 ? ' pod' : ' pods');
    at('state').className = 'good';
  } catch (error) {
    at('state').textContent = error.message;
    at('state').className = 'bad';
  }
  setTimeout(refresh, 2000);
}
refresh();
)js";

}  // namespace

WebFile FindWebFile(std::string_view name) {
  if (name.empty()) return {"text/html; charset=utf-8", kPage};
  if (name == "app.js") return {"text/javascript; charset=utf-8", kScript};
  if (name == "style.css") return {"text/css; charset=utf-8", kStyle};
  return {};
}

}  // namespace keelson::nodectl
