// SPDX-License-Identifier: Apache-2.0
// Field and label selectors of lists and watches, as a server reads them. Pure.
#pragma once

#include <string>
#include <vector>

#include "kubelet/client/api_server.h"

namespace keelson::apiserver {

using kubelet::client::Message;

// "a=b,c!=d" on fields by their JSON paths, and on labels ("a", "!a", "a=b", "a!=b" there).
class Selector {
 public:
  Selector(const std::string& fields, const std::string& labels);
  bool Matches(const Message& object) const;

 private:
  struct Term {
    std::string key, value;
    enum { kEquals, kDiffers, kExists, kAbsent } op;
    bool is_label;
  };
  static std::vector<Term> Parse(const std::string& text, bool labels);
  std::vector<Term> terms_;
};

}  // namespace keelson::apiserver
