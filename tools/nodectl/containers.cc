// SPDX-License-Identifier: Apache-2.0
// exec and attach.
#include <signal.h>
#include <unistd.h>

#include <cstdio>

#include "base/strings.h"
#include "tools/nodectl/client.h"
#include "tools/nodectl/commands.h"
#include "tools/nodectl/lookup.h"
#include "tools/nodectl/session.h"

namespace keelson::nodectl {
namespace {

std::string PathOf(const char* verb, const k8s::v1::Pod& pod, const std::string& container) {
  return base::StrCat("/", verb, "/", pod.metadata().namespace_(), "/", pod.metadata().name(), "/",
                      container);
}

// The streams a person asked for; a terminal needs one on our side.
SessionIo StreamsOf(const Options& options) {
  SessionIo io;
  if (options.stdin_on) io.in_fd = STDIN_FILENO;
  io.tty = options.tty && options.stdin_on && ::isatty(STDIN_FILENO) == 1;
  if (options.tty && !io.tty)
    std::fputs("Unable to use a TTY - input is not a terminal or the right kind of file\n", stderr);
  io.out = [](std::string_view data) { return WriteFd(STDOUT_FILENO, data); };
  io.err = [](std::string_view data) { return WriteFd(STDERR_FILENO, data); };
  return io;
}

}  // namespace

absl::StatusOr<int> Exec(const Options& options) {
  auto pod = OnePod(options, options.names[0]);
  if (!pod.ok()) return pod.status();
  QueryParams query;
  for (size_t i = 1; i < options.names.size(); ++i) query.emplace_back("command", options.names[i]);
  return RunSession(Client(options.socket), PathOf("exec", *pod, ContainerOf(options, *pod)), query,
                    StreamsOf(options));
}

absl::StatusOr<int> Attach(const Options& options) {
  auto pod = OnePod(options, options.names[0]);
  if (!pod.ok()) return pod.status();
  const std::string container = ContainerOf(options, *pod);
  Options wanted = options;
  for (const auto& one : pod->spec().containers()) {
    if (one.name() != container) continue;
    // Whether there is a terminal was settled when the container started.
    if (options.tty && !one.tty())
      std::fprintf(stderr, "Unable to use a TTY - container %s did not allocate one\n",
                   container.c_str());
    wanted.tty = wanted.tty && one.tty();
  }
  auto keys = DetachKeys::Parse(options.detach_keys);
  if (!keys.ok()) return keys.status();
  SessionIo io = StreamsOf(wanted);
  io.detach = std::move(*keys);
  return RunSession(Client(options.socket), PathOf("attach", *pod, container), {}, io);
}

}  // namespace keelson::nodectl
