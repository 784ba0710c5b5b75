// SPDX-License-Identifier: Apache-2.0
#include "kubelet/client/resource.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <algorithm>
#include <array>

#include "base/check.h"
#include "base/strings.h"
#include "proto/k8s/meta.pb.h"

namespace keelson::kubelet::client {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;

constexpr std::string_view kAuthn = "authentication.k8s.io";
constexpr std::string_view kAuthz = "authorization.k8s.io";
constexpr std::string_view kStorage = "storage.k8s.io";

// What a node reads or writes.
constexpr std::array kResources{
    Resource{"k8s.v1.ConfigMap", "", "v1", "ConfigMap", "configmaps", true},
    Resource{"k8s.v1.Event", "", "v1", "Event", "events", true},
    Resource{"k8s.v1.Namespace", "", "v1", "Namespace", "namespaces", false},
    Resource{"k8s.v1.Node", "", "v1", "Node", "nodes", false},
    Resource{"k8s.v1.PersistentVolume", "", "v1", "PersistentVolume", "persistentvolumes", false},
    Resource{"k8s.v1.PersistentVolumeClaim", "", "v1", "PersistentVolumeClaim",
             "persistentvolumeclaims", true},
    Resource{"k8s.v1.Pod", "", "v1", "Pod", "pods", true},
    Resource{"k8s.v1.Secret", "", "v1", "Secret", "secrets", true},
    Resource{"k8s.v1.Service", "", "v1", "Service", "services", true},
    Resource{"k8s.v1.ServiceAccount", "", "v1", "ServiceAccount", "serviceaccounts", true},
    Resource{"k8s.authentication.v1.TokenRequest", kAuthn, "v1", "TokenRequest", "tokenrequests",
             true},
    Resource{"k8s.authentication.v1.TokenReview", kAuthn, "v1", "TokenReview", "tokenreviews",
             false},
    Resource{"k8s.authorization.v1.SubjectAccessReview", kAuthz, "v1", "SubjectAccessReview",
             "subjectaccessreviews", false},
    Resource{"k8s.certificates.v1.CertificateSigningRequest", "certificates.k8s.io", "v1",
             "CertificateSigningRequest", "certificatesigningrequests", false},
    Resource{"k8s.coordination.v1.Lease", "coordination.k8s.io", "v1", "Lease", "leases", true},
    Resource{"k8s.events.v1.Event", "events.k8s.io", "v1", "Event", "events", true},
    Resource{"k8s.node.v1.RuntimeClass", "node.k8s.io", "v1", "RuntimeClass", "runtimeclasses",
             false},
    Resource{"k8s.storage.v1.CSIDriver", kStorage, "v1", "CSIDriver", "csidrivers", false},
    Resource{"k8s.storage.v1.CSINode", kStorage, "v1", "CSINode", "csinodes", false},
    Resource{"k8s.storage.v1.VolumeAttachment", kStorage, "v1", "VolumeAttachment",
             "volumeattachments", false},
};

const Resource& Named(std::string_view message) {
  const auto* found = std::find_if(kResources.begin(), kResources.end(),
                                   [&](const Resource& r) { return r.message == message; });
  KEELSON_CHECK(found != kResources.end());
  return *found;
}

std::unique_ptr<Message> NewMessage(const std::string& name) {
  const Descriptor* type =
      google::protobuf::DescriptorPool::generated_pool()->FindMessageTypeByName(name);
  KEELSON_CHECK(type != nullptr);
  const auto* factory = google::protobuf::MessageFactory::generated_factory();
  return std::unique_ptr<Message>(
      const_cast<google::protobuf::MessageFactory*>(factory)->GetPrototype(type)->New());
}

const FieldDescriptor* Field(const Message& message, const char* name) {
  const FieldDescriptor* field = message.GetDescriptor()->FindFieldByName(name);
  KEELSON_CHECK(field != nullptr);
  return field;
}

template <typename T>
const T& Metadata(const Message& message) {
  const Message& meta = message.GetReflection()->GetMessage(message, Field(message, "metadata"));
  KEELSON_CHECK(meta.GetDescriptor() == T::descriptor());
  return static_cast<const T&>(meta);
}

template <typename T>
T* MutableMetadata(Message* message) {
  Message* meta = message->GetReflection()->MutableMessage(message, Field(*message, "metadata"));
  KEELSON_CHECK(meta->GetDescriptor() == T::descriptor());
  return static_cast<T*>(meta);
}

}  // namespace

std::string Escape(std::string_view text) {
  constexpr std::string_view kHex = "0123456789ABCDEF";
  std::string escaped;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool letter = (byte | 32) >= 'a' && (byte | 32) <= 'z';
    if (letter || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' || c == '~') {
      escaped += c;
    } else {
      escaped += {'%', kHex[byte >> 4], kHex[byte & 15]};
    }
  }
  return escaped;
}

std::string Resource::ApiVersion() const {
  return group.empty() ? std::string(version) : base::StrCat(group, "/", version);
}

std::string Resource::Path(std::string_view ns, std::string_view name, std::string_view sub) const {
  std::string path = group.empty() ? "/api" : "/apis";
  const auto append = [&](std::string_view part) {
    if (!part.empty()) path += "/" + Escape(part);
  };
  append(group);
  append(version);
  if (!ns.empty()) path += "/namespaces";
  append(ns);
  append(plural);
  append(name);
  append(sub);
  return path;
}

std::unique_ptr<Message> Resource::New() const { return NewMessage(std::string(message)); }
std::unique_ptr<Message> Resource::NewList() const {
  return NewMessage(base::StrCat(message, "List"));
}

const Resource& ResourceOf(const Descriptor* message) { return Named(message->full_name()); }

const Resource& ResourceOfList(const Descriptor* list) {
  std::string_view name = list->full_name();
  KEELSON_CHECK(name.ends_with("List"));
  name.remove_suffix(4);
  return Named(name);
}

const Resource* FindResource(std::string_view group, std::string_view version,
                             std::string_view plural) {
  for (const Resource& r : kResources) {
    if (r.group == group && r.version == version && r.plural == plural) return &r;
  }
  return nullptr;
}

const k8s::meta::v1::ObjectMeta& MetaOf(const Message& object) {
  return Metadata<k8s::meta::v1::ObjectMeta>(object);
}
k8s::meta::v1::ObjectMeta* MutableMetaOf(Message* object) {
  return MutableMetadata<k8s::meta::v1::ObjectMeta>(object);
}
const k8s::meta::v1::ListMeta& ListMetaOf(const Message& list) {
  return Metadata<k8s::meta::v1::ListMeta>(list);
}
k8s::meta::v1::ListMeta* MutableListMetaOf(Message* list) {
  return MutableMetadata<k8s::meta::v1::ListMeta>(list);
}

int ItemCount(const Message& list) {
  return list.GetReflection()->FieldSize(list, Field(list, "items"));
}
const Message& Item(const Message& list, int index) {
  return list.GetReflection()->GetRepeatedMessage(list, Field(list, "items"), index);
}
Message* AddItem(Message* list) {
  return list->GetReflection()->AddMessage(list, Field(*list, "items"));
}
void TakeItems(Message* list, std::vector<std::shared_ptr<Message>>* items) {
  const FieldDescriptor* field = Field(*list, "items");
  const auto* reflection = list->GetReflection();
  const size_t start = items->size();
  for (int left = reflection->FieldSize(*list, field); left > 0; --left) {
    items->emplace_back(reflection->ReleaseLast(list, field));
  }
  std::reverse(items->begin() + static_cast<ptrdiff_t>(start), items->end());
}

}  // namespace keelson::kubelet::client
