// SPDX-License-Identifier: Apache-2.0
// Amounts of CPU, memory and the like: "100m", "1.5Gi", "1e3". Meaning and canonical text are those
// of apimachinery's resource.Quantity.
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace k8s::resource {
class Quantity;
}

namespace keelson::proto {

// A fixed-point number, exact to nano, and the family of suffixes it is printed with.
// Plain data. Bounded: magnitudes up to 1e29, larger ones do not parse and sums stick at the bound.
class Quantity {
 public:
  enum class Format { kDecimalSi, kBinarySi, kDecimalExponent };

  Quantity() = default;  // 0
  // An integer, and thousandths, e.g. FromMilli(1500) is "1500m".
  static Quantity FromValue(int64_t value, Format format = Format::kDecimalSi);
  static Quantity FromMilli(int64_t milli, Format format = Format::kDecimalSi);
  // More than nine decimals are rounded away from zero. InvalidArgument says which part is wrong.
  static absl::StatusOr<Quantity> Parse(std::string_view text);
  // Of a message field; empty text is 0.
  static absl::StatusOr<Quantity> From(const k8s::resource::Quantity& message);

  // Rounded away from zero, so that a limit never loses its last fraction; sticks at int64's ends.
  int64_t Value() const;
  int64_t MilliValue() const;
  double AsDouble() const;
  bool IsZero() const { return nanos_ == 0; }
  int Sign() const { return nanos_ < 0 ? -1 : nanos_ > 0 ? 1 : 0; }
  Format format() const { return format_; }

  // Zero takes the format of the other side, as upstream: 0 + 1Gi prints as 1Gi.
  void Add(const Quantity& other);
  void Sub(const Quantity& other);
  void Neg();
  std::strong_ordering operator<=>(const Quantity& other) const { return nanos_ <=> other.nanos_; }
  bool operator==(const Quantity& other) const { return nanos_ == other.nanos_; }

  // Canonical text. Like upstream, a parsed text that is already close to canonical stays as
  // written.
  std::string ToString() const;
  void To(k8s::resource::Quantity* message) const;

 private:
  std::string Canonical() const;
  std::string DecimalText(Format format) const;

  __extension__ typedef __int128 Int128;
  Int128 nanos_ = 0;
  Format format_ = Format::kDecimalSi;
  std::string text_;  // as parsed, or empty when Canonical() must say
};

}  // namespace keelson::proto
