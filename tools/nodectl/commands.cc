// SPDX-License-Identifier: Apache-2.0
#include "tools/nodectl/commands.h"

#include <algorithm>
#include <chrono>
#include <cstdio>

#include "base/errno_status.h"
#include "proto/codec/codec.h"
#include "proto/codec/duration.h"
#include "tools/nodectl/client.h"
#include "tools/nodectl/describe.h"
#include "tools/nodectl/lists.h"
#include "tools/nodectl/lookup.h"
#include "tools/nodectl/table.h"

namespace keelson::nodectl {
namespace {

using k8s::v1::EventList;
using k8s::v1::Pod;
using k8s::v1::PodList;

void Print(std::string_view text) { std::fwrite(text.data(), 1, text.size(), stdout); }

ListStyle StyleOf(const Options& options) {
  ListStyle style;
  style.wide = options.output == "wide";
  style.namespaces = options.ns.empty();
  style.color = options.color;
  style.now = std::chrono::time_point_cast<base::Nanos>(std::chrono::system_clock::now());
  return style;
}

absl::Status PrintEncoded(const google::protobuf::Message& message, const std::string& kind,
                          const std::string& output) {
  proto::EncodeOptions encode;
  encode.pretty = true;
  encode.type = {"v1", kind};
  auto text =
      output == "yaml" ? proto::EncodeYaml(message, encode) : proto::EncodeJson(message, encode);
  if (!text.ok()) return text.status();
  Print(*text);
  if (!text->ends_with('\n')) Print("\n");
  return absl::OkStatus();
}

bool Encoded(const Options& options) {
  return options.output == "json" || options.output == "yaml";
}

void SayNothingFound(const Options& options) {
  if (options.ns.empty())
    std::fputs("No resources found\n", stderr);
  else
    std::fprintf(stderr, "No resources found in %s namespace.\n", options.ns.c_str());
}

absl::Status GetPods(const Options& options) {
  auto pods = FetchPods(options);
  if (!pods.ok()) return pods.status();
  RETURN_IF_ERROR(KeepNamed(options.names, &*pods));
  if (Encoded(options) && options.names.size() == 1 && pods->items_size() == 1)
    return PrintEncoded(pods->items(0), "Pod", options.output);
  if (Encoded(options)) return PrintEncoded(*pods, "PodList", options.output);
  if (pods->items().empty()) {
    SayNothingFound(options);
    return absl::OkStatus();
  }
  if (options.output != "name") {
    Print(PodsTable(*pods, StyleOf(options)));
    return absl::OkStatus();
  }
  for (const Pod& pod : pods->items()) Print(base::StrCat("pod/", pod.metadata().name(), "\n"));
  return absl::OkStatus();
}

// The agent's own JSON, and a table made of it.
absl::Status PrintList(const Options& options, const std::string& path,
                       absl::StatusOr<std::string> (*table)(std::string_view, const ListStyle&)) {
  auto json = Client(options.socket).Get(path);
  if (!json.ok()) return json.status();
  if (options.output == "json") {
    Print(*json + "\n");
    return absl::OkStatus();
  }
  if (!options.output.empty() && options.output != "wide")
    return absl::InvalidArgumentError(
        base::StrCat("-o ", options.output, " is not there for this; use json"));
  auto text = table(*json, StyleOf(options));
  if (!text.ok()) return text.status();
  Print(*text);
  return absl::OkStatus();
}

bool About(const k8s::v1::Event& event, const std::string& object) {
  const size_t slash = object.find('/');
  const std::string name = slash == object.npos ? object : object.substr(slash + 1);
  std::string kind = slash == object.npos ? "pod" : object.substr(0, slash);
  if (kind == "pods" || kind == "po") kind = "pod";
  std::string have = event.involvedobject().kind();
  for (char& c : have) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return event.involvedobject().name() == name && have == kind;
}

absl::StatusOr<QueryParams> LogParams(const Options& options) {
  QueryParams query;
  if (options.follow) query.emplace_back("follow", "true");
  if (options.previous) query.emplace_back("previous", "true");
  if (options.timestamps) query.emplace_back("timestamps", "true");
  if (options.tail >= 0) query.emplace_back("tailLines", base::StrCat(options.tail));
  if (options.limit_bytes >= 0) query.emplace_back("limitBytes", base::StrCat(options.limit_bytes));
  if (options.stream != "all")
    query.emplace_back("stream", options.stream == "stdout" ? "Stdout" : "Stderr");
  if (!options.since_time.empty()) query.emplace_back("sinceTime", options.since_time);
  if (options.since.empty()) return query;
  auto since = proto::ParseGoDuration(options.since);
  if (!since.ok()) return base::Annotate(since.status(), "--since");
  const auto seconds = std::chrono::ceil<std::chrono::seconds>(*since).count();
  query.emplace_back("sinceSeconds", base::StrCat(seconds));
  return query;
}

// Options that mean nothing for what is asked: better said than ignored.
absl::Status CheckGet(const Options& options, bool pods, bool images) {
  if (!pods && !options.names.empty())
    return absl::InvalidArgumentError(
        "names are for pods; events take --for (nodectl events --help)");
  if (images && !options.ns.empty())
    return absl::InvalidArgumentError("images belong to the whole node: leave out -n");
  if (!pods && options.output == "name") return absl::InvalidArgumentError("-o name is for pods");
  return absl::OkStatus();
}

}  // namespace

absl::Status Get(const Options& options) {
  RETURN_IF_ERROR(
      CheckGet(options, options.kind.starts_with("po"), options.kind.starts_with("im")));
  if (options.kind.starts_with("po")) return GetPods(options);
  if (options.kind.starts_with("im")) return PrintList(options, "/images", ImagesTable);
  return Events(options);
}

absl::Status Describe(const Options& options) {
  auto events = FetchEvents(options);
  if (!events.ok()) return events.status();
  for (size_t i = 0; i < options.names.size(); ++i) {
    auto pod = OnePod(options, options.names[i]);
    if (!pod.ok()) return pod.status();
    EventList own;
    for (const auto& event : events->items())
      if (event.involvedobject().kind() == "Pod" &&
          event.involvedobject().uid() == pod->metadata().uid())
        *own.add_items() = event;
    if (i > 0) Print("\n\n");
    Print(DescribePod(*pod, own, StyleOf(options).now));
  }
  return absl::OkStatus();
}

absl::Status Logs(const Options& options) {
  auto pod = OnePod(options, options.names[0]);
  if (!pod.ok()) return pod.status();
  const std::string container = ContainerOf(options, *pod);
  auto query = LogParams(options);
  if (!query.ok()) return query.status();
  return Client(options.socket)
      .Stream(base::StrCat("/containerLogs/", pod->metadata().namespace_(), "/",
                           pod->metadata().name(), "/", container),
              *query, [](std::string_view text) {
                Print(text);
                std::fflush(stdout);  // a follower waits for each line
              });
}

absl::Status Events(const Options& options) {
  auto events = FetchEvents(options);
  if (!events.ok()) return events.status();
  if (!options.for_object.empty()) {
    EventList kept;
    for (const auto& event : events->items())
      if (About(event, options.for_object)) *kept.add_items() = event;
    events->Swap(&kept);
  }
  if (Encoded(options)) return PrintEncoded(*events, "EventList", options.output);
  if (events->items().empty())
    SayNothingFound(options);
  else
    Print(EventsTable(*events, StyleOf(options)));
  return absl::OkStatus();
}

absl::Status Inflight(const Options& options) {
  return PrintList(options, "/inflight", InflightTable);
}

}  // namespace keelson::nodectl
