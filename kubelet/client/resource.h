// SPDX-License-Identifier: Apache-2.0
// Which message of ours is which resource of the Kubernetes API. Pure; any thread.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace google::protobuf {
class Descriptor;
class Message;
}  // namespace google::protobuf
namespace k8s::meta::v1 {
class ListMeta;
class ObjectMeta;
}  // namespace k8s::meta::v1

namespace keelson::kubelet::client {

using google::protobuf::Message;

// A type of object. There is one of each in the process; they are compared by address.
struct Resource {
  std::string_view message;  // k8s.v1.Pod
  std::string_view group;    // empty: core
  std::string_view version;  // v1
  std::string_view kind;     // Pod
  std::string_view plural;   // pods
  bool namespaced;

  // "v1" or "coordination.k8s.io/v1".
  std::string ApiVersion() const;
  // "/api/v1/namespaces/default/pods/web/status", every part escaped. An empty `ns` is all
  // namespaces (or none), an empty `name` the collection.
  std::string Path(std::string_view ns, std::string_view name, std::string_view sub = {}) const;
  // Empty objects of the type and of its list. REQUIRES for the latter: the type has a list.
  std::unique_ptr<Message> New() const;
  std::unique_ptr<Message> NewList() const;
};

// REQUIRES: the message, or for FindList the item of the list message, is in our table.
const Resource& ResourceOf(const google::protobuf::Descriptor* message);
const Resource& ResourceOfList(const google::protobuf::Descriptor* list);
template <typename T>
const Resource& ResourceOf() {
  return ResourceOf(T::descriptor());
}
// By what stands in a path or an object; null when unknown.
const Resource* FindResource(std::string_view group, std::string_view version,
                             std::string_view plural);

// `text` with everything but RFC 3986's unreserved characters as %XX: a path segment, a query
// value.
std::string Escape(std::string_view text);

// The metadata every object has. REQUIRES: `object` is of a resource in the table.
const k8s::meta::v1::ObjectMeta& MetaOf(const Message& object);
k8s::meta::v1::ObjectMeta* MutableMetaOf(Message* object);
// The same for lists, and their items.
const k8s::meta::v1::ListMeta& ListMetaOf(const Message& list);
k8s::meta::v1::ListMeta* MutableListMetaOf(Message* list);
int ItemCount(const Message& list);
const Message& Item(const Message& list, int index);
// Takes the items out, in order; the list is left without.
void TakeItems(Message* list, std::vector<std::shared_ptr<Message>>* items);
Message* AddItem(Message* list);

}  // namespace keelson::kubelet::client
