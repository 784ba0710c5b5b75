// SPDX-License-Identifier: Apache-2.0
// Names of a pod: its hostname, its resolver configuration, its /etc/hosts. Pure; any thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "cri/identity.h"
#include "proto/cri/api.pb.h"
#include "proto/k8s/pod.pb.h"

namespace keelson::cri {

namespace rt = ::runtime::v1;

struct ResolvConf {
  std::vector<std::string> servers;
  std::vector<std::string> searches;  // without "." and trailing dots
  std::vector<std::string> options;   // of equal names the last
};

// resolv.conf(5). InvalidArgument for a nameserver line without an address.
absl::StatusOr<ResolvConf> ParseResolvConf(std::string_view text);

// What the node says about names.
struct DnsSettings {
  std::optional<ResolvConf>
      host;  // unset: resolvConf is "", pods with policy Default get no lookups
  std::vector<std::string> cluster_dns;
  std::string cluster_domain;
  std::vector<std::string> node_ips;
};

// A Warning event the pod deserves.
struct DnsWarning {
  std::string reason;  // DNSConfigForming or MissingClusterDNS
  std::string message;
};

struct PodDns {
  rt::DNSConfig config;
  std::vector<DnsWarning> warnings;
};

// dnsPolicy and dnsConfig, within the API's limits: 3 servers, 32 searches, 2048 characters, 253 per search.
PodDns MakePodDns(const v1::Pod& pod, const DnsSettings& settings);

struct PodHostname {
  std::string host;
  std::string domain;  // <subdomain>.<namespace>.svc.<cluster domain>, or empty
};
// InvalidArgument for names that are no DNS labels.
absl::StatusOr<PodHostname> MakePodHostname(const v1::Pod& pod, std::string_view cluster_domain);

// The kernel's nodename: the host, or with setHostnameAsFQDN the full name, at most 64 bytes. Empty
// for hostNetwork.
absl::StatusOr<std::string> KernelHostname(const v1::Pod& pod, const PodHostname& name);

// /etc/hosts of a pod with addresses of its own.
std::string ManagedHosts(const v1::Pod& pod, const PodHostname& name,
                         const std::vector<std::string>& pod_ips);
// /etc/hosts of a hostNetwork pod: the node's file and the pod's aliases.
std::string NodeHosts(const v1::Pod& pod, std::string_view node_file);

}  // namespace keelson::cri
