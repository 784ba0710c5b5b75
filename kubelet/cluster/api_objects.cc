// SPDX-License-Identifier: Apache-2.0
#include "kubelet/cluster/api_objects.h"

#include <utility>

#include "kubelet/cluster/watched_objects.h"
#include "proto/k8s/node_class.pb.h"
#include "proto/k8s/objects.pb.h"
#include "proto/k8s/storage.pb.h"
#include "proto/k8s/volume.pb.h"

namespace keelson::kubelet {

namespace v1 = ::k8s::v1;
namespace storage = ::k8s::storage::v1;
using base::Task;

namespace {

template <typename T>
Task<absl::StatusOr<std::shared_ptr<const T>>> Read(client::ApiServer& api, std::string ns,
                                                    std::string name) {
  auto object = co_await api.Get<T>(std::move(ns), std::move(name));
  if (!object.ok()) co_return object.status();
  co_return std::make_shared<const T>(*std::move(object));
}

}  // namespace

ApiObjects::ApiObjects(base::Loop& loop, client::ApiServer& api, ApiObjectsOptions options)
    : api_(api),
      tokens_(loop, api, [this](const std::string& uid) { return Changed(uid); }, options.seed),
      tasks_(loop) {
  auto changed = [this](const std::string& uid) { Changed(uid); };
  config_maps_ = std::make_unique<internal::WatchedObjects<v1::ConfigMap>>(loop, api, "configmap",
                                                                           options, changed);
  secrets_ = std::make_unique<internal::WatchedObjects<v1::Secret>>(loop, api, "secret", options,
                                                                    changed);
  services_ =
      std::make_unique<internal::WatchedKind<v1::Service>>(loop, api, "services", options);
  runtime_classes_ = std::make_unique<internal::WatchedKind<k8s::node::v1::RuntimeClass>>(
      loop, api, "runtimeclass.node.k8s.io", options);
  csi_drivers_ = std::make_unique<internal::WatchedKind<storage::CSIDriver>>(
      loop, api, "csidriver.storage.k8s.io", options);
}

ApiObjects::~ApiObjects() = default;

void ApiObjects::Start() {
  services_->Start();
  tasks_.Spawn("tokens", tokens_.Run());
}

Task<void> ApiObjects::Close() {
  closed_ = true;
  pods_.clear();
  co_await tasks_.CancelAndJoin();
  co_await config_maps_->Close();
  co_await secrets_->Close();
  co_await services_->Close();
  co_await runtime_classes_->Close();
  co_await csi_drivers_->Close();
}

void ApiObjects::Register(csi::PodPtr pod, csi::References references,
                          std::function<void()> changed) {
  if (closed_) return;
  const std::string& uid = pod->metadata().uid();
  const std::string& ns = pod->metadata().namespace_();
  pods_[uid] = std::move(changed);
  config_maps_->Refer(uid, ns, references.config_maps);
  secrets_->Refer(uid, ns, references.secrets);
}

void ApiObjects::Unregister(const std::string& pod_uid) {
  pods_.erase(pod_uid);
  config_maps_->Refer(pod_uid, "", {});
  secrets_->Refer(pod_uid, "", {});
  tokens_.Forget(pod_uid);
}

bool ApiObjects::Changed(const std::string& pod_uid) {
  const auto pod = pods_.find(pod_uid);
  if (pod == pods_.end()) return false;
  const auto changed = pod->second;  // it may unregister the pod
  changed();
  return true;
}

Task<ApiObjects::Answer<v1::ConfigMap>> ApiObjects::ConfigMap(std::string name_space,
                                                              std::string name) {
  return config_maps_->Get(std::move(name_space), std::move(name));
}

Task<ApiObjects::Answer<v1::Secret>> ApiObjects::Secret(std::string name_space, std::string name) {
  return secrets_->Get(std::move(name_space), std::move(name));
}

Task<absl::StatusOr<std::vector<std::shared_ptr<const v1::Service>>>> ApiObjects::Services(
    std::string name_space, bool complete) {
  if (complete) {
    const bool synced = co_await services_->Synced();
    if (!synced)
      co_return absl::UnavailableError(
          "services have not yet been read at least once, cannot construct envvars");
  }
  std::vector<std::shared_ptr<const v1::Service>> seen;
  for (auto& service : services_->List()) {
    const std::string& ns = service->metadata().namespace_();
    if (ns == name_space || ns == "default") seen.push_back(std::move(service));
  }
  co_return seen;
}

Task<absl::StatusOr<std::string>> ApiObjects::RuntimeHandler(std::string runtime_class) {
  auto found = co_await runtime_classes_->Get(std::move(runtime_class));
  if (!found.ok()) co_return found.status();
  co_return (*found)->handler();
}

Task<absl::StatusOr<csi::Token>> ApiObjects::ServiceAccountToken(csi::TokenSpec spec) {
  return tokens_.Get(std::move(spec));
}

Task<ApiObjects::Answer<storage::CSIDriver>> ApiObjects::CsiDriver(std::string name) {
  return csi_drivers_->Get(std::move(name));
}

Task<ApiObjects::Answer<v1::PersistentVolumeClaim>> ApiObjects::Claim(std::string name_space,
                                                                      std::string name) {
  return Read<v1::PersistentVolumeClaim>(api_, std::move(name_space), std::move(name));
}

Task<ApiObjects::Answer<v1::PersistentVolume>> ApiObjects::Volume(std::string name) {
  return Read<v1::PersistentVolume>(api_, "", std::move(name));
}

Task<ApiObjects::Answer<storage::VolumeAttachment>> ApiObjects::Attachment(std::string name) {
  return Read<storage::VolumeAttachment>(api_, "", std::move(name));
}

}  // namespace keelson::kubelet
