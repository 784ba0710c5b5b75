// SPDX-License-Identifier: Apache-2.0
// A certificate authority for tests: everything in memory, as PEM.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/time.h"

namespace keelson::apiserver {

struct KeyPair {
  std::string cert_pem, key_pem;
};

struct Subject {
  std::string common_name;
  std::string organization;           // empty: none
  std::vector<std::string> dns, ips;  // subject alternative names
};

class Authority {
 public:
  explicit Authority(const std::string& name);
  ~Authority();
  const std::string& ca_pem() const { return ca_pem_; }
  // A new key (ECDSA P-256) and its certificate, good from now for `lifetime`.
  KeyPair Issue(const Subject& subject, base::Nanos lifetime = std::chrono::hours(24));
  // The certificate a PKCS #10 request (PEM) asks for; empty when it is none or its signature is
  // wrong.
  std::string Sign(const std::string& request_pem, base::Nanos lifetime = std::chrono::hours(24));

 private:
  struct State;
  std::unique_ptr<State> state_;
  std::string ca_pem_;
};

}  // namespace keelson::apiserver
