// SPDX-License-Identifier: Apache-2.0
// What the checks of volumes share. Private to this folder.
#pragma once

#include <string>
#include <string_view>

#include "kubelet/sources/checks.h"

namespace keelson::kubelet::sources {

// Shared by the sources of one volume.
struct At {
  FieldPath path;
  FieldErrors* errors;

  At operator/(std::string_view field) const { return {path.Child(field), errors}; }
  void Require(const std::string& value, std::string_view field) const {
    if (value.empty()) errors->Required(path.Child(field));
  }
  void Range(int64_t value, int64_t low, int64_t high, std::string_view field) const {
    if (value >= low && value <= high) return;
    errors->Invalid(path.Child(field), value, RangeComplaint(low, high));
  }
};

// Counts the sources of a volume: the second and later ones are forbidden and not looked at.
class OneSource {
 public:
  explicit OneSource(const At& at) : at_(at) {}
  int count() const { return count_; }
  // Runs `check` when the source is there and the first.
  template <typename F>
  void Take(bool present, std::string_view name, F check) {
    if (!present) return;
    if (++count_ > 1) {
      at_.errors->Forbidden(at_.path.Child(name), "may not specify more than 1 volume type");
    } else {
      check(at_ / name);
    }
  }

 private:
  const At& at_;
  int count_ = 0;
};

// validate_storage.cc: sources for other people's storage.
void CheckStorage(const v1::VolumeSource& source, OneSource* one);
void CheckIscsi(const v1::ISCSIVolumeSource& iscsi, const std::string& volume, const At& at,
                const FieldPath& volume_path);

}  // namespace keelson::kubelet::sources
