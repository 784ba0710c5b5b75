// SPDX-License-Identifier: Apache-2.0
// The command line: one table of flags, read the way pflag reads them. Pure.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "proto/codec/value.h"

namespace keelson::kubelet {

// How the text of a flag becomes a value of the configuration.
enum class FlagKind {
  kBool, kInt, kFloat, kString, kDuration,
  kList,            // a,b; again adds
  kMap,             // k=v,...; again adds
  kBoolMap,         // k=true,...
  kIntList,
  kVModule,         // pattern=N,...
  kLessMap,         // signal<value,...
  kHeaders,         // name:value,... ; a name may come again
  kTaints,          // key=value:Effect,...
  kReservedMemory,  // node:memory=1Gi,hugepages-1M=2Gi;node:...
};

struct FlagSpec {
  const char* section;
  const char* name;      // without dashes
  const char* field;     // dotted field of KubeletConfiguration, or "" for what exists as a flag only
  FlagKind kind;
  const char* fallback;  // shown by --help for flags without field
  const char* help;
  bool deprecated;       // in favour of the field
};

std::span<const FlagSpec> AllFlags();
const FlagSpec* FindFlag(std::string_view name);

struct GivenFlag {
  const FlagSpec* spec;
  std::vector<std::string> texts;  // every occurrence, in order
};

struct CommandLine {
  std::vector<GivenFlag> flags;  // in order of first appearance, each once
  bool help = false;
  std::string version;  // "", "true" or "raw"
};

// InvalidArgument in upstream's words: unknown flag, missing argument, unknown command.
absl::StatusOr<CommandLine> ParseCommandLine(std::span<const std::string> args);

// All occurrences of a flag as one value. InvalidArgument names flag and text.
absl::StatusOr<proto::Value> ValueOfFlag(const GivenFlag& flag);

// "a.b" below a map, made on the way. REQUIRES: what is on the way is a map or absent.
proto::Value& Slot(proto::Value& tree, std::string_view dotted);
const proto::Value* Lookup(const proto::Value& tree, std::string_view dotted);

}  // namespace keelson::kubelet
