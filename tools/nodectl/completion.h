// SPDX-License-Identifier: Apache-2.0
// Shell completion scripts of nodectl.
#pragma once

#include <string_view>

namespace keelson::nodectl {

// For bash, zsh or fish; empty for any other shell.
std::string_view CompletionScript(std::string_view shell);

}  // namespace keelson::nodectl
