// SPDX-License-Identifier: Apache-2.0
#include "kubelet/auth/client_certificate.h"

#include <openssl/x509_vfy.h>

#include "base/openssl.h"
#include "base/strings.h"

namespace keelson::kubelet::auth {
namespace {

using X509Ptr = base::OpensslPtr<X509>;

std::vector<std::string> Entries(X509* certificate, int nid) {
  std::vector<std::string> values;
  const X509_NAME* subject = X509_get_subject_name(certificate);
  for (int at = -1; (at = X509_NAME_get_index_by_NID(subject, nid, at)) >= 0;) {
    unsigned char* text = nullptr;
    const int size =
        ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
    if (size < 0) continue;
    values.emplace_back(reinterpret_cast<char*>(text), static_cast<size_t>(size));
    OPENSSL_free(text);
  }
  return values;
}

X509Ptr FromDer(const std::string& der) {
  const auto* at = reinterpret_cast<const unsigned char*>(der.data());
  return X509Ptr(d2i_X509(nullptr, &at, static_cast<long>(der.size())));
}

}  // namespace

struct ClientAuthorities::Store {
  base::OpensslPtr<X509_STORE> trusted;
};

ClientAuthorities::ClientAuthorities(std::unique_ptr<Store> store) : store_(std::move(store)) {}
ClientAuthorities::~ClientAuthorities() = default;

absl::StatusOr<std::shared_ptr<const ClientAuthorities>> ClientAuthorities::Parse(
    std::string_view pem) {
  auto store = std::make_unique<Store>();
  store->trusted.reset(X509_STORE_new());
  const base::OpensslPtr<BIO> in = base::BioOf(pem);
  int count = 0;
  for (;;) {
    X509Ptr one(PEM_read_bio_X509(in.get(), nullptr, nullptr, nullptr));
    if (!one) break;
    if (X509_STORE_add_cert(store->trusted.get(), one.get()) == 1) ++count;
  }
  ERR_clear_error();
  if (count == 0)
    return absl::InvalidArgumentError(
        "data does not contain any valid RSA or ECDSA certificates");
  return std::shared_ptr<const ClientAuthorities>(new ClientAuthorities(std::move(store)));
}

absl::StatusOr<User> ClientAuthorities::Verify(const std::vector<std::string>& chain,
                                               base::WallTime now) const {
  base::OpensslPtr<STACK_OF(X509)> others(sk_X509_new_null());
  X509Ptr leaf;
  for (const std::string& der : chain) {
    X509Ptr one = FromDer(der);
    if (!one) return absl::UnauthenticatedError("x509: malformed certificate");
    if (!leaf)
      leaf = std::move(one);
    else
      sk_X509_push(others.get(), one.release());
  }
  if (!leaf) return absl::UnauthenticatedError("x509: no certificate");
  base::OpensslPtr<X509_STORE_CTX> context(X509_STORE_CTX_new());
  if (!context ||
      X509_STORE_CTX_init(context.get(), store_->trusted.get(), leaf.get(), others.get()) != 1)
    return absl::InternalError("x509: no memory to verify a certificate");
  X509_VERIFY_PARAM* param = X509_STORE_CTX_get0_param(context.get());
  X509_VERIFY_PARAM_set_purpose(param, X509_PURPOSE_SSL_CLIENT);
  // An intermediate in clientCAFile is an authority too, as in Go.
  X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_PARTIAL_CHAIN);
  X509_VERIFY_PARAM_set_time(
      param, std::chrono::duration_cast<std::chrono::seconds>(now.time_since_epoch()).count());
  const bool good = X509_verify_cert(context.get()) == 1;
  ERR_clear_error();
  if (!good)
    return absl::UnauthenticatedError(base::StrCat(
        "x509: ", X509_verify_cert_error_string(X509_STORE_CTX_get_error(context.get()))));
  User user;
  // Go keeps the last of several common names.
  for (std::string& name : Entries(leaf.get(), NID_commonName)) user.name = std::move(name);
  user.groups = Entries(leaf.get(), NID_organizationName);
  return user;
}

}  // namespace keelson::kubelet::auth
