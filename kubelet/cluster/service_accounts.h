// SPDX-License-Identifier: Apache-2.0
// What credential plugins learn of pods' service accounts. Loop only.
#pragma once

#include "cri/credential_plugins.h"
#include "csi/objects.h"
#include "kubelet/client/api_server.h"

namespace keelson::kubelet {

class ApiServiceAccounts : public cri::ServiceAccountSource {
 public:
  // Both outlive it.
  ApiServiceAccounts(client::ApiServer& api, csi::ObjectSource& objects)
      : api_(api), objects_(objects) {}

  // Asked anew each time: its annotations decide who may pull.
  base::Task<absl::StatusOr<Account>> Find(std::string ns, std::string name) override;
  // REQUIRES: the pod is registered with the objects.
  base::Task<absl::StatusOr<std::string>> Token(cri::PullPod pod, std::string audience) override;

 private:
  client::ApiServer& api_;
  csi::ObjectSource& objects_;
};

}  // namespace keelson::kubelet
