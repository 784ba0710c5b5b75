// SPDX-License-Identifier: Apache-2.0
#include "kubelet/server/node_log_query.h"

#include <re2/re2.h>
#include <time.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cstdio>
#include <map>

#include "base/strings.h"
#include "kubelet/server/system_logs.h"

namespace keelson::kubelet {
namespace {

using base::StrCat;
using base::Task;

constexpr size_t kServiceBytes = 256;
constexpr size_t kServices = 4;
constexpr int64_t kTailLines = 100'000;

absl::Status Invalid(std::string_view field, std::string_view value, std::string_view why) {
  return absl::InvalidArgumentError(StrCat(field, ": Invalid value: \"", value, "\": ", why));
}

absl::StatusOr<std::optional<base::WallTime>> TimeOf(const std::string& field,
                                                     const std::string& text) {
  if (text.empty()) return std::optional<base::WallTime>();
  auto time = base::ParseRfc3339(text);
  if (!time) return Invalid(field, text, "invalid time format");
  return time;
}

absl::StatusOr<std::optional<int64_t>> NumberOf(const std::string& field, const std::string& text) {
  if (text.empty()) return std::optional<int64_t>();
  int64_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size())
    return Invalid(field, text, "not a number");
  return std::optional<int64_t>(value);
}

bool IsServiceName(const std::string& name) {
  return std::ranges::all_of(name, [](unsigned char c) {
    return std::isalnum(c) || c == '-' || c == '_' || c == '.' || c == ':' || c == '@';
  });
}

absl::Status ValidateNames(const NodeLogQuery& query) {
  for (const std::string& service : query.services) {
    if (service.size() > kServiceBytes)
      return Invalid("query", service, StrCat("length must be less than ", kServiceBytes));
    if (!IsServiceName(service))
      return Invalid("query", service, "input contains unsupported characters");
  }
  if (query.services.size() > kServices)
    return absl::InvalidArgumentError(StrCat("query: Too many: ", query.services.size(),
                                             ": must have at most ", kServices, " items"));
  if (query.files.empty()) return absl::OkStatus();
  if (!query.services.empty())
    return Invalid("query", query.files[0], "cannot specify a file and service");
  if (query.files.size() > 1)
    return Invalid("query", query.files[0], "cannot specify more than one file");
  if (query.has_options())
    return Invalid("query", query.files[0], "cannot specify file with options");
  return absl::OkStatus();
}

HttpResponse Refused(int status, const absl::Status& why) {
  HttpResponse response;
  response.status = status;
  response.body = StrCat(base::Message(why), "\n");
  return response;
}

}  // namespace

absl::StatusOr<NodeLogQuery> ParseNodeLogQuery(const Query& query) {
  NodeLogQuery parsed;
  bool asked = false;
  std::map<std::string, std::string> words;  // the first of each name counts
  for (const auto& [name, value] : query) {
    if (name != "query") {
      words.emplace(name, value);
      continue;
    }
    asked = true;
    if (value.find_first_of("/\\") != value.npos) parsed.files.push_back(value);
    else if (value.find_first_not_of(" \t\n") != value.npos) parsed.services.push_back(value);
  }
  if (asked && parsed.files.empty() && parsed.services.empty())
    return Invalid("query", "", "query cannot be empty");
  auto since = TimeOf("sinceTime", words["sinceTime"]);
  if (!since.ok()) return since.status();
  auto until = TimeOf("untilTime", words["untilTime"]);
  if (!until.ok()) return until.status();
  auto tail = NumberOf("tailLines", words["tailLines"]);
  if (!tail.ok()) return tail.status();
  auto boot = NumberOf("boot", words["boot"]);
  if (!boot.ok()) return boot.status();
  parsed.since = *since;
  parsed.until = *until;
  parsed.tail_lines = *tail;
  parsed.boot = *boot;
  parsed.pattern = words["pattern"];
  return parsed;
}

absl::Status ValidateNodeLogQuery(const NodeLogQuery& query) {
  if (absl::Status names = ValidateNames(query); !names.ok()) return names;
  if (query.since && query.until && *query.since > *query.until)
    return Invalid("untilTime", base::FormatRfc3339(*query.until), "must be after `sinceTime`");
  if (query.boot && *query.boot > 0)
    return Invalid("boot", std::to_string(*query.boot), "must be less than 1");
  if (query.tail_lines && (*query.tail_lines < 0 || *query.tail_lines > kTailLines))
    return Invalid("tailLines", std::to_string(*query.tail_lines),
                   StrCat("must be between 0 and ", kTailLines, ", inclusive"));
  RE2::Options quiet;
  quiet.set_log_errors(false);
  if (const RE2 pattern(query.pattern, quiet); !pattern.ok())
    return Invalid("pattern", query.pattern, pattern.error());
  return absl::OkStatus();
}

std::string ShortPrecise(const JournalEntry& entry) {
  const int64_t micros = base::ToUnixNanos(entry.at) / 1000;
  const time_t seconds = micros / 1'000'000;
  tm utc = {};
  ::gmtime_r(&seconds, &utc);
  char date[32];
  ::strftime(date, sizeof(date), "%b %d %H:%M:%S", &utc);
  char fraction[16];
  std::snprintf(fraction, sizeof(fraction), ".%06d", static_cast<int>(micros % 1'000'000));
  return StrCat(date, fraction, " ", entry.host, " ", entry.identifier,
                entry.pid.empty() ? "" : StrCat("[", entry.pid, "]"), ": ", entry.message, "\n");
}

void NodeLogEndpoint::AddRoutes(HttpRoutes& routes) {
  routes.Add("GET", "/logs/{path*}", [this](const HttpRequest& request, Responder& responder) {
    return Get(request, responder);
  });
}

Task<void> NodeLogEndpoint::Get(const HttpRequest& request, Responder& responder) {
  auto query = ParseNodeLogQuery(request.query);
  const absl::Status valid = query.ok() ? ValidateNodeLogQuery(*query) : query.status();
  HttpResponse response;
  if (!valid.ok()) {
    response = Refused(query.ok() ? 406 : 400, valid);
  } else if (!query->services.empty()) {
    auto read = [q = *query, dir = log_dir_] { return ReadNodeLogs(q, dir); };
    response.content_type = "text/plain;charset=UTF-8";
    response.body = co_await base::RunBlocking(loop_, std::move(read));
  } else {
    std::string path = query->files.empty() ? request.params.at("path") : query->files[0];
    std::ranges::replace(path, '\\', '/');
    co_await ServeSystemLog(loop_, log_dir_, std::move(path), responder);
    co_return;
  }
  static_cast<void>(co_await responder.Send(std::move(response)));  // who left needs no answer
}

}  // namespace keelson::kubelet
