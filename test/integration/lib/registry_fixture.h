// SPDX-License-Identifier: Apache-2.0
// An image registry on a loopback port of its own, filled from the private containerd's images.
// Ends with the test. One thread.
#pragma once

#include <sys/types.h>

#include <string>

namespace keelson::integration {

class Registry {
 public:
  // `htpasswd`: lines of user names and bcrypt hashes; empty: open to everybody.
  explicit Registry(const std::string& htpasswd = "");
  Registry(const Registry&) = delete;
  Registry& operator=(const Registry&) = delete;
  ~Registry();

  // "127.0.0.1:<port>"; on the same port again after Stop and Start.
  const std::string& address() const { return address_; }
  void Start();
  void Stop();

  // Puts an image of the containerd here as "<address>/<name>", which it returns; the containerd
  // does not keep it by that name. `login`: "user:password" or empty.
  std::string Push(const std::string& image, const std::string& name, const std::string& login = "");
  // How often the manifest of "<name>" was asked for and given.
  int ManifestsGiven(const std::string& name) const;

 private:
  std::string Log() const;

  std::string dir_, address_ = "127.0.0.1:0";
  pid_t pid_ = 0;
  size_t log_start_ = 0;  // of the present process
};

}  // namespace keelson::integration
