// SPDX-License-Identifier: Apache-2.0
// Everything an operator can say to the agent: flags, a configuration file, drop-ins; one answer.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "proto/k8s/kubelet_config.pb.h"

namespace keelson::kubelet {

struct KubeletOptions {
  // Defaults, file, drop-ins and flags merged and validated (docs/configuration.md).
  k8s::kubelet::v1beta1::KubeletConfiguration config;

  // What exists as flags only.
  std::string root_dir = "/var/lib/kubelet";
  std::string cert_dir = "/var/lib/kubelet/pki";
  std::string kubeconfig;            // empty: standalone
  std::string bootstrap_kubeconfig;
  std::string hostname_override;
  std::string node_ip;
  std::map<std::string, std::string> node_labels;
  std::string cloud_provider;
  std::string image_credential_provider_config;
  std::string image_credential_provider_bin_dir;
  std::string runtime_cgroups;
  std::string lock_file;
  bool exit_on_lock_contention = false;
  std::string minimum_container_ttl = "0s";
  int maximum_dead_containers_per_container = 1;
  int maximum_dead_containers = -1;
  int verbosity = 0;
  bool log_json = false;

  // Lower-case names as users know them: fields of the file (staticPodPath), flags (--node-labels).
  std::vector<std::string> set_explicitly;
  // One line each: deprecated flags, fields that the lenient decoder skipped.
  std::vector<std::string> warnings;
};

struct LoadedOptions {
  KubeletOptions options;
  // Text to print on stdout before exiting with 0 (--help, --version); empty otherwise.
  std::string early_output;
};

// InvalidArgument has one line per problem; the caller prints them and exits with 1.
absl::StatusOr<LoadedOptions> LoadOptions(int argc, const char* const* argv);

// The version of Kubernetes we behave as, with our own behind it: v1.36.0+keelson-0.1.0.
std::string_view KubeletVersion();

// Of what was set explicitly, that which the agent does not act on yet.
std::vector<std::string> NotYetActedOn(const KubeletOptions& options);

}  // namespace keelson::kubelet
