// SPDX-License-Identifier: Apache-2.0
#include "kubelet/server/log_query.h"

#include <charconv>

#include "base/errno_status.h"

namespace keelson::kubelet {
namespace {

// As Kubernetes reads query bools: anything but 0 and false is true.
bool ParseBool(const std::string& text) {
  std::string lower;
  for (char c : text) lower += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return lower != "0" && lower != "false";
}

absl::StatusOr<int64_t> ParseNumber(const std::string& name, const std::string& text, int64_t min) {
  int64_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || text.empty())
    return absl::InvalidArgumentError(base::StrCat(name, ": \"", text, "\" is not an integer"));
  if (value < min)
    return absl::OutOfRangeError(
        base::StrCat(name, ": Invalid value: ", text, ": must be greater than or equal to ", min));
  return value;
}

// Seconds beyond what a time can hold mean: since ever.
base::WallTime Ago(base::WallTime now, int64_t seconds) {
  const int64_t most =
      std::chrono::duration_cast<std::chrono::seconds>(now.time_since_epoch()).count();
  return now - std::chrono::seconds(std::min(seconds, most));
}

absl::Status SetStream(const std::string& value, LogQuery* out) {
  if (value == "All") return absl::OkStatus();
  if (value != "Stdout" && value != "Stderr")
    return absl::OutOfRangeError(
        base::StrCat("stream: Unsupported value: \"", value,
                     "\": supported values: \"All\", \"Stdout\", \"Stderr\""));
  out->request.filter.stream = value == "Stdout" ? "stdout" : "stderr";
  return absl::OkStatus();
}

absl::Status Apply(const std::string& name, const std::string& value, base::WallTime now,
                   LogQuery* out) {
  LogRequest& request = out->request;
  if (name == "follow") request.follow = ParseBool(value);
  if (name == "previous") out->previous = ParseBool(value);
  if (name == "timestamps") request.filter.timestamps = ParseBool(value);
  if (name == "tailLines" || (name == "tail" && value != "all")) {
    auto lines = ParseNumber(name, value, 0);
    if (!lines.ok()) return lines.status();
    request.tail_lines = *lines;
  }
  if (name == "limitBytes") {
    auto bytes = ParseNumber(name, value, 1);
    if (!bytes.ok()) return bytes.status();
    request.limit_bytes = *bytes;
  }
  if (name == "sinceSeconds") {
    auto seconds = ParseNumber(name, value, 1);
    if (!seconds.ok()) return seconds.status();
    request.filter.since = Ago(now, *seconds);
  }
  if (name == "sinceTime") {
    request.filter.since = base::ParseRfc3339(value);
    if (!request.filter.since)
      return absl::InvalidArgumentError(
          base::StrCat("sinceTime: \"", value, "\" is not an RFC 3339 time"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<LogQuery> ParseLogQuery(const Query& query, base::WallTime now) {
  LogQuery result;
  bool seconds = false, time = false;
  for (const auto& [name, value] : query) {
    seconds |= name == "sinceSeconds";
    time |= name == "sinceTime";
    RETURN_IF_ERROR(name == "stream" ? SetStream(value, &result)
                                     : Apply(name, value, now, &result));
  }
  if (!result.request.filter.stream.empty() && result.request.tail_lines >= 0)
    return absl::OutOfRangeError(
        "`tailLines` and specific `stream` are mutually exclusive for now");
  if (seconds && time)
    return absl::OutOfRangeError("at most one of `sinceTime` or `sinceSeconds` may be specified");
  return result;
}

}  // namespace keelson::kubelet
