// SPDX-License-Identifier: Apache-2.0
#include "test/apiserver/authority.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <ctime>

#include "base/check.h"
#include "base/strings.h"

namespace keelson::apiserver {
namespace {

struct Free {
  void operator()(BIO* p) const { BIO_free(p); }
  void operator()(X509* p) const { X509_free(p); }
  void operator()(X509_REQ* p) const { X509_REQ_free(p); }
  void operator()(EVP_PKEY* p) const { EVP_PKEY_free(p); }
  void operator()(X509_EXTENSION* p) const { X509_EXTENSION_free(p); }
  void operator()(STACK_OF(X509_EXTENSION) * p) const {
    sk_X509_EXTENSION_pop_free(p, X509_EXTENSION_free);
  }
};
template <typename T>
using Owned = std::unique_ptr<T, Free>;

std::string Text(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  return std::string(data, static_cast<size_t>(size));
}
std::string Pem(X509* cert) {
  const Owned<BIO> bio(BIO_new(BIO_s_mem()));
  KEELSON_CHECK(PEM_write_bio_X509(bio.get(), cert) == 1);
  return Text(bio.get());
}
std::string Pem(EVP_PKEY* key) {
  const Owned<BIO> bio(BIO_new(BIO_s_mem()));
  KEELSON_CHECK(
      PEM_write_bio_PKCS8PrivateKey(bio.get(), key, nullptr, nullptr, 0, nullptr, nullptr) == 1);
  return Text(bio.get());
}

Owned<EVP_PKEY> NewKey() { return Owned<EVP_PKEY>(EVP_EC_gen("P-256")); }

void AddName(X509_NAME* name, const char* field, const std::string& value) {
  if (value.empty()) return;
  X509_NAME_add_entry_by_txt(name, field, MBSTRING_UTF8,
                             reinterpret_cast<const unsigned char*>(value.data()),
                             static_cast<int>(value.size()), -1, 0);
}

void AddExtension(X509* cert, X509* issuer, int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, cert, nullptr, nullptr, 0);
  const Owned<X509_EXTENSION> extension(X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str()));
  KEELSON_CHECK(extension != nullptr);
  X509_add_ext(cert, extension.get(), -1);
}

// Without subject, key and extensions.
Owned<X509> Blank(base::Nanos lifetime) {
  Owned<X509> cert(X509_new());
  X509_set_version(cert.get(), 2);
  int64_t serial = 0;
  RAND_bytes(reinterpret_cast<unsigned char*>(&serial), sizeof serial);
  ASN1_INTEGER_set_int64(X509_get_serialNumber(cert.get()), serial & INT64_MAX);
  const std::time_t now = std::time(nullptr);
  ASN1_TIME_set(X509_getm_notBefore(cert.get()), now - 60);
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(lifetime).count();
  ASN1_TIME_set(X509_getm_notAfter(cert.get()), now + seconds);
  return cert;
}

}  // namespace

struct Authority::State {
  Owned<EVP_PKEY> key;
  Owned<X509> cert;
};

Authority::~Authority() = default;

Authority::Authority(const std::string& name) : state_(std::make_unique<State>()) {
  state_->key = NewKey();
  state_->cert = Blank(std::chrono::hours(24 * 365));
  X509* cert = state_->cert.get();
  AddName(X509_get_subject_name(cert), "CN", name);
  X509_set_issuer_name(cert, X509_get_subject_name(cert));
  X509_set_pubkey(cert, state_->key.get());
  AddExtension(cert, cert, NID_basic_constraints, "critical,CA:TRUE");
  AddExtension(cert, cert, NID_key_usage, "critical,keyCertSign,digitalSignature");
  AddExtension(cert, cert, NID_subject_key_identifier, "hash");
  KEELSON_CHECK(X509_sign(cert, state_->key.get(), EVP_sha256()) > 0);
  ca_pem_ = Pem(cert);
}

KeyPair Authority::Issue(const Subject& subject, base::Nanos lifetime) {
  const Owned<EVP_PKEY> key = NewKey();
  const Owned<X509> cert = Blank(lifetime);
  AddName(X509_get_subject_name(cert.get()), "O", subject.organization);
  AddName(X509_get_subject_name(cert.get()), "CN", subject.common_name);
  X509_set_issuer_name(cert.get(), X509_get_subject_name(state_->cert.get()));
  X509_set_pubkey(cert.get(), key.get());
  std::string names;
  for (const auto& dns : subject.dns)
    base::StrAppend(&names, names.empty() ? "" : ",", "DNS:", dns);
  for (const auto& ip : subject.ips) base::StrAppend(&names, names.empty() ? "" : ",", "IP:", ip);
  if (!names.empty()) {
    AddExtension(cert.get(), state_->cert.get(), NID_subject_alt_name, names);
  }
  AddExtension(cert.get(), state_->cert.get(), NID_ext_key_usage, "serverAuth,clientAuth");
  KEELSON_CHECK(X509_sign(cert.get(), state_->key.get(), EVP_sha256()) > 0);
  return {Pem(cert.get()), Pem(key.get())};
}

std::string Authority::Sign(const std::string& request_pem, base::Nanos lifetime) {
  const Owned<BIO> bio(BIO_new_mem_buf(request_pem.data(), static_cast<int>(request_pem.size())));
  const Owned<X509_REQ> request(PEM_read_bio_X509_REQ(bio.get(), nullptr, nullptr, nullptr));
  if (request == nullptr) return "";
  EVP_PKEY* key = X509_REQ_get0_pubkey(request.get());
  if (key == nullptr || X509_REQ_verify(request.get(), key) != 1) return "";
  const Owned<X509> cert = Blank(lifetime);
  X509_set_subject_name(cert.get(), X509_REQ_get_subject_name(request.get()));
  X509_set_issuer_name(cert.get(), X509_get_subject_name(state_->cert.get()));
  X509_set_pubkey(cert.get(), key);
  const Owned<STACK_OF(X509_EXTENSION)> wanted(X509_REQ_get_extensions(request.get()));
  for (int i = 0; wanted != nullptr && i < sk_X509_EXTENSION_num(wanted.get()); ++i) {
    X509_add_ext(cert.get(), sk_X509_EXTENSION_value(wanted.get(), i), -1);
  }
  AddExtension(cert.get(), state_->cert.get(), NID_ext_key_usage, "serverAuth,clientAuth");
  KEELSON_CHECK(X509_sign(cert.get(), state_->key.get(), EVP_sha256()) > 0);
  return Pem(cert.get());
}

}  // namespace keelson::apiserver
