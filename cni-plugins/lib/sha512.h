// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

namespace keelson::cni {

// 128 lower-case hex digits of the SHA-512 hash (FIPS 180-4). The Go plugins name devices by it,
// and a device made by one must be found by the other; OpenSSL would be larger than all our
// plugins.
std::string Sha512Hex(std::string_view data);

}  // namespace keelson::cni
