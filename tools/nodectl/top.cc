// SPDX-License-Identifier: Apache-2.0
#include "tools/nodectl/top.h"

#include <sys/sysinfo.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <tuple>

#include "base/errno_status.h"
#include "proto/codec/codec.h"
#include "tools/nodectl/client.h"
#include "tools/nodectl/commands.h"
#include "tools/nodectl/lookup.h"
#include "tools/nodectl/table.h"

namespace keelson::nodectl {
namespace {

using k8s::stats::v1alpha1::CPUStats;
using k8s::stats::v1alpha1::MemoryStats;
using k8s::stats::v1alpha1::PodStats;
using k8s::stats::v1alpha1::Summary;

struct Row {
  std::string ns, pod, container;
  uint64_t nano_cores = 0, bytes = 0;
};

// 250m, rounded up as kubectl does it; 64Mi.
std::string Cores(uint64_t nano_cores) { return base::StrCat((nano_cores + 999'999) / 1'000'000, "m"); }
std::string Bytes(uint64_t bytes) { return base::StrCat(bytes >> 20, "Mi"); }
std::string Percent(double part, double whole) {
  return whole > 0 ? base::StrCat(static_cast<int64_t>(100 * part / whole), "%") : "<unknown>";
}

bool Wanted(const PodStats& pod, const TopStyle& style) {
  if (!style.ns.empty() && pod.podref().namespace_() != style.ns) return false;
  return style.names.empty() ||
         std::ranges::any_of(style.names, [&](const std::string& name) {
           return BareName(name) == pod.podref().name();
         });
}

Row RowOf(const PodStats& pod, std::string container, const CPUStats& cpu, const MemoryStats& memory) {
  return {pod.podref().namespace_(), pod.podref().name(), std::move(container), cpu.usagenanocores(),
          memory.workingsetbytes()};
}

void Sort(const std::string& by, std::vector<Row>* rows) {
  std::ranges::sort(*rows, [&](const Row& a, const Row& b) {
    if (by == "cpu" && a.nano_cores != b.nano_cores) return a.nano_cores > b.nano_cores;
    if (by == "memory" && a.bytes != b.bytes) return a.bytes > b.bytes;
    return std::tie(a.ns, a.pod, a.container) < std::tie(b.ns, b.pod, b.container);
  });
}

absl::StatusOr<Summary> FetchSummary(const Options& options) {
  QueryParams query = {{"only_cpu_and_memory", "true"}};
  auto json = Client(options.socket).Get("/stats/summary", query);
  if (!json.ok()) return json.status();
  Summary summary;
  proto::DecodeOptions bounds;
  bounds.max_bytes = 1u << 28;
  bounds.max_nodes = 10'000'000;
  bounds.source = "answer of the agent";
  RETURN_IF_ERROR(proto::DecodeJson(*json, &summary, bounds));
  return summary;
}

}  // namespace

bool HasRates(const Summary& summary) {
  return summary.node().cpu().has_usagenanocores() &&
         std::ranges::all_of(summary.pods(), [](const PodStats& pod) {
           return std::ranges::all_of(pod.containers(), [](const auto& container) {
             return !container.has_cpu() || container.cpu().has_usagenanocores();
           });
         });
}

std::string TopPodsTable(const Summary& summary, const TopStyle& style) {
  std::vector<Row> rows;
  for (const PodStats& pod : summary.pods()) {
    if (!Wanted(pod, style)) continue;
    if (!style.containers) rows.push_back(RowOf(pod, "", pod.cpu(), pod.memory()));
    for (const auto& one : pod.containers())
      if (style.containers) rows.push_back(RowOf(pod, one.name(), one.cpu(), one.memory()));
  }
  Sort(style.sort, &rows);
  std::vector<std::string> header;
  if (style.ns.empty()) header.push_back("NAMESPACE");
  header.push_back(style.containers ? "POD" : "NAME");
  if (style.containers) header.push_back("NAME");
  header.push_back("CPU(cores)");
  header.push_back("MEMORY(bytes)");
  Table table(header);
  for (const Row& row : rows) {
    std::vector<Cell> cells;
    if (style.ns.empty()) cells.emplace_back(Printable(row.ns));
    cells.emplace_back(Printable(row.pod));
    if (style.containers) cells.emplace_back(Printable(row.container));
    cells.emplace_back(Cores(row.nano_cores));
    cells.emplace_back(Bytes(row.bytes));
    table.Add(std::move(cells));
  }
  return table.Render(style.list.color);
}

std::string TopNodeTable(const Summary& summary, int cpus, uint64_t memory, const ListStyle& style) {
  const auto& node = summary.node();
  const uint64_t cores = node.cpu().usagenanocores(), bytes = node.memory().workingsetbytes();
  Table table({"NAME", "CPU(cores)", "CPU(%)", "MEMORY(bytes)", "MEMORY(%)"});
  table.Add({Printable(node.nodename()), Cores(cores),
             Percent(static_cast<double>(cores), 1e9 * cpus), Bytes(bytes),
             Percent(static_cast<double>(bytes), static_cast<double>(memory))});
  return table.Render(style.color);
}

absl::Status Top(const Options& options) {
  auto summary = FetchSummary(options);
  if (!summary.ok()) return summary.status();
  if (!HasRates(*summary)) {
    const timespec second{1, 0};  // what a rate is measured over
    static_cast<void>(::nanosleep(&second, nullptr));  // cut short by a signal it is a little rougher
    summary = FetchSummary(options);
    if (!summary.ok()) return summary.status();
  }
  TopStyle style;
  style.list.color = options.color;
  std::string table;
  if (options.kind.starts_with("no")) {
    struct sysinfo machine;
    if (::sysinfo(&machine) < 0) return base::ErrnoStatus("sysinfo");
    table = TopNodeTable(*summary, static_cast<int>(::sysconf(_SC_NPROCESSORS_ONLN)),
                         uint64_t{machine.totalram} * machine.mem_unit, style.list);
  } else {
    style.containers = options.containers;
    style.sort = options.sort;
    style.ns = options.ns;
    style.names = options.names;
    table = TopPodsTable(*summary, style);
  }
  std::fwrite(table.data(), 1, table.size(), stdout);
  return absl::OkStatus();
}

}  // namespace keelson::nodectl
