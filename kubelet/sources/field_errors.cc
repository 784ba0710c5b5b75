// SPDX-License-Identifier: Apache-2.0
#include "kubelet/sources/field_errors.h"

#include "base/strings.h"

namespace keelson::kubelet::sources {

using base::StrCat;

FieldPath FieldPath::Child(std::string_view name) const {
  return FieldPath(text_.empty() ? std::string(name) : StrCat(text_, ".", name));
}

FieldPath FieldPath::Index(int index) const { return FieldPath(StrCat(text_, "[", index, "]")); }

FieldPath FieldPath::Key(std::string_view key) const {
  return FieldPath(StrCat(text_, "[", key, "]"));
}

std::string Quoted(std::string_view text) {
  static constexpr char kHex[] = "0123456789abcdef";
  std::string out = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\r') {
      out += "\\r";
    } else if (c == '\t') {
      out += "\\t";
    } else if (byte < 0x20 || byte == 0x7f) {
      out += "\\x";
      out += kHex[byte >> 4];
      out += kHex[byte & 15];
    } else {
      out += c;
    }
  }
  return out + "\"";
}

void FieldErrors::Add(const FieldPath& path, std::string body, std::string_view detail) {
  if (!detail.empty()) base::StrAppend(&body, ": ", detail);
  all_.push_back({path.text(), std::move(body)});
}

void FieldErrors::Required(const FieldPath& path, std::string_view detail) {
  Add(path, "Required value", detail);
}

void FieldErrors::Invalid(const FieldPath& path, std::string_view value, std::string_view detail) {
  Add(path, StrCat("Invalid value: ", Quoted(value)), detail);
}

void FieldErrors::Invalid(const FieldPath& path, int64_t value, std::string_view detail) {
  Add(path, StrCat("Invalid value: ", value), detail);
}

void FieldErrors::InvalidJson(const FieldPath& path, std::string_view json,
                              std::string_view detail) {
  Add(path, StrCat("Invalid value: ", json), detail);
}

void FieldErrors::InvalidAll(const FieldPath& path, std::string_view value,
                             const std::vector<std::string>& details) {
  for (const std::string& detail : details) Invalid(path, value, detail);
}

void FieldErrors::Duplicate(const FieldPath& path, std::string_view value) {
  Add(path, StrCat("Duplicate value: ", Quoted(value)), {});
}

void FieldErrors::NotFound(const FieldPath& path, std::string_view value,
                           std::string_view detail) {
  Add(path, StrCat("Not found: ", Quoted(value)), detail);
}

void FieldErrors::NotSupported(const FieldPath& path, std::string_view value,
                               std::initializer_list<std::string_view> supported) {
  std::string detail = "supported values: ";
  for (auto it = supported.begin(); it != supported.end(); ++it) {
    base::StrAppend(&detail, it == supported.begin() ? "" : ", ", Quoted(*it));
  }
  Add(path, StrCat("Unsupported value: ", Quoted(value)), detail);
}

void FieldErrors::Forbidden(const FieldPath& path, std::string_view detail) {
  Add(path, "Forbidden", detail);
}

void FieldErrors::TooLong(const FieldPath& path, int max_bytes) {
  Add(path, "Too long", StrCat("may not be more than ", max_bytes, " bytes"));
}

void FieldErrors::TooMany(const FieldPath& path, int count, int max) {
  Add(path, StrCat("Too many: ", count), StrCat("must have at most ", max, " items"));
}

}  // namespace keelson::kubelet::sources
