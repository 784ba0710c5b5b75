// SPDX-License-Identifier: Apache-2.0
#include "base/hash.h"

#include "absl/strings/str_format.h"

namespace keelson::base {

uint32_t Fnv1a32(std::string_view data) {
  uint32_t hash = 2166136261U;
  for (unsigned char c : data) hash = (hash ^ c) * 16777619U;
  return hash;
}

std::string Fnv1a128Hex(std::string_view data) {
  __extension__ using U128 = unsigned __int128;
  constexpr U128 kPrime = (static_cast<U128>(0x0000000001000000ULL) << 64) | 0x000000000000013BULL;
  U128 hash = (static_cast<U128>(0x6c62272e07bb0142ULL) << 64) | 0x62b821756295c58dULL;
  for (unsigned char c : data) hash = (hash ^ c) * kPrime;
  return absl::StrFormat("%016x%016x", static_cast<uint64_t>(hash >> 64),
                         static_cast<uint64_t>(hash));
}

}  // namespace keelson::base
