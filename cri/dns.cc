// SPDX-License-Identifier: Apache-2.0
#include "cri/dns.h"

#include <algorithm>

#include "base/strings.h"

namespace keelson::cri {

using base::StrCat;
using Strings = std::vector<std::string>;

namespace {

constexpr size_t kMaxServers = 3;
constexpr size_t kMaxSearches = 32;
constexpr size_t kMaxSearchChars = 2048;
constexpr size_t kMaxSearchLength = 253;
constexpr size_t kMaxLabel = 63;
constexpr size_t kMaxNodename = 64;

std::vector<std::string_view> Fields(std::string_view line) {
  std::vector<std::string_view> fields;
  constexpr std::string_view kBlank = " \t\r\v\f";
  while (true) {
    line.remove_prefix(std::min(line.find_first_not_of(kBlank), line.size()));
    if (line.empty()) return fields;
    fields.push_back(line.substr(0, line.find_first_of(kBlank)));
    line.remove_prefix(fields.back().size());
  }
}

std::string_view OptionName(std::string_view option) { return option.substr(0, option.find(':')); }

// Of options with the same name the last one counts.
void SetOption(Strings& options, std::string option) {
  for (std::string& old : options) {
    if (OptionName(old) != OptionName(option)) continue;
    old = std::move(option);
    return;
  }
  options.push_back(std::move(option));
}

void AddUnique(Strings& list, const std::string& item) {
  if (std::find(list.begin(), list.end(), item) == list.end()) list.push_back(item);
}

std::string Join(const Strings& items, std::string_view separator) {
  std::string out;
  for (const std::string& item : items) base::StrAppend(&out, out.empty() ? "" : separator, item);
  return out;
}

enum class DnsMode { kCluster, kHost, kNone };

DnsMode ModeOf(const v1::Pod& pod) {
  const std::string& policy = pod.spec().dnspolicy();
  if (policy == "None") return DnsMode::kNone;
  if (policy == "ClusterFirstWithHostNet") return DnsMode::kCluster;
  if (policy == "Default") return DnsMode::kHost;
  return pod.spec().hostnetwork() ? DnsMode::kHost : DnsMode::kCluster;
}

ResolvConf ClusterConf(const v1::Pod& pod, const DnsSettings& node, const Strings& host_searches) {
  ResolvConf conf{node.cluster_dns, {}, {"ndots:5"}};
  if (!node.cluster_domain.empty()) {
    const std::string svc = StrCat("svc.", node.cluster_domain);
    conf.searches = {StrCat(pod.metadata().namespace_(), ".", svc), svc, node.cluster_domain};
  }
  for (const std::string& search : host_searches) AddUnique(conf.searches, search);
  return conf;
}

// With resolvConf "" a resolver that finds nobody, as bind documents it for an empty file.
ResolvConf NoLookups(const DnsSettings& node) {
  ResolvConf conf{{}, {"."}, {}};
  for (const std::string& ip : node.node_ips)
    conf.servers.push_back(ip.find(':') == ip.npos ? "127.0.0.1" : "::1");
  if (conf.servers.empty()) conf.servers = {"127.0.0.1"};
  return conf;
}

void Append(ResolvConf& conf, const v1::PodDNSConfig& extra) {
  Strings servers, searches;
  for (const auto& s : conf.servers) AddUnique(servers, s);
  for (const auto& s : extra.nameservers()) AddUnique(servers, s);
  for (const auto& s : conf.searches) AddUnique(searches, s);
  for (const auto& s : extra.searches()) AddUnique(searches, s);
  conf.servers = std::move(servers);
  conf.searches = std::move(searches);
  for (const auto& option : extra.options())
    SetOption(conf.options,
              option.value().empty() ? option.name() : StrCat(option.name(), ":", option.value()));
}

// True when something had to go.
bool CutSearches(Strings& searches) {
  const size_t before = searches.size();
  if (searches.size() > kMaxSearches) searches.resize(kMaxSearches);
  std::erase_if(searches, [](const std::string& s) { return s.size() > kMaxSearchLength; });
  while (Join(searches, " ").size() > kMaxSearchChars) searches.pop_back();
  return searches.size() != before;
}

void CutToLimits(ResolvConf& conf, std::vector<DnsWarning>& warnings) {
  if (conf.servers.size() > kMaxServers) {
    conf.servers.resize(kMaxServers);
    warnings.push_back(
        {"DNSConfigForming", StrCat("Nameserver limits were exceeded, some nameservers have been "
                                    "omitted, the applied nameserver line is: ",
                                    Join(conf.servers, " "))});
  }
  if (CutSearches(conf.searches))
    warnings.push_back(
        {"DNSConfigForming", StrCat("Search Line limits were exceeded, some search paths have been "
                                    "omitted, the applied search line is: ",
                                    Join(conf.searches, " "))});
}

bool IsLabelChar(char c, bool edge) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || (!edge && c == '-');
}

// RFC 1123, lower case.
bool IsDnsLabel(std::string_view text) {
  if (text.empty() || text.size() > kMaxLabel) return false;
  for (size_t i = 0; i < text.size(); ++i)
    if (!IsLabelChar(text[i], i == 0 || i + 1 == text.size())) return false;
  return true;
}

bool IsDnsSubdomain(std::string_view text) {
  if (text.empty() || text.size() > kMaxSearchLength) return false;
  while (true) {
    const size_t dot = text.find('.');
    const std::string_view part = text.substr(0, dot);
    // Parts of a subdomain may be longer than a label.
    for (size_t i = 0; i < part.size(); ++i)
      if (!IsLabelChar(part[i], i == 0 || i + 1 == part.size())) return false;
    if (part.empty()) return false;
    if (dot == text.npos) return true;
    text.remove_prefix(dot + 1);
  }
}

absl::StatusOr<std::string> CutHostname(const v1::Pod& pod, std::string host) {
  if (host.size() <= kMaxLabel) return host;
  std::string cut = host.substr(0, kMaxLabel);
  cut.resize(cut.find_last_not_of("-.") + 1);
  if (cut.empty())
    return absl::InvalidArgumentError(
        StrCat("hostname for pod \"", pod.metadata().name(), "\" was invalid: \"", host, "\""));
  return cut;
}

constexpr std::string_view kLabelRule =
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and "
    "must start and end with an alphanumeric character";

std::string Aliases(const v1::Pod& pod) {
  if (pod.spec().hostaliases_size() == 0) return "";
  std::string out = "\n# Entries added by HostAliases.\n";
  for (const auto& alias : pod.spec().hostaliases()) {
    base::StrAppend(&out, alias.ip(), "\t");
    out += Join({alias.hostnames().begin(), alias.hostnames().end()}, "\t");
    out += '\n';
  }
  return out;
}

}  // namespace

absl::StatusOr<ResolvConf> ParseResolvConf(std::string_view text) {
  ResolvConf conf;
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    const auto fields = Fields(line);
    if (fields.empty() || fields[0].starts_with('#')) continue;
    if (fields[0] == "nameserver") {
      if (fields.size() < 2) return absl::InvalidArgumentError("nameserver list is empty ");
      conf.servers.emplace_back(fields[1]);
    } else if (fields[0] == "search") {  // the last line counts
      conf.searches.clear();
      for (size_t i = 1; i < fields.size(); ++i) {
        if (fields[i] == ".") continue;
        if (fields[i].ends_with('.'))
          conf.searches.emplace_back(fields[i], 0, fields[i].size() - 1);
        else
          conf.searches.emplace_back(fields[i]);
      }
    } else if (fields[0] == "options") {
      for (size_t i = 1; i < fields.size(); ++i) SetOption(conf.options, std::string(fields[i]));
    }
  }
  return conf;
}

PodDns MakePodDns(const v1::Pod& pod, const DnsSettings& settings) {
  PodDns result;
  ResolvConf conf = settings.host.value_or(ResolvConf());
  DnsMode mode = ModeOf(pod);
  if (mode == DnsMode::kCluster && settings.cluster_dns.empty()) {
    result.warnings.push_back(
        {"MissingClusterDNS",
         StrCat("pod: \"", PodDescription(pod),
                "\". kubelet does not have ClusterDNS IP configured and cannot create Pod using "
                "\"ClusterFirst\" policy. Falling back to \"Default\" policy.")});
    mode = DnsMode::kHost;
  }
  switch (mode) {
    case DnsMode::kNone:
      conf = {};
      break;
    case DnsMode::kCluster:
      conf = ClusterConf(pod, settings, conf.searches);
      break;
    case DnsMode::kHost:
      if (!settings.host) conf = NoLookups(settings);
      break;
  }
  if (pod.spec().has_dnsconfig()) Append(conf, pod.spec().dnsconfig());
  CutToLimits(conf, result.warnings);
  result.config.mutable_servers()->Assign(conf.servers.begin(), conf.servers.end());
  result.config.mutable_searches()->Assign(conf.searches.begin(), conf.searches.end());
  result.config.mutable_options()->Assign(conf.options.begin(), conf.options.end());
  return result;
}

absl::StatusOr<PodHostname> MakePodHostname(const v1::Pod& pod, std::string_view cluster_domain) {
  const auto& spec = pod.spec();
  if (spec.has_hostnameoverride()) {
    if (!IsDnsSubdomain(spec.hostnameoverride()))
      return absl::InvalidArgumentError(StrCat("pod HostnameOverride \"", spec.hostnameoverride(),
                                               "\" is not a valid DNS subdomain"));
    auto host = CutHostname(pod, spec.hostnameoverride());
    if (!host.ok()) return host.status();
    return PodHostname{*std::move(host), ""};
  }
  if (!spec.hostname().empty() && !IsDnsLabel(spec.hostname()))
    return absl::InvalidArgumentError(
        StrCat("pod Hostname \"", spec.hostname(), "\" is not a valid DNS label: ", kLabelRule));
  auto host = CutHostname(pod, spec.hostname().empty() ? pod.metadata().name() : spec.hostname());
  if (!host.ok()) return host.status();
  PodHostname result{*std::move(host), ""};
  if (spec.subdomain().empty()) return result;
  if (!IsDnsLabel(spec.subdomain()))
    return absl::InvalidArgumentError(
        StrCat("pod Subdomain \"", spec.subdomain(), "\" is not a valid DNS label: ", kLabelRule));
  result.domain =
      StrCat(spec.subdomain(), ".", pod.metadata().namespace_(), ".svc.", cluster_domain);
  return result;
}

absl::StatusOr<std::string> KernelHostname(const v1::Pod& pod, const PodHostname& name) {
  if (pod.spec().hostnetwork()) return std::string();
  if (name.domain.empty() || !pod.spec().sethostnameasfqdn()) return name.host;
  std::string fqdn = StrCat(name.host, ".", name.domain);
  if (fqdn.size() > kMaxNodename)
    return absl::InvalidArgumentError(
        StrCat("failed to construct FQDN from pod hostname and cluster domain, FQDN ", fqdn,
               " is too long (", kMaxNodename, " characters is the max, ", fqdn.size(),
               " characters requested)"));
  return fqdn;
}

std::string ManagedHosts(const v1::Pod& pod, const PodHostname& name,
                         const std::vector<std::string>& pod_ips) {
  std::string out =
      "# Kubernetes-managed hosts file.\n"
      "127.0.0.1\tlocalhost\n"
      "::1\tlocalhost ip6-localhost ip6-loopback\n"
      "fe00::0\tip6-localnet\n"
      "fe00::0\tip6-mcastprefix\n"
      "fe00::1\tip6-allnodes\n"
      "fe00::2\tip6-allrouters\n";
  for (const std::string& ip : pod_ips) {
    if (name.domain.empty())
      base::StrAppend(&out, ip, "\t", name.host, "\n");
    else
      base::StrAppend(&out, ip, "\t", name.host, ".", name.domain, "\t", name.host, "\n");
  }
  return out + Aliases(pod);
}

std::string NodeHosts(const v1::Pod& pod, std::string_view node_file) {
  return StrCat("# Kubernetes-managed hosts file (host network).\n", node_file, Aliases(pod));
}

}  // namespace keelson::cri
