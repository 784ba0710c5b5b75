// SPDX-License-Identifier: Apache-2.0
#include "base/strings.h"
#include "base/time.h"
#include "kubelet/options/flags.h"
#include "kubelet/options/parts.h"
#include "proto/codec/codec.h"

namespace keelson::kubelet {

using base::StrAppend;
using base::StrCat;
using proto::Value;

namespace {

const char* KindWord(FlagKind kind) {
  switch (kind) {
    case FlagKind::kBool: return "";
    case FlagKind::kInt: return "=N";
    case FlagKind::kFloat: return "=NUMBER";
    case FlagKind::kString: return "=TEXT";
    case FlagKind::kDuration: return "=DURATION";
    case FlagKind::kList:
    case FlagKind::kIntList: return "=A,B,...";
    case FlagKind::kMap:
    case FlagKind::kBoolMap: return "=K=V,...";
    case FlagKind::kVModule: return "=PATTERN=N,...";
    case FlagKind::kLessMap: return "=SIGNAL<V,...";
    case FlagKind::kHeaders: return "=NAME:V,...";
    case FlagKind::kTaints: return "=K=V:EFFECT,...";
    case FlagKind::kReservedMemory: return "=NODE:K=V,...";
  }
  return "";
}

std::string DefaultOf(const FlagSpec& flag, const Value& defaults) {
  if (*flag.field == '\0') return flag.fallback;
  const Value* value = Lookup(defaults, flag.field);
  if (value == nullptr) return "";
  switch (value->kind) {
    case Value::Kind::kBool: return value->boolean ? "true" : "false";
    case Value::Kind::kList: {
      std::string text;
      for (const Value& item : value->items) StrAppend(&text, text.empty() ? "" : ",", item.text);
      return text;
    }
    default: return value->text;
  }
}

}  // namespace

std::string HelpText() {
  Configuration without_file;
  ApplyDefaults(Value::Map(), &without_file);
  ApplyLegacyDefaults(&without_file);
  auto tree = proto::EncodeTree(without_file);
  const Value defaults = tree.ok() ? std::move(*tree) : Value::Map();
  std::string text =
      "NAME\n  kubelet - runs the pods of one node\n\n"
      "SYNOPSIS\n  kubelet [--config=FILE] [--config-dir=DIR] [--kubeconfig=FILE] [FLAGS]\n\n"
      "DESCRIPTION\n"
      "  Settings come from flags, the file and the drop-ins; a flag wins over all files.\n"
      "  Defaults below hold without --config; the file has safer ones for access. Flags marked\n"
      "  with * also exist as a field of the file, which is preferred.\n\n"
      "  -h, --help\n      Prints this.\n"
      "  --version, --version=raw\n      Prints the version, or all that is known of it.\n";
  std::string_view section;
  for (const FlagSpec& flag : AllFlags()) {
    if (section != flag.section) StrAppend(&text, "\n", section = flag.section, "\n");
    const std::string_view name = flag.name;
    const std::string fallback = DefaultOf(flag, defaults);
    StrAppend(&text, "  ", name == "v" ? "-v, " : "", "--", name, KindWord(flag.kind),
              flag.deprecated && *flag.field != '\0' ? " *" : "", "\n      ", flag.help);
    if (!fallback.empty()) StrAppend(&text, " [", fallback, "]");
    StrAppend(&text, "\n");
  }
  return text;
}

std::string VersionText(std::string_view form) {
  if (form == "raw")
    return StrCat("version.Info{Major:\"1\", Minor:\"36\", GitVersion:\"", KubeletVersion(),
                  "\", Compiler:\"g++ " __VERSION__ "\"}\n");
  return StrCat("Kubernetes ", KubeletVersion(), "\n");
}

// The minor version is what clients look at; the rest is ours.
std::string_view KubeletVersion() { return "v1.36.0+keelson-" KEELSON_VERSION; }

}  // namespace keelson::kubelet
