// SPDX-License-Identifier: Apache-2.0
// OpenSSL's objects with owners, its errors as statuses, PEM without prompts. For .cc files of targets
// that link OpenSSL::Crypto. Any thread: OpenSSL's queue of errors is the thread's own.
#pragma once

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "base/strings.h"

namespace keelson::base {

struct OpensslFree {
  void operator()(BIO* bio) const { BIO_free_all(bio); }
  void operator()(X509* cert) const { X509_free(cert); }
  void operator()(X509_REQ* request) const { X509_REQ_free(request); }
  void operator()(X509_STORE* store) const { X509_STORE_free(store); }
  void operator()(X509_STORE_CTX* context) const { X509_STORE_CTX_free(context); }
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
  void operator()(X509_EXTENSION* extension) const { X509_EXTENSION_free(extension); }
  void operator()(GENERAL_NAMES* names) const { GENERAL_NAMES_free(names); }
  void operator()(STACK_OF(X509) * list) const { sk_X509_pop_free(list, X509_free); }
  void operator()(STACK_OF(X509_EXTENSION) * list) const {
    sk_X509_EXTENSION_pop_free(list, X509_EXTENSION_free);
  }
};
template <typename T>
using OpensslPtr = std::unique_ptr<T, OpensslFree>;

// InvalidArgument with what OpenSSL complains about first; its queue is empty afterwards.
inline absl::Status OpensslError(std::string_view what) {
  const unsigned long code = ERR_get_error();
  ERR_clear_error();
  char text[256] = "no reason given";
  if (code != 0) ERR_error_string_n(code, text, sizeof(text));
  return absl::InvalidArgumentError(StrCat(what, ": ", text));
}

// Reads `text`, which outlives it.
inline OpensslPtr<BIO> BioOf(std::string_view text) {
  return OpensslPtr<BIO>(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

// What was written into a memory BIO.
inline std::string TextOf(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  return std::string(data, static_cast<size_t>(size));
}

// The first private key; null when there is none that we can use. An encrypted one is none: OpenSSL
// would ask the terminal for its passphrase, and wait.
inline OpensslPtr<EVP_PKEY> ReadPrivateKey(std::string_view pem) {
  const OpensslPtr<BIO> in = BioOf(pem);
  const auto nothing = [](char*, int, int, void*) { return -1; };
  OpensslPtr<EVP_PKEY> key(PEM_read_bio_PrivateKey(in.get(), nullptr, nothing, nullptr));
  if (!key) ERR_clear_error();
  return key;
}

}  // namespace keelson::base
