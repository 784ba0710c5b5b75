// SPDX-License-Identifier: Apache-2.0
// Renews this node's Lease in kube-node-lease, by which the cluster knows that the node lives
// (KEP-589). Loop only; borrows what it is given.
#pragma once

#include <functional>
#include <optional>
#include <random>
#include <string>

#include "absl/status/status.h"
#include "base/loop.h"
#include "base/task.h"
#include "kubelet/client/api_server.h"
#include "proto/k8s/coordination.pb.h"
#include "proto/k8s/node.pb.h"

namespace keelson::kubelet {

struct LeaseKeeperOptions {
  std::string node_name;
  int32_t duration_seconds = 40;  // nodeLeaseDurationSeconds; renewed four times as often
  uint64_t seed = 0;              // of jitter
};

class LeaseKeeper {
 public:
  // `node` is the owner of a new lease; null: not known yet, then the next renewal adds it.
  LeaseKeeper(base::Loop& loop, client::ApiServer& api, LeaseKeeperOptions options,
              std::function<const k8s::v1::Node*()> node);

  // Until cancelled; failures are logged and tried again.
  base::Task<void> Run();
  // When the server last confirmed a renewal.
  std::optional<base::MonoTime> renewed() const { return renewed_; }

 private:
  base::Task<void> Renew();
  base::Task<absl::Status> EnsureExists();
  base::Task<absl::Status> Update();
  void Fill(k8s::coordination::v1::Lease* lease) const;

  base::Loop& loop_;
  client::ApiServer& api_;
  const LeaseKeeperOptions o_;
  const std::function<const k8s::v1::Node*()> node_;
  std::optional<k8s::coordination::v1::Lease> lease_;  // as the server has it
  std::optional<base::MonoTime> renewed_;
  std::mt19937_64 random_;
};

}  // namespace keelson::kubelet
