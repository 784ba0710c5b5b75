// SPDX-License-Identifier: Apache-2.0
// Who a client certificate says its holder is, when an authority of clientCAFile says so too.
// Pure but for OpenSSL; any thread.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "base/time.h"
#include "kubelet/auth/reviews.h"

namespace keelson::kubelet::auth {

// Authorities that may vouch for clients.
class ClientAuthorities {
 public:
  // InvalidArgument: no certificate in the PEM.
  static absl::StatusOr<std::shared_ptr<const ClientAuthorities>> Parse(std::string_view pem);
  ~ClientAuthorities();

  // `chain` in DER, leaf first. The user is the leaf's common name, its groups the organizations
  // (upstream's CommonNameUserConversion). Unauthenticated: not signed by one of ours, not valid at
  // `now`, or not meant for clients. An empty name is a user nobody grants anything.
  absl::StatusOr<User> Verify(const std::vector<std::string>& chain, base::WallTime now) const;

 private:
  struct Store;
  explicit ClientAuthorities(std::unique_ptr<Store> store);
  const std::unique_ptr<Store> store_;
};

}  // namespace keelson::kubelet::auth
