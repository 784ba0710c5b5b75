// SPDX-License-Identifier: Apache-2.0
// Asks the agent over its local socket. Blocking; one thread.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace keelson::nodectl {

using QueryParams = std::vector<std::pair<std::string, std::string>>;

class Client {
 public:
  explicit Client(std::string socket_path) : socket_path_(std::move(socket_path)) {}

  // The body of the answer. Unavailable: the agent does not run; PermissionDenied: we may not ask
  // it; NotFound and FailedPrecondition: the agent's own words.
  absl::StatusOr<std::string> Get(const std::string& path, const QueryParams& query = {}) const;
  // As Get, but hands the body to `sink` as it comes.
  absl::Status Stream(const std::string& path, const QueryParams& query,
                      const std::function<void(std::string_view)>& sink) const;
  // A connected socket; the descriptor becomes the caller's. Errors are Get's.
  absl::StatusOr<int> Connect() const;

 private:
  const std::string socket_path_;
};

// Path with its query; every part is percent-encoded.
std::string Target(const std::string& path, const QueryParams& query);

}  // namespace keelson::nodectl
