// SPDX-License-Identifier: Apache-2.0
#include <cerrno>
#include <cstdlib>

#include "cni-plugins/lib/json.h"

namespace keelson::cni {

Reader Reader::operator[](std::string_view key) const {
  std::string path = path_.empty() ? std::string(key) : path_ + "." + std::string(key);
  if (given() && !value_->is_object()) Fail("must be an object");
  const Json* child = given() && value_->is_object() ? value_->Find(key) : nullptr;
  return Reader(child, error_, std::move(path));
}

std::vector<Reader> Reader::Items() const {
  std::vector<Reader> out;
  if (!given()) return out;
  if (!value_->is_array()) return Fail("must be a list"), out;
  for (size_t i = 0; i < value_->items().size(); ++i) {
    out.push_back(Reader(&value_->items()[i], error_, path_ + "[" + std::to_string(i) + "]"));
  }
  return out;
}

std::vector<std::pair<std::string, Reader>> Reader::Members() const {
  std::vector<std::pair<std::string, Reader>> out;
  if (!given()) return out;
  if (!value_->is_object()) return Fail("must be an object"), out;
  for (const Json::Member& m : value_->members()) out.emplace_back(m.name, (*this)[m.name]);
  return out;
}

std::string Reader::String(std::string_view fallback) const {
  if (!given()) return std::string(fallback);
  if (value_->kind() != Json::Kind::kString) return Fail("must be a string"), std::string(fallback);
  return value_->text();
}

bool Reader::Bool(bool fallback) const {
  if (!given()) return fallback;
  if (value_->kind() != Json::Kind::kBool) return Fail("must be true or false"), fallback;
  return value_->boolean();
}

int64_t Reader::Int(int64_t fallback, int64_t min, int64_t max) const {
  if (!given()) return fallback;
  errno = 0;
  char* end = nullptr;
  const int64_t n = std::strtoll(value_->text().c_str(), &end, 10);
  const bool whole = value_->kind() == Json::Kind::kNumber && *end == '\0' && errno == 0;
  if (!whole) return Fail("must be a whole number"), fallback;
  if (n < min || n > max) {
    Fail(value_->text() + " is not between " + std::to_string(min) + " and " + std::to_string(max));
    return fallback;
  }
  return n;
}

std::vector<std::string> Reader::Strings() const {
  std::vector<std::string> out;
  for (const Reader& item : Items()) {
    if (!item.given()) item.Fail("must be a string");
    out.push_back(item.String());
  }
  return out;
}

void Reader::Fail(const std::string& why) const {
  if (!error_->ok()) return;
  *error_ = Status::Invalid((path_.empty() ? "configuration" : path_) + ": " + why);
}

}  // namespace keelson::cni
