// SPDX-License-Identifier: Apache-2.0
#include "kubelet/node/node_object.h"

#include <google/protobuf/util/message_differencer.h>

#include <algorithm>

#include "absl/strings/numbers.h"
#include "absl/strings/str_join.h"
#include "base/strings.h"
#include "kubelet/node/node_conditions.h"
#include "proto/codec/quantity.h"

namespace keelson::kubelet {

using base::StrCat;
using k8s::v1::Node;
using k8s::v1::NodeStatus;
using proto::Quantity;

namespace {

constexpr char kManagedAttach[] = "volumes.kubernetes.io/controller-managed-attach-detach";
constexpr char kProvidedIp[] = "alpha.kubernetes.io/provided-node-ip";
constexpr char kUninitialized[] = "node.cloudprovider.kubernetes.io/uninitialized";
constexpr int kNamesPerImage = 5;

std::map<std::string, std::string> DefaultLabels(const NodeSettings& s) {
  const std::string& arch = s.info.architecture();
  return {{"kubernetes.io/hostname", s.hostname}, {"kubernetes.io/os", "linux"},
          {"kubernetes.io/arch", arch},           {"beta.kubernetes.io/os", "linux"},
          {"beta.kubernetes.io/arch", arch}};
}

std::string BinaryText(int64_t bytes) {
  return Quantity::FromValue(bytes, Quantity::Format::kBinarySi).ToString();
}

// An eviction threshold: "100Mi" or "10%" of the capacity.
absl::StatusOr<int64_t> Threshold(const std::string& text, int64_t capacity) {
  if (text.ends_with("%")) {
    double percent = 0;
    if (!absl::SimpleAtod(text.substr(0, text.size() - 1), &percent))
      return absl::InvalidArgumentError(StrCat("not a percentage: \"", text, "\""));
    return static_cast<int64_t>(static_cast<double>(capacity) * percent / 100);
  }
  auto quantity = Quantity::Parse(text);
  if (!quantity.ok()) return quantity.status();
  return quantity->Value();
}

absl::Status Subtract(const std::string& name, const std::map<std::string, std::string>& from,
                      Quantity* rest) {
  auto it = from.find(name);
  if (it == from.end()) return absl::OkStatus();
  auto quantity = Quantity::Parse(it->second);
  if (!quantity.ok()) return quantity.status();
  rest->Sub(*quantity);
  return absl::OkStatus();
}

void SetAddresses(const NodeSettings& s, const std::vector<std::string>& ips,
                  const NodeStatus& previous, NodeStatus* status) {
  auto add = [status](const std::string& type, const std::string& address) {
    auto* a = status->add_addresses();
    a->set_type(type);
    a->set_address(address);
  };
  if (s.external_cloud) {
    *status->mutable_addresses() = previous.addresses();
    if (status->addresses_size() > 0) return;
    if (s.node_ip_given)
      for (const auto& ip : ips) add("InternalIP", ip);
    return add("Hostname", s.hostname);
  }
  for (const auto& ip : ips) add("InternalIP", ip);
  add("Hostname", s.hostname);
}

void SetQuantities(const std::map<std::string, std::string>& from,
                   google::protobuf::Map<std::string, k8s::resource::Quantity>* to) {
  for (const auto& [name, text] : from) (*to)[name].set_string(text);
}

NodeStatus WithoutHeartbeats(const NodeStatus& status) {
  NodeStatus copy = status;
  for (auto& condition : *copy.mutable_conditions()) condition.clear_lastheartbeattime();
  return copy;
}

}  // namespace

std::map<std::string, std::string> CapacityOf(const NodeResources& r) {
  std::map<std::string, std::string> capacity = {
      {"cpu", Quantity::FromMilli(r.base.milli_cpu).ToString()},
      {"memory", BinaryText(r.base.memory_bytes)},
      {"pods", StrCat(r.pods)}};
  if (r.ephemeral_storage > 0) capacity["ephemeral-storage"] = BinaryText(r.ephemeral_storage);
  for (const auto& [name, bytes] : r.huge_pages) capacity[name] = BinaryText(bytes);
  return capacity;
}

absl::StatusOr<std::map<std::string, std::string>> Allocatable(const NodeSettings& s) {
  std::map<std::string, std::string> allocatable;
  for (const auto& [name, text] : CapacityOf(s.capacity)) {
    Quantity rest = *Quantity::Parse(text);
    for (const auto* reserved : {&s.kube_reserved, &s.system_reserved}) {
      absl::Status status = Subtract(name, *reserved, &rest);
      if (!status.ok()) return status;
    }
    const char* signal = name == "memory"              ? "memory.available"
                         : name == "ephemeral-storage" ? "nodefs.available"
                                                       : "";
    if (auto it = s.eviction_hard.find(signal); it != s.eviction_hard.end()) {
      auto kept = Threshold(it->second, Quantity::Parse(text)->Value());
      if (!kept.ok()) return kept.status();
      rest.Sub(Quantity::FromValue(*kept, Quantity::Format::kBinarySi));
    }
    if (name == "memory")
      for (const auto& [size, bytes] : s.capacity.huge_pages)
        rest.Sub(Quantity::FromValue(bytes, Quantity::Format::kBinarySi));
    allocatable[name] = rest.Sign() < 0 ? "0" : rest.ToString();
  }
  return allocatable;
}

absl::StatusOr<Node> NewNode(const NodeSettings& s, const NodeState& state, base::WallTime now) {
  Node node;
  node.mutable_metadata()->set_name(s.name);
  auto& labels = *node.mutable_metadata()->mutable_labels();
  for (const auto& [key, value] : DefaultLabels(s)) labels[key] = value;
  for (const auto& [key, value] : s.labels) labels[key] = value;
  auto& annotations = *node.mutable_metadata()->mutable_annotations();
  if (s.controller_attach_detach) annotations[kManagedAttach] = "true";
  if (s.external_cloud && s.node_ip_given) annotations[kProvidedIp] = absl::StrJoin(s.node_ips, ",");
  for (const auto& taint : s.taints) *node.mutable_spec()->add_taints() = taint;
  if (s.external_cloud) {
    auto* taint = node.mutable_spec()->add_taints();
    taint->set_key(kUninitialized);
    taint->set_value("true");
    taint->set_effect("NoSchedule");
  }
  if (!s.provider_id.empty()) node.mutable_spec()->set_providerid(s.provider_id);
  auto status = MakeNodeStatus(s, state, now, {});
  if (!status.ok()) return status.status();
  *node.mutable_status() = *std::move(status);
  return node;
}

Node Reconciled(const NodeSettings& s, const Node& existing) {
  Node node = existing;
  auto& labels = *node.mutable_metadata()->mutable_labels();
  for (const auto& [key, value] : DefaultLabels(s)) labels[key] = value;
  auto& annotations = *node.mutable_metadata()->mutable_annotations();
  if (s.controller_attach_detach)
    annotations[kManagedAttach] = "true";
  else
    annotations.erase(kManagedAttach);
  return node;
}

absl::StatusOr<NodeStatus> MakeNodeStatus(const NodeSettings& s, const NodeState& state,
                                          base::WallTime now, const NodeStatus& previous) {
  auto allocatable = Allocatable(s);
  if (!allocatable.ok()) return allocatable.status();
  NodeStatus status = previous;
  status.clear_addresses();
  SetAddresses(s, state.node_ips.empty() ? s.node_ips : state.node_ips, previous, &status);
  status.clear_capacity();
  status.clear_allocatable();
  SetQuantities(CapacityOf(s.capacity), status.mutable_capacity());
  SetQuantities(*allocatable, status.mutable_allocatable());
  *status.mutable_nodeinfo() = s.info;
  status.mutable_daemonendpoints()->mutable_kubeletendpoint()->set_port(s.port);
  status.clear_images();
  for (auto& image : ImagesToReport(state.images, s.max_images))
    *status.add_images() = std::move(image);
  status.clear_runtimehandlers();
  for (const auto& handler : state.runtime_handlers) *status.add_runtimehandlers() = handler;
  status.clear_features();
  if (state.has_features)
    status.mutable_features()->set_supplementalgroupspolicy(state.supplemental_groups_policy);
  status.clear_volumesinuse();
  for (const auto& volume : state.volumes_in_use) status.add_volumesinuse(volume);
  SetConditions(state, now, previous, &status);
  return status;
}

bool NodeStatusDiffers(const NodeStatus& a, const NodeStatus& b) {
  // Not by bytes: maps have no order there. An API server writes out what is empty.
  const NodeStatus left = WithoutHeartbeats(a), right = WithoutHeartbeats(b);
  return !google::protobuf::util::MessageDifferencer::Equivalent(left, right);
}

std::vector<k8s::v1::ContainerImage> ImagesToReport(std::vector<k8s::v1::ContainerImage> images,
                                                    int max) {
  std::stable_sort(images.begin(), images.end(), [](const auto& a, const auto& b) {
    return a.sizebytes() > b.sizebytes();
  });
  if (max >= 0 && images.size() > static_cast<size_t>(max)) images.resize(static_cast<size_t>(max));
  for (auto& image : images)
    while (image.names_size() > kNamesPerImage) image.mutable_names()->RemoveLast();
  return images;
}

}  // namespace keelson::kubelet
