// SPDX-License-Identifier: Apache-2.0
// Authorities and client certificates for tests.
#pragma once

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <memory>
#include <string>
#include <vector>

namespace keelson::kubelet::auth {

struct Issued {
  std::shared_ptr<X509> certificate;
  std::shared_ptr<EVP_PKEY> key;

  std::string Pem() const {
    BIO* out = BIO_new(BIO_s_mem());
    PEM_write_bio_X509(out, certificate.get());
    return Take(out);
  }
  std::string KeyPem() const {
    BIO* out = BIO_new(BIO_s_mem());
    PEM_write_bio_PrivateKey(out, key.get(), nullptr, nullptr, 0, nullptr, nullptr);
    return Take(out);
  }
  std::string Der() const {
    unsigned char* bytes = nullptr;
    const int size = i2d_X509(certificate.get(), &bytes);
    std::string der(reinterpret_cast<char*>(bytes), static_cast<size_t>(size));
    OPENSSL_free(bytes);
    return der;
  }

 private:
  static std::string Take(BIO* out) {
    char* data = nullptr;
    const long size = BIO_get_mem_data(out, &data);
    std::string text(data, static_cast<size_t>(size));
    BIO_free(out);
    return text;
  }
};

struct Wanted {
  std::string name;
  std::vector<std::string> organizations{};
  bool authority = false;
  std::string usage = "clientAuth";
  int64_t not_before = 1'700'000'000;
  int64_t not_after = 2'500'000'000;
};

// By `issuer`, or by itself.
inline Issued Issue(const Wanted& want, const Issued* issuer = nullptr) {
  static int64_t serial = 1;
  Issued out;
  out.key.reset(EVP_EC_gen("P-256"), EVP_PKEY_free);
  out.certificate.reset(X509_new(), X509_free);
  X509* cert = out.certificate.get();
  X509_set_version(cert, X509_VERSION_3);
  ASN1_INTEGER_set_int64(X509_get_serialNumber(cert), ++serial);
  ASN1_TIME_set(X509_getm_notBefore(cert), want.not_before);
  ASN1_TIME_set(X509_getm_notAfter(cert), want.not_after);
  auto entry = [&](const char* field, const std::string& value) {
    X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), field, MBSTRING_UTF8,
                               reinterpret_cast<const unsigned char*>(value.c_str()), -1, -1, 0);
  };
  for (const std::string& organization : want.organizations) entry("O", organization);
  if (!want.name.empty()) entry("CN", want.name);
  X509* signer = issuer ? issuer->certificate.get() : cert;
  X509_set_issuer_name(cert, X509_get_subject_name(signer));
  X509_set_pubkey(cert, out.key.get());
  auto extend = [&](int nid, const char* value) {
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, signer, cert, nullptr, nullptr, 0);
    X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &ctx, nid, value);
    X509_add_ext(cert, extension, -1);
    X509_EXTENSION_free(extension);
  };
  extend(NID_basic_constraints, want.authority ? "critical,CA:TRUE" : "critical,CA:FALSE");
  if (!want.authority && !want.usage.empty()) extend(NID_ext_key_usage, want.usage.c_str());
  X509_sign(cert, issuer ? issuer->key.get() : out.key.get(), EVP_sha256());
  return out;
}

}  // namespace keelson::kubelet::auth
