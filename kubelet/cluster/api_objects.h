// SPDX-License-Identifier: Apache-2.0
// The objects of the API server that pods of this node name, kept at hand.
//
// ConfigMaps and Secrets: one watch for each object that some pod names, by field selector, as the
// node authorizer allows; it ends with the last pod that names it, or when the object says that it
// is immutable. Services: one watch on all, since every pod's environment may tell of them.
// RuntimeClasses and CSIDrivers: one watch on all of a kind, from the first question on. What only
// storage asks for (claims, volumes, attachments) is read when asked: a node may not watch those.
//
// While the API server is away, what was read before stays the answer. Loop only; a question's task
// may be cancelled at any time.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/loop.h"
#include "base/task.h"
#include "csi/objects.h"
#include "kubelet/client/api_server.h"
#include "kubelet/cluster/token_cache.h"

namespace k8s::node::v1 {
class RuntimeClass;
}
namespace k8s::storage::v1 {
class CSIDriver;
class VolumeAttachment;
}  // namespace k8s::storage::v1
namespace k8s::v1 {
class PersistentVolume;
class PersistentVolumeClaim;
}  // namespace k8s::v1

namespace keelson::kubelet {

struct ApiObjectsOptions {
  // How long a first read waits for the API server.
  base::Nanos patience = std::chrono::seconds(1);
  uint64_t seed = 0;  // of jitter; 0: random
};

namespace internal {
template <typename T>
class WatchedObjects;  // single objects, by reference
template <typename T>
class WatchedKind;  // all of one kind
}  // namespace internal

class ApiObjects : public csi::ObjectSource {
 public:
  template <typename T>
  using Answer = absl::StatusOr<std::shared_ptr<const T>>;

  // Asks for nothing yet. `api` and `loop` outlive it.
  ApiObjects(base::Loop& loop, client::ApiServer& api, ApiObjectsOptions options = {});
  // REQUIRES: Close has ended, or the loop will not run again.
  ~ApiObjects() override;

  // Begins to follow services, and to renew tokens.
  void Start();
  // Ends every watch; none begins afterwards.
  base::Task<void> Close();

  base::Task<Answer<k8s::v1::ConfigMap>> ConfigMap(std::string name_space,
                                                   std::string name) override;
  base::Task<Answer<k8s::v1::Secret>> Secret(std::string name_space, std::string name) override;
  base::Task<absl::StatusOr<std::vector<std::shared_ptr<const k8s::v1::Service>>>> Services(
      std::string name_space, bool complete) override;
  base::Task<absl::StatusOr<std::string>> RuntimeHandler(std::string runtime_class) override;
  base::Task<absl::StatusOr<csi::Token>> ServiceAccountToken(csi::TokenSpec spec) override;
  void Register(csi::PodPtr pod, csi::References references,
                std::function<void()> changed) override;
  void Unregister(const std::string& pod_uid) override;

  // For storage. NotFound: there is none.
  base::Task<Answer<k8s::storage::v1::CSIDriver>> CsiDriver(std::string name);
  base::Task<Answer<k8s::v1::PersistentVolumeClaim>> Claim(std::string name_space,
                                                           std::string name);
  base::Task<Answer<k8s::v1::PersistentVolume>> Volume(std::string name);
  base::Task<Answer<k8s::storage::v1::VolumeAttachment>> Attachment(std::string name);

 private:
  // False when the pod is not registered.
  bool Changed(const std::string& pod_uid);

  client::ApiServer& api_;
  std::map<std::string, std::function<void()>> pods_;  // by uid: whom to tell of changes
  bool closed_ = false;
  TokenCache tokens_;
  std::unique_ptr<internal::WatchedObjects<k8s::v1::ConfigMap>> config_maps_;
  std::unique_ptr<internal::WatchedObjects<k8s::v1::Secret>> secrets_;
  std::unique_ptr<internal::WatchedKind<k8s::v1::Service>> services_;
  std::unique_ptr<internal::WatchedKind<k8s::node::v1::RuntimeClass>> runtime_classes_;
  std::unique_ptr<internal::WatchedKind<k8s::storage::v1::CSIDriver>> csi_drivers_;
  base::TaskGroup tasks_;
};

}  // namespace keelson::kubelet
