// SPDX-License-Identifier: Apache-2.0
// Bytes of a client against the TLS server: a handshake that fails, and a server that goes on.
#include <sys/socket.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>

#include "base/check.h"
#include "base/loop.h"
#include "kubelet/server/tls.h"

namespace {

using namespace keelson;
using namespace keelson::kubelet;

base::Task<void> ServeOne(base::Loop& loop, ByteStream& stream) {
  absl::Status done = co_await stream.Handshake();
  char block[4096];
  if (done.ok()) static_cast<void>(co_await stream.ReadSome(block, sizeof(block)));
  static_cast<void>(stream.Peer());
  stream.Close();
  loop.Stop();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const TlsContextPtr context = [] {
    auto pair = MakeSelfSigned("fuzz", base::FromUnixNanos(1'700'000'000'000'000'000));
    KEELSON_CHECK(pair.ok());
    auto made = MakeTlsContext({.ask_for_client_certificate = true}, *pair);
    KEELSON_CHECK(made.ok());
    return *made;
  }();
  static base::Loop loop;
  int ends[2];
  KEELSON_CHECK(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) == 0);
  base::UniqueFd client(ends[0]);
  // As much as fits; nobody reads what the server says.
  static_cast<void>(::send(client.get(), data, size, MSG_NOSIGNAL));
  ::shutdown(client.get(), SHUT_WR);
  auto stream = TlsStreams(loop, [] { return context; })(AF_UNIX, base::UniqueFd(ends[1]));
  base::TaskGroup tasks(loop);
  tasks.Spawn("tls", ServeOne(loop, *stream));
  loop.io().restart();
  loop.io().run();
  loop.io().restart();
  while (tasks.size() > 0) loop.io().run_one();
  return 0;
}
