// SPDX-License-Identifier: Apache-2.0
#include "tools/nodectl/lists.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <tuple>

#include "base/strings.h"
#include "proto/codec/value.h"
#include "tools/nodectl/describe.h"
#include "tools/nodectl/pod_row.h"
#include "tools/nodectl/table.h"

namespace keelson::nodectl {
namespace {

using proto::Value;

Color StatusColor(const std::string& status) {
  for (const char* good : {"Running", "Completed", "Succeeded"})
    if (status == good) return Color::kGreen;
  for (const char* bad : {"Error", "Failed", "BackOff", "Err", "OOMKilled", "ExitCode", "Signal",
                          "Evicted", "Invalid", "Unknown"})
    if (status.find(bad) != status.npos) return Color::kRed;
  return Color::kYellow;
}

std::vector<Cell> PodCells(const PodRow& row, const ListStyle& style) {
  std::vector<Cell> cells;
  if (style.namespaces) cells.emplace_back(row.ns);
  cells.emplace_back(row.name);
  const bool all = row.ready == row.total || row.status == "Completed";
  cells.emplace_back(base::StrCat(row.ready, "/", row.total), all ? Color::kNone : Color::kYellow);
  cells.emplace_back(Printable(row.status), StatusColor(row.status));
  cells.emplace_back(row.restarts);
  cells.emplace_back(row.age);
  if (style.wide)
    for (const auto* text : {&row.ip, &row.node, &row.nominated_node, &row.readiness_gates})
      cells.emplace_back(*text);
  return cells;
}

std::vector<std::string> Header(const ListStyle& style, std::vector<std::string> rest) {
  if (style.namespaces) rest.insert(rest.begin(), "NAMESPACE");
  return rest;
}

std::string Lower(std::string text) {
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

std::string Text(const Value& map, std::string_view key) {
  const Value* value = map.Find(key);
  return value == nullptr ? std::string() : Printable(value->text);
}

const std::vector<Value>& Items(const Value& map, std::string_view key) {
  static const std::vector<Value> kNone;
  const Value* value = map.Find(key);
  return value == nullptr ? kNone : value->items;
}

// sha256:0123... as people quote it.
std::string ShortId(const std::string& id) {
  const size_t colon = id.find(':');
  return (colon == id.npos ? id : id.substr(colon + 1)).substr(0, 13);
}

// The colon of a port (registry:5000/name) is not the one of a tag.
std::pair<std::string, std::string> SplitTag(const std::string& name) {
  const size_t colon = name.rfind(':');
  const size_t slash = name.rfind('/');
  if (colon == name.npos || (slash != name.npos && colon < slash)) return {name, "<none>"};
  return {name.substr(0, colon), name.substr(colon + 1)};
}

void AddImage(const Value& image, Table* table) {
  const std::string id = ShortId(Text(image, "id"));
  const std::string size = HumanBytes(std::atof(Text(image, "sizeBytes").c_str()));
  for (const Value& tag : Items(image, "repoTags")) {
    auto [name, version] = SplitTag(Printable(tag.text));
    table->Add({name, version, id, size});
  }
  if (!Items(image, "repoTags").empty()) return;
  std::string name = "<none>";
  if (const auto& digests = Items(image, "repoDigests"); !digests.empty())
    name = Printable(digests[0].text.substr(0, digests[0].text.find('@')));
  table->Add({name, "<none>", id, size});
}

}  // namespace

std::string HumanBytes(double bytes) {
  constexpr const char* kUnits[] = {"B", "kB", "MB", "GB", "TB", "PB"};
  size_t unit = 0;
  for (; bytes >= 1000 && unit + 1 < std::size(kUnits); ++unit) bytes /= 1000;
  char text[32];
  std::snprintf(text, sizeof(text), "%.3g%s", bytes, kUnits[unit]);
  return text;
}

std::string PodsTable(const k8s::v1::PodList& pods, const ListStyle& style) {
  std::vector<PodRow> rows;
  for (const auto& pod : pods.items()) rows.push_back(MakePodRow(pod, style.now));
  std::ranges::sort(rows, {}, [](const PodRow& row) { return std::tie(row.ns, row.name); });
  std::vector<std::string> columns = {"NAME", "READY", "STATUS", "RESTARTS", "AGE"};
  if (style.wide)
    for (const char* name : {"IP", "NODE", "NOMINATED NODE", "READINESS GATES"})
      columns.push_back(name);
  Table table(Header(style, columns));
  for (const PodRow& row : rows) table.Add(PodCells(row, style));
  return table.Render(style.color);
}

std::string EventsTable(const k8s::v1::EventList& events, const ListStyle& style) {
  Table table(Header(style, {"LAST SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE"}));
  for (const auto& event : events.items()) {
    const auto& object = event.involvedobject();
    std::vector<Cell> cells;
    if (style.namespaces) cells.emplace_back(event.metadata().namespace_());
    cells.emplace_back(LastSeen(event, style.now));
    cells.emplace_back(event.type(), event.type() == "Warning" ? Color::kYellow : Color::kNone);
    cells.emplace_back(event.reason());
    cells.emplace_back(base::StrCat(Lower(object.kind()), "/", object.name()));
    cells.emplace_back(Printable(event.message()));
    table.Add(std::move(cells));
  }
  return table.Render(style.color);
}

absl::StatusOr<std::string> ImagesTable(std::string_view json, const ListStyle& style) {
  auto tree = proto::ParseJsonTree(json, {.source = "images"});
  if (!tree.ok()) return tree.status();
  Table table({"IMAGE", "TAG", "IMAGE ID", "SIZE"});
  for (const Value& image : Items(*tree, "images")) AddImage(image, &table);
  return table.Render(style.color);
}

absl::StatusOr<std::string> InflightTable(std::string_view json, const ListStyle& style) {
  auto tree = proto::ParseJsonTree(json, {.source = "inflight"});
  if (!tree.ok()) return tree.status();
  Table table({"TARGET", "CALL", "OBJECT", "AGE"});
  for (const Value& call : Items(*tree, "calls")) {
    const auto age = std::chrono::milliseconds(std::atoll(Text(call, "ageMilliseconds").c_str()));
    table.Add({Text(call, "target"), Text(call, "call"), Text(call, "object"),
               Cell(base::GoDuration(age),
                    age > std::chrono::minutes(1) ? Color::kYellow : Color::kNone)});
  }
  return table.Render(style.color);
}

}  // namespace keelson::nodectl
