// SPDX-License-Identifier: Apache-2.0
#include "kubelet/certificates/rotation.h"

#include <arpa/inet.h>

#include <algorithm>
#include <ctime>
#include <set>

#include "base/errno_status.h"
#include "base/strings.h"
#include "proto/codec/text.h"
#include "proto/k8s/certificates.pb.h"

namespace keelson::kubelet {
namespace {

using base::StrCat;

// Base64 for URLs, without padding (RFC 4648, section 5).
std::string UrlBase64(std::string_view data) {
  std::string text = proto::EncodeBase64(data);
  while (text.ends_with('=')) text.pop_back();
  for (char& c : text) c = c == '+' ? '-' : c == '/' ? '_' : c;
  return text;
}

// As inet_ntop(3) writes it; nullopt: no address.
std::optional<std::string> CanonicalIp(const std::string& text) {
  unsigned char bytes[16];
  char out[INET6_ADDRSTRLEN];
  const int family = text.find(':') == std::string::npos ? AF_INET : AF_INET6;
  if (::inet_pton(family, text.c_str(), bytes) != 1) return std::nullopt;
  ::inet_ntop(family, bytes, out, sizeof(out));
  return out;
}

bool HasAll(const std::vector<std::string>& has, const std::vector<std::string>& wanted) {
  return std::all_of(wanted.begin(), wanted.end(), [&](const std::string& name) {
    return std::find(has.begin(), has.end(), name) != has.end();
  });
}

}  // namespace

std::string_view SignerName(CertificatePurpose purpose) {
  return purpose == CertificatePurpose::kClient ? "kubernetes.io/kube-apiserver-client-kubelet"
                                                : "kubernetes.io/kubelet-serving";
}

std::vector<std::string> KeyUsages(CertificatePurpose purpose, bool rsa) {
  const char* role = purpose == CertificatePurpose::kClient ? "client auth" : "server auth";
  std::vector<std::string> usages = {"digital signature"};
  usages.push_back(role);
  if (rsa) usages.push_back("key encipherment");
  return usages;
}

CertificateTemplate ClientTemplate(const std::string& node_name) {
  CertificateTemplate wanted;
  wanted.common_name = StrCat("system:node:", node_name);
  wanted.organizations = {"system:nodes"};
  return wanted;
}

std::optional<CertificateTemplate> ServingTemplate(
    const std::string& node_name,
    const std::vector<std::pair<std::string, std::string>>& addresses) {
  std::set<std::string> dns, ips;
  for (const auto& [type, value] : addresses) {
    if (value.empty()) continue;
    const auto ip = CanonicalIp(value);
    if (type == "ExternalDNS" || type == "InternalDNS") {
      dns.insert(value);
    } else if (ip) {
      ips.insert(*ip);
    } else if (type == "Hostname") {
      dns.insert(value);
    }
  }
  if (ips.empty()) return std::nullopt;
  CertificateTemplate wanted = ClientTemplate(node_name);
  wanted.dns.assign(dns.begin(), dns.end());
  wanted.ips.assign(ips.begin(), ips.end());
  return wanted;
}

absl::StatusOr<std::string> DigestedName(const std::string& key_pem,
                                         const CertificateTemplate& wanted,
                                         const std::vector<std::string>& usages) {
  auto key = PublicKeyDer(key_pem);
  RETURN_IF_ERROR(key.status());
  // The bar is not in the alphabet: no two inputs make the same text.
  std::string text = StrCat(UrlBase64(*key), "|", UrlBase64(wanted.common_name), "|");
  for (const auto* list : {&wanted.organizations, &usages})
    for (const std::string& value : *list) base::StrAppend(&text, UrlBase64(value), "|");
  return StrCat("node-csr-", UrlBase64(Sha512_256(text)));
}

std::string PairFileName(const std::string& prefix, base::WallTime now) {
  const std::time_t seconds = std::chrono::duration_cast<std::chrono::seconds>(
                                  now.time_since_epoch())
                                  .count();
  std::tm parts{};
  ::gmtime_r(&seconds, &parts);
  char text[64];
  const size_t size = std::strftime(text, sizeof(text), "%Y-%m-%d-%H-%M-%S", &parts);
  return StrCat(prefix, "-", std::string_view(text, size), ".pem");
}

bool Satisfies(const CertificateTemplate& has, const CertificateTemplate& wanted) {
  return has.common_name == wanted.common_name && HasAll(has.dns, wanted.dns) &&
         HasAll(has.ips, wanted.ips) && HasAll(has.organizations, wanted.organizations);
}

bool Expired(const Leaf& leaf, base::WallTime now) { return now > leaf.not_after; }

base::WallTime RotationTime(const Leaf& leaf, double chance) {
  const double life = static_cast<double>((leaf.not_after - leaf.not_before).count());
  return leaf.not_before + base::Nanos(static_cast<int64_t>(life * (0.7 + 0.2 * chance)));
}

base::Nanos RetryDelay(int tries, double chance) {
  const double seconds = static_cast<double>(2 << std::min(tries, 4)) * (1 + 0.1 * chance);
  return base::Nanos(static_cast<int64_t>(seconds * 1e9));
}

SigningVerdict Judge(const k8s::certificates::v1::CertificateSigningRequest& request,
                     const std::string& uid) {
  SigningVerdict verdict;
  const std::string& name = request.metadata().name();
  if (request.metadata().uid() != uid) {
    verdict.failure = absl::AbortedError(
        StrCat("certificate signing request ", name, " was replaced by another of its name"));
    return verdict;
  }
  bool approved = false;
  for (const auto& condition : request.status().conditions()) {
    const std::string why =
        StrCat("reason: ", condition.reason(), ", message: ", condition.message());
    if (condition.type() == "Denied") {
      verdict.failure = absl::PermissionDeniedError(
          StrCat("certificate signing request ", name, " is denied, ", why));
      return verdict;
    }
    if (condition.type() == "Failed") {
      verdict.failure =
          absl::AbortedError(StrCat("certificate signing request ", name, " failed, ", why));
      return verdict;
    }
    approved |= condition.type() == "Approved";
  }
  if (approved) verdict.certificate = request.status().certificate();
  return verdict;
}

}  // namespace keelson::kubelet
