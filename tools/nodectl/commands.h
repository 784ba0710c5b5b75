// SPDX-License-Identifier: Apache-2.0
// What each command of nodectl does. Blocking; one thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"

namespace keelson::nodectl {

struct Options {
  std::string socket = "/var/lib/kubelet/nodectl.sock";
  std::string ns;      // empty: all
  bool all = false;    // the default, said aloud
  std::string output;  // empty, wide, json, yaml, name
  std::string kind;    // of get and describe
  std::vector<std::string> names;

  std::string container;
  bool follow = false, previous = false, timestamps = false;
  int64_t tail = -1, limit_bytes = -1;
  std::string since, since_time;

  std::string for_object;  // of events
  bool color = false;
};

// Results go to stdout. The text of an error is for the person.
absl::Status Get(const Options& options);
absl::Status Describe(const Options& options);
absl::Status Logs(const Options& options);
absl::Status Events(const Options& options);
absl::Status Inflight(const Options& options);

}  // namespace keelson::nodectl
