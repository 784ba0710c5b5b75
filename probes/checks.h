// SPDX-License-Identifier: Apache-2.0
// Asking a container how it is: exec, httpGet, tcpSocket and grpc. Loop only.
#pragma once

#include <memory>
#include <string>

#include "base/task.h"
#include "cri/runtime.h"
#include "probes/probe_state.h"

namespace keelson::cri {
class RpcPoller;
}

namespace keelson::probes {

// One question. `pod` keeps `container` and `probe` alive, which are parts of it.
struct Question {
  PodPtr pod;
  const k8s::v1::Container* container = nullptr;
  const k8s::v1::Probe* probe = nullptr;
  std::string container_id;
  std::string pod_ip;  // may be empty: then only probes that need none can be carried out
};

// Borrows `loop` and `runtime`, which outlive it. The destructor REQUIRES that no question is open.
class Checks {
 public:
  Checks(base::Loop& loop, cri::Runtime& runtime) : loop_(loop), runtime_(runtime) {}

  // The container's answer within the probe's timeout. A probe that cannot be carried out is tried
  // three times, each with the whole timeout.
  base::Task<Answer> Ask(Question question);

 private:
  base::Task<Answer> AskOnce(const Question& question);
  base::Task<Answer> Exec(const Question& question);
  base::Task<Answer> HttpGet(const Question& question);
  base::Task<Answer> TcpSocket(const Question& question);
  base::Task<Answer> Grpc(const Question& question);

  base::Loop& loop_;
  cri::Runtime& runtime_;
  std::shared_ptr<cri::RpcPoller> poller_;  // made for the first grpc probe: it is a thread
};

}  // namespace keelson::probes
