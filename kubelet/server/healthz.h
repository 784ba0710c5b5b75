// SPDX-License-Identifier: Apache-2.0
// The healthz listener: GET /healthz at healthzBindAddress:healthzPort is 200 `ok` while our loop
// turns. Loop only.
#pragma once

#include <string>

#include "base/loop.h"
#include "kubelet/server/http_server.h"

namespace keelson::kubelet {

class HealthzServer {
 public:
  HealthzServer(base::Loop& loop, std::string address, uint16_t port);
  // Listens, and tries again every 5 s when it cannot, as upstream. REQUIRES: port is not 0.
  void Start();
  base::Task<void> Close();

 private:
  base::Task<void> Listen();

  base::Loop& loop_;
  const std::string address_;
  const uint16_t port_;
  HttpServer server_;
  base::TaskGroup tasks_;
};

}  // namespace keelson::kubelet
