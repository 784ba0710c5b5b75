// SPDX-License-Identifier: Apache-2.0
// The real API server, over HTTP/2 and TLS.
//
// A Transport is the connections and credentials of one kubeconfig; several HttpApiServers with
// limits of their own share it (pods and the like, events, the heartbeat). Loop only; name lookup
// is libcurl's, in a thread it ends itself.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "base/loop.h"
#include "kubelet/client/api_server.h"
#include "kubelet/client/kubeconfig.h"

namespace keelson::kubelet::client {

// Hears of each attempt: whose server, GET, the status (0: there was no answer) and after what time.
using OnAnswer = std::function<void(const std::string& host, const std::string& method, int code,
                                    base::Nanos took)>;

struct TransportOptions {
  std::string user_agent;  // kubelet/v1.36.0 (linux/amd64) ...
  // client-go's ReadIdleTimeout and PingTimeout: after so much silence on a connection in use the
  // server is asked for a sign of life, and without one the connection is given up.
  base::Nanos idle_probe = std::chrono::seconds(30);
  base::Nanos probe_timeout = std::chrono::seconds(15);
  base::Nanos connect_timeout = std::chrono::seconds(30);
  // The files of the client certificate may be missing or expired when we start, because somebody
  // is about to get one: requests then wait for CredentialsChanged.
  bool certificate_may_come = false;
  OnAnswer on_answer{};
};

class Transport {
 public:
  // Reads the credentials' files and checks them. InvalidArgument, NotFound: what is wrong with
  // them.
  static absl::StatusOr<std::shared_ptr<Transport>> Create(base::Loop& loop, KubeConfig config,
                                                           TransportOptions options);
  virtual ~Transport() = default;
  // Gives up every connection; what is in flight fails with Unavailable and watches resume on new
  // ones. For new certificates and for connections that are alive but lead nowhere. A change of the
  // certificate's files does this by itself, at the next request.
  virtual void CloseConnections() = 0;
  // Files of the credentials were replaced, or have become valid: looks at them now.
  virtual void CredentialsChanged() = 0;
  // End of the client certificate in use; nullopt: none.
  virtual std::optional<base::WallTime> CertificateExpiry() const = 0;
};

struct ClientOptions {
  double qps = 50;       // kubeAPIQPS; 0 or less: no limit
  int burst = 100;       // kubeAPIBurst
  bool protobuf = true;  // contentType: bodies and answers, where the server has it; else JSON
  base::Nanos timeout = std::chrono::seconds(30);  // of one attempt, from sending to the last byte
  int max_retries = 10;            // of 429 and 5xx with Retry-After; heartbeats say 0
  size_t max_answer = 256u << 20;  // bytes of a list or object, decompressed
  size_t max_event = 16u << 20;    // bytes of one watch event
};

// Keeps `transport`; `loop` outlives it. REQUIRES: destroyed with no call in progress.
std::unique_ptr<ApiServer> NewHttpApiServer(base::Loop& loop, std::shared_ptr<Transport> transport,
                                            ClientOptions options);

}  // namespace keelson::kubelet::client
