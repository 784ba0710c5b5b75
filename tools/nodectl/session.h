// SPDX-License-Identifier: Apache-2.0
// A command in a container, or its first process: what goes in and comes out, until it ends. Blocking;
// one thread.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "tools/nodectl/client.h"
#include "tools/nodectl/detach_keys.h"

namespace keelson::nodectl {

struct SessionIo {
  // At most one of both is the command's stdin; without any it has none.
  int in_fd = -1;
  // The next bytes whenever there is room; empty: that was all.
  std::function<absl::StatusOr<std::string>()> in;
  std::function<absl::Status(std::string_view)> out, err;
  bool tty = false;  // sizes of the terminal at in_fd are passed on
  DetachKeys detach{};  // typed at that terminal, they end the session with 0
};

// exec or attach at `path`, with the streams of `io` added to the query. The exit code of the command,
// 128 + signal when a signal ended us. An error of a callback ends the session and is returned.
absl::StatusOr<int> RunSession(const Client& client, const std::string& path, QueryParams query,
                               const SessionIo& io);

// Exit code by the Status that ends a session (remotecommand v4 and v5); an error is the agent's or the
// runtime's. Pure.
absl::StatusOr<int> ExitCodeOf(std::string_view status_json);

// Writes all of it, waiting where it must.
absl::Status WriteFd(int fd, std::string_view data);

}  // namespace keelson::nodectl
