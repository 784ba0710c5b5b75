// SPDX-License-Identifier: Apache-2.0
// Debian 12 builds abseil with its own string_view, which is not std::string_view. The project speaks
// std::string_view; these few functions are the only bridge. Never call absl::StrCat directly.
#pragma once

#include <string>
#include <string_view>
#include <type_traits>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace keelson::base {

inline absl::string_view ToAbsl(std::string_view text) { return {text.data(), text.size()}; }
inline std::string_view ToStd(absl::string_view text) { return {text.data(), text.size()}; }
inline std::string_view Message(const absl::Status& status) { return ToStd(status.message()); }

namespace internal {
template <typename T>
decltype(auto) Piece(const T& value) {
  if constexpr (std::is_same_v<T, std::string_view>) return ToAbsl(value);
  else if constexpr (std::is_same_v<T, bool>) return value ? "true" : "false";
  else if constexpr (std::is_same_v<T, char>) return absl::string_view(&value, 1);
  else return (value);
}
}  // namespace internal

// absl::StrCat for everything it takes, std::string_view, bool ("true") and char besides.
template <typename... Ts>
std::string StrCat(const Ts&... values) {
  return absl::StrCat(internal::Piece(values)...);
}
template <typename... Ts>
void StrAppend(std::string* out, const Ts&... values) {
  absl::StrAppend(out, internal::Piece(values)...);
}

}  // namespace keelson::base
