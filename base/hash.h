// SPDX-License-Identifier: Apache-2.0
// FNV-1a, the hash upstream's container hash and static pod UIDs are made with.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace keelson::base {
uint32_t Fnv1a32(std::string_view data);
// 32 lower-case hex digits of the 128-bit FNV-1a hash.
std::string Fnv1a128Hex(std::string_view data);
}  // namespace keelson::base
