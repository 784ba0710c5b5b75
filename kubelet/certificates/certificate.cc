// SPDX-License-Identifier: Apache-2.0
#include "kubelet/certificates/certificate.h"

#include <arpa/inet.h>
#include <openssl/ec.h>

#include <algorithm>
#include <ctime>
#include <memory>

#include "base/check.h"
#include "base/errno_status.h"
#include "base/openssl.h"
#include "base/strings.h"

namespace keelson::kubelet {
namespace {

template <typename T>
using Owned = base::OpensslPtr<T>;
using base::BioOf;
using base::OpensslError;
using base::ReadPrivateKey;
using base::TextOf;

absl::Status NoKey() { return absl::InvalidArgumentError("no unencrypted PEM private key in it"); }

void AddName(X509_NAME* name, const char* field, const std::string& value) {
  X509_NAME_add_entry_by_txt(name, field, MBSTRING_UTF8,
                             reinterpret_cast<const unsigned char*>(value.data()),
                             static_cast<int>(value.size()), -1, 0);
}

// Built by hand: the textual form would let a name smuggle in others.
absl::StatusOr<Owned<GENERAL_NAMES>> AltNames(const CertificateTemplate& wanted) {
  Owned<GENERAL_NAMES> names(sk_GENERAL_NAME_new_null());
  const auto add = [&](int type, ASN1_STRING* value) {
    GENERAL_NAME* name = GENERAL_NAME_new();
    GENERAL_NAME_set0_value(name, type, value);
    sk_GENERAL_NAME_push(names.get(), name);
  };
  for (const std::string& dns : wanted.dns) {
    ASN1_STRING* value = ASN1_IA5STRING_new();
    ASN1_STRING_set(value, dns.data(), static_cast<int>(dns.size()));
    add(GEN_DNS, value);
  }
  for (const std::string& ip : wanted.ips) {
    ASN1_OCTET_STRING* value = a2i_IPADDRESS(ip.c_str());
    if (value == nullptr) return OpensslError(base::StrCat("\"", ip, "\" is no IP address"));
    add(GEN_IPADD, value);
  }
  return names;
}

std::vector<std::string> Entries(X509_NAME* name, int nid) {
  std::vector<std::string> values;
  for (int at = -1; (at = X509_NAME_get_index_by_NID(name, nid, at)) >= 0;) {
    unsigned char* text = nullptr;
    const int size =
        ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at)));
    if (size < 0) continue;
    values.emplace_back(reinterpret_cast<char*>(text), static_cast<size_t>(size));
    OPENSSL_free(text);
  }
  return values;
}

void ReadAltNames(X509* cert, CertificateTemplate* out) {
  const Owned<GENERAL_NAMES> names(static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(cert, NID_subject_alt_name, nullptr, nullptr)));
  for (int i = 0; names && i < sk_GENERAL_NAME_num(names.get()); ++i) {
    int type = 0;
    const auto* value = static_cast<ASN1_STRING*>(
        GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(names.get(), i), &type));
    const unsigned char* data = type == GEN_DNS || type == GEN_IPADD
                                    ? ASN1_STRING_get0_data(value)
                                    : nullptr;
    if (data == nullptr) continue;
    const int size = ASN1_STRING_length(value);
    if (type == GEN_DNS) {
      out->dns.emplace_back(reinterpret_cast<const char*>(data), static_cast<size_t>(size));
      continue;
    }
    char text[INET6_ADDRSTRLEN];
    if ((size == 4 || size == 16) &&
        ::inet_ntop(size == 4 ? AF_INET : AF_INET6, data, text, sizeof(text)) != nullptr) {
      out->ips.emplace_back(text);
    }
  }
  std::sort(out->dns.begin(), out->dns.end());
  std::sort(out->ips.begin(), out->ips.end());
}

base::WallTime TimeOf(const ASN1_TIME* time) {
  std::tm parts{};
  ASN1_TIME_to_tm(time, &parts);
  // RFC 5280's "no end" is 9999, which nanoseconds cannot hold.
  constexpr std::time_t kLatest = 9'000'000'000;
  return base::WallTime(std::chrono::seconds(std::min(::timegm(&parts), kLatest)));
}

Leaf LeafOf(X509* cert) {
  Leaf leaf;
  X509_NAME* subject = X509_get_subject_name(cert);
  const auto names = Entries(subject, NID_commonName);
  if (!names.empty()) leaf.subject.common_name = names.back();
  leaf.subject.organizations = Entries(subject, NID_organizationName);
  ReadAltNames(cert, &leaf.subject);
  leaf.not_before = TimeOf(X509_get0_notBefore(cert));
  leaf.not_after = TimeOf(X509_get0_notAfter(cert));
  return leaf;
}

absl::StatusOr<std::vector<Owned<X509>>> ReadChain(const std::string& pem) {
  std::vector<Owned<X509>> chain;
  const Owned<BIO> in = BioOf(pem);
  while (X509* cert = PEM_read_bio_X509(in.get(), nullptr, nullptr, nullptr))
    chain.emplace_back(cert);
  const unsigned long code = ERR_peek_last_error();
  const bool end = code == 0 || ERR_GET_REASON(code) == PEM_R_NO_START_LINE;
  if (!end) return OpensslError("a certificate in it is damaged");
  ERR_clear_error();
  if (chain.empty()) return absl::InvalidArgumentError("no PEM certificate in it");
  return chain;
}

}  // namespace

absl::StatusOr<std::string> MakePrivateKey() {
  const Owned<EVP_PKEY> key(EVP_EC_gen("P-256"));
  const Owned<BIO> out(BIO_new(BIO_s_mem()));
  if (!key || PEM_write_bio_PrivateKey_traditional(out.get(), key.get(), nullptr, nullptr, 0,
                                                   nullptr, nullptr) != 1)
    return OpensslError("make a private key");
  return TextOf(out.get());
}

absl::Status CheckPrivateKey(const std::string& key_pem) {
  return ReadPrivateKey(key_pem) ? absl::OkStatus() : NoKey();
}

bool IsRsaKey(const std::string& key_pem) {
  const Owned<EVP_PKEY> key = ReadPrivateKey(key_pem);
  return key && EVP_PKEY_get_base_id(key.get()) == EVP_PKEY_RSA;
}

absl::StatusOr<std::string> MakeCertificateRequest(const CertificateTemplate& wanted,
                                                   const std::string& key_pem) {
  const Owned<EVP_PKEY> key = ReadPrivateKey(key_pem);
  if (!key) return NoKey();
  const Owned<X509_REQ> request(X509_REQ_new());
  X509_NAME* subject = X509_REQ_get_subject_name(request.get());
  for (const std::string& name : wanted.organizations) AddName(subject, "O", name);
  AddName(subject, "CN", wanted.common_name);
  X509_REQ_set_pubkey(request.get(), key.get());
  if (!wanted.dns.empty() || !wanted.ips.empty()) {
    auto names = AltNames(wanted);
    RETURN_IF_ERROR(names.status());
    const Owned<STACK_OF(X509_EXTENSION)> extensions(sk_X509_EXTENSION_new_null());
    X509_EXTENSION* extension = X509V3_EXT_i2d(NID_subject_alt_name, 0, names->get());
    if (extension == nullptr) return OpensslError("subject alternative names");
    sk_X509_EXTENSION_push(extensions.get(), extension);
    X509_REQ_add_extensions(request.get(), extensions.get());
  }
  const Owned<BIO> out(BIO_new(BIO_s_mem()));
  if (X509_REQ_sign(request.get(), key.get(), EVP_sha256()) == 0 ||
      PEM_write_bio_X509_REQ(out.get(), request.get()) != 1)
    return OpensslError("sign a certificate request");
  return TextOf(out.get());
}

bool RequestHasKey(const std::string& request_pem, const std::string& key_pem) {
  const Owned<BIO> in = BioOf(request_pem);
  const Owned<X509_REQ> request(PEM_read_bio_X509_REQ(in.get(), nullptr, nullptr, nullptr));
  const Owned<EVP_PKEY> key = ReadPrivateKey(key_pem);
  const bool has = request && key && X509_REQ_verify(request.get(), key.get()) == 1;
  ERR_clear_error();
  return has;
}

absl::StatusOr<std::string> PublicKeyDer(const std::string& key_pem) {
  const Owned<EVP_PKEY> key = ReadPrivateKey(key_pem);
  if (!key) return NoKey();
  unsigned char* der = nullptr;
  const int size = i2d_PUBKEY(key.get(), &der);
  if (size <= 0) return OpensslError("encode a public key");
  std::string bytes(reinterpret_cast<char*>(der), static_cast<size_t>(size));
  OPENSSL_free(der);
  return bytes;
}

absl::StatusOr<std::vector<Leaf>> ParseCertificates(const std::string& pem) {
  auto chain = ReadChain(pem);
  RETURN_IF_ERROR(chain.status());
  std::vector<Leaf> leaves;
  for (const auto& cert : *chain) leaves.push_back(LeafOf(cert.get()));
  return leaves;
}

absl::StatusOr<Leaf> ParsePair(const std::string& cert_pem, const std::string& key_pem) {
  auto chain = ReadChain(cert_pem);
  RETURN_IF_ERROR(chain.status());
  const Owned<EVP_PKEY> key = ReadPrivateKey(key_pem);
  if (!key) return NoKey();
  const bool pair = X509_check_private_key(chain->front().get(), key.get()) == 1;
  ERR_clear_error();
  if (!pair) return absl::InvalidArgumentError("the private key is not the certificate's");
  return LeafOf(chain->front().get());
}

absl::StatusOr<std::string> JoinPair(const std::string& cert_pem, const std::string& key_pem) {
  auto chain = ReadChain(cert_pem);
  RETURN_IF_ERROR(chain.status());
  const Owned<EVP_PKEY> key = ReadPrivateKey(key_pem);
  if (!key) return NoKey();
  const Owned<BIO> out(BIO_new(BIO_s_mem()));
  for (const auto& cert : *chain)
    if (PEM_write_bio_X509(out.get(), cert.get()) != 1) return OpensslError("write a certificate");
  if (PEM_write_bio_PrivateKey_traditional(out.get(), key.get(), nullptr, nullptr, 0, nullptr,
                                           nullptr) != 1)
    return OpensslError("write a private key");
  return TextOf(out.get());
}

std::string Sha512_256(std::string_view data) {
  unsigned char hash[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  KEELSON_CHECK(EVP_Digest(data.data(), data.size(), hash, &size, EVP_sha512_256(), nullptr) == 1);
  return std::string(reinterpret_cast<char*>(hash), size);
}

}  // namespace keelson::kubelet
