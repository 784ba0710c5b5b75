// SPDX-License-Identifier: Apache-2.0
#include "probes/exec_words.h"

#include "absl/strings/escaping.h"
#include "absl/strings/str_join.h"
#include "base/strings.h"

namespace keelson::probes {

std::string Join(const std::vector<std::string>& words, std::string_view separator) {
  return absl::StrJoin(words, base::ToAbsl(separator));
}

std::string ExecOutput(const runtime::v1::ExecSyncResponse& response) {
  return base::StrCat(response.stdout(), response.stderr());
}

std::string ExecErrors(const runtime::v1::ExecSyncResponse& response) { return response.stderr(); }

std::string Quoted(std::string_view text) {
  return base::StrCat("\"", absl::Utf8SafeCHexEscape(base::ToAbsl(text)), "\"");
}

}  // namespace keelson::probes
