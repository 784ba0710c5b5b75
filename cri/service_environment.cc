// SPDX-License-Identifier: Apache-2.0
#include "cri/service_environment.h"

#include <algorithm>
#include <map>

#include "base/strings.h"
#include "proto/k8s/objects.pb.h"

namespace keelson::cri {

namespace v1 = ::k8s::v1;
using base::StrCat;

namespace {

char UpperOf(char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c; }
char LowerOf(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

std::string Upper(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), UpperOf);
  return text;
}
std::string Lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), LowerOf);
  return text;
}
std::string VariableName(std::string text) {
  std::replace(text.begin(), text.end(), '-', '_');
  return Upper(std::move(text));
}

bool HasAddress(const v1::Service& service) {
  return !service.spec().clusterip().empty() && service.spec().clusterip() != "None" &&
         service.spec().ports_size() > 0;
}

// Docker's link variables, of one port.
void AddPort(const std::string& prefix, const std::string& address, const v1::ServicePort& port,
             bool first, StringMap* env) {
  const std::string protocol = port.protocol().empty() ? "TCP" : port.protocol();
  const bool v6 = address.find(':') != std::string::npos;
  const std::string host = v6 ? StrCat("[", address, "]") : address;
  const std::string url = StrCat(Lower(protocol), "://", host, ":", port.port());
  if (first) (*env)[prefix + "_PORT"] = url;
  const std::string name = StrCat(prefix, "_PORT_", port.port(), "_", Upper(protocol));
  (*env)[name] = url;
  (*env)[name + "_PROTO"] = Lower(protocol);
  (*env)[name + "_PORT"] = StrCat(port.port());
  (*env)[name + "_ADDR"] = address;
}

void AddService(const v1::Service& service, StringMap* env) {
  const auto& spec = service.spec();
  const std::string prefix = VariableName(service.metadata().name());
  const std::string port_name = prefix + "_SERVICE_PORT";
  (*env)[prefix + "_SERVICE_HOST"] = spec.clusterip();
  (*env)[port_name] = StrCat(spec.ports(0).port());
  for (const auto& port : spec.ports())
    if (!port.name().empty())
      (*env)[StrCat(port_name, "_", VariableName(port.name()))] = StrCat(port.port());
  for (int i = 0; i < spec.ports_size(); ++i)
    AddPort(prefix, spec.clusterip(), spec.ports(i), i == 0, env);
}

}  // namespace

StringMap ServiceEnvironment(const std::vector<std::shared_ptr<const v1::Service>>& services,
                             const std::string& name_space, bool service_links) {
  std::map<std::string, const v1::Service*> seen;
  for (const auto& service : services) {
    if (!HasAddress(*service)) continue;
    const auto& meta = service->metadata();
    if (meta.namespace_() == name_space && service_links) seen[meta.name()] = service.get();
    else if (meta.namespace_() == "default" && meta.name() == "kubernetes")
      seen.emplace(meta.name(), service.get());
  }
  StringMap env;
  for (const auto& [name, service] : seen) AddService(*service, &env);
  return env;
}

}  // namespace keelson::cri
