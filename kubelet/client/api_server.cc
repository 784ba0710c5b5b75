// SPDX-License-Identifier: Apache-2.0
#include "kubelet/client/api_server.h"

#include "base/check.h"
#include "base/strings.h"
#include "proto/k8s/meta.pb.h"

namespace keelson::kubelet::client {
namespace {

std::string_view Method(Verb verb) {
  switch (verb) {
    case Verb::kGet:
      return "GET";
    case Verb::kList:
      return "LIST";
    case Verb::kCreate:
      return "POST";
    case Verb::kUpdate:
      return "PUT";
    case Verb::kPatch:
      return "PATCH";
    case Verb::kDelete:
      return "DELETE";
  }
  return "";
}

}  // namespace

std::string ApiRequest::Describe() const {
  std::string text = base::StrCat(Method(verb), " ", resource->Path(ns, name, subresource));
  if (!list.field_selector.empty()) base::StrAppend(&text, " (", list.field_selector, ")");
  return text;
}

ApiRequest ApiServer::Request(Verb verb, const Resource& resource, std::string ns,
                              std::string name) {
  // A namespace that is missing would ask for the objects of all.
  KEELSON_CHECK(resource.namespaced || ns.empty());
  KEELSON_CHECK(!resource.namespaced || !ns.empty() || verb == Verb::kList);
  ApiRequest request;
  request.verb = verb;
  request.resource = &resource;
  request.ns = std::move(ns);
  request.name = std::move(name);
  return request;
}

ApiRequest ApiServer::DeleteRequest(const Resource& resource, std::string ns, std::string name,
                                    const DeleteOptions& options) {
  KEELSON_CHECK(!name.empty());  // would be all of them
  ApiRequest request = Request(Verb::kDelete, resource, std::move(ns), std::move(name));
  auto body = std::make_shared<k8s::meta::v1::DeleteOptions>();
  if (options.grace_period_seconds) body->set_graceperiodseconds(*options.grace_period_seconds);
  if (!options.uid.empty()) body->mutable_preconditions()->set_uid(options.uid);
  if (!options.resource_version.empty()) {
    body->mutable_preconditions()->set_resourceversion(options.resource_version);
  }
  request.body = std::move(body);
  return request;
}

}  // namespace keelson::kubelet::client
