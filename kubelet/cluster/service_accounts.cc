// SPDX-License-Identifier: Apache-2.0
#include "kubelet/cluster/service_accounts.h"

#include "proto/k8s/objects.pb.h"

namespace keelson::kubelet {

using base::Task;

Task<absl::StatusOr<cri::ServiceAccountSource::Account>> ApiServiceAccounts::Find(
    std::string ns, std::string name) {
  auto found = co_await api_.Get<k8s::v1::ServiceAccount>(ns, name);
  if (!found.ok()) co_return found.status();
  Account account;
  account.uid = found->metadata().uid();
  for (const auto& [key, value] : found->metadata().annotations()) account.annotations[key] = value;
  co_return account;
}

Task<absl::StatusOr<std::string>> ApiServiceAccounts::Token(cri::PullPod pod,
                                                            std::string audience) {
  csi::TokenSpec spec;
  spec.pod_namespace = pod.ns;
  spec.service_account = pod.service_account;
  spec.pod_name = pod.name;
  spec.pod_uid = pod.uid;
  spec.audience = std::move(audience);
  auto token = co_await objects_.ServiceAccountToken(std::move(spec));
  if (!token.ok()) co_return token.status();
  co_return token->value;
}

}  // namespace keelson::kubelet
