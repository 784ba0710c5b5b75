// SPDX-License-Identifier: Apache-2.0
// What each command of nodectl does. Blocking; one thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace keelson::nodectl {

struct Options {
  std::string socket = "/var/lib/kubelet/nodectl.sock";
  std::string ns;      // empty: all
  bool all = false;    // the default, said aloud
  std::string output;  // empty, wide, json, yaml, name
  std::string kind;    // of get and describe
  std::vector<std::string> names;  // of pods; for exec, cp and port-forward what follows the verb

  std::string container;
  bool follow = false, previous = false, timestamps = false;
  int64_t tail = -1, limit_bytes = -1;
  std::string stream = "all";  // or stdout, stderr
  std::string since, since_time;

  std::string for_object;  // of events

  bool stdin_on = false, tty = false;
  std::string detach_keys = "ctrl-p,ctrl-q";  // of attach, as kubectl's
  std::string address = "127.0.0.1";  // of port-forward

  bool containers = false;  // of top
  std::string sort;         // of top: cpu or memory

  uint16_t port = 0;  // of web; 0: any
  bool color = false;
};

// Results go to stdout. The text of an error is for the person.
absl::Status Get(const Options& options);
absl::Status Describe(const Options& options);
absl::Status Logs(const Options& options);
absl::Status Events(const Options& options);
absl::Status Inflight(const Options& options);
absl::Status Top(const Options& options);
// Serves the node's page until a signal comes.
absl::Status Web(const Options& options);

// What takes a connection into a pod. The result is our exit code: exec's is that of its command.
absl::StatusOr<int> Exec(const Options& options);
absl::StatusOr<int> Attach(const Options& options);
absl::StatusOr<int> Copy(const Options& options);
absl::StatusOr<int> PortForward(const Options& options);

}  // namespace keelson::nodectl
