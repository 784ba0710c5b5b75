// SPDX-License-Identifier: Apache-2.0
// What may be called what (apimachinery util/validation). Each function returns the complaints
// about a value, in upstream's words; none means fine. Linear in the size of the value. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace keelson::kubelet::sources {

using Complaints = std::vector<std::string>;

Complaints Dns1123Label(std::string_view value);
Complaints Dns1123Subdomain(std::string_view value);
// As above, with `_` allowed, as in DNS search paths.
Complaints Dns1123SubdomainWithUnderscore(std::string_view value);
// A label or annotation key: an optional DNS prefix, a slash, a name.
Complaints QualifiedName(std::string_view value);
Complaints LabelValue(std::string_view value);
Complaints PortNumber(int64_t port);
Complaints PortName(std::string_view value);
Complaints HttpHeaderName(std::string_view value);
Complaints EnvVarName(std::string_view value);  // the relaxed rule: printable ASCII without '='
Complaints ConfigMapKey(std::string_view value);
Complaints UserId(int64_t id);
Complaints GroupId(int64_t id);
// An address in any form the API ever took, leading zeros in IPv4 included.
bool IsIpAddress(std::string_view text);
bool IsSysctlName(std::string_view value);
std::string RangeComplaint(int64_t low, int64_t high);

std::string Lower(std::string_view text);
std::vector<std::string_view> Split(std::string_view text, char separator);

}  // namespace keelson::kubelet::sources
