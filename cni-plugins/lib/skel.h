// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "cni-plugins/lib/types.h"

namespace keelson::cni {

// What a call to a plugin gives back to the runtime.
struct Answer {
  int exit_code = 0;
  std::string out;  // for stdout: a result, an error, or nothing
  std::string err;  // for stderr: the about line
};

using GetEnv = std::function<std::string(const char* name)>;
using ReadStdin = std::function<Or<std::string>()>;

// Serves one call of the plugin `entry`: checks environment and configuration as the specification
// says, runs the verb, spells the result in the version asked for. Never throws and never writes to
// stdout itself.
Answer Serve(const PluginEntry& entry, const GetEnv& env, const ReadStdin& read_stdin);

// The same with this process's environment and stdin, then prints the answer. Returns the exit
// code.
int PluginMain(const PluginEntry& entry);

// An error as the specification's section 5 spells it.
std::string ErrorJson(const Status& status, std::string_view version);

// Whether `ifname` may name a device: 1 to 15 bytes, no '/', ':' or space, not "." or "..".
Status CheckIfName(std::string_view ifname);

}  // namespace keelson::cni
