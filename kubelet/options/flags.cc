// SPDX-License-Identifier: Apache-2.0
// Not CLI11: to it `--resolv-conf=` lacks a value and takes the next argument, while to pflag, and so
// to every unit file that exists, it is the empty text.
#include "kubelet/options/flags.h"

#include <algorithm>

#include "absl/strings/numbers.h"
#include "base/strings.h"
#include "proto/codec/duration.h"

namespace keelson::kubelet {

using base::StrCat;
using proto::Value;

namespace {

std::vector<std::string> Split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  while (!text.empty()) {
    size_t end = text.find(separator);
    if (end != 0) parts.emplace_back(text.substr(0, end));
    if (end == std::string_view::npos) break;
    text.remove_prefix(end + 1);
  }
  return parts;
}

std::string Trim(std::string_view text) {
  size_t first = text.find_first_not_of(" \t\n");
  if (first == std::string_view::npos) return "";
  return std::string(text.substr(first, text.find_last_not_of(" \t\n") - first + 1));
}

absl::Status Bad(const GivenFlag& flag, std::string_view text, std::string_view why) {
  return absl::InvalidArgumentError(
      StrCat("invalid argument \"", text, "\" for \"--", flag.spec->name, "\" flag: ", why));
}

// strconv.ParseBool
int BoolOf(std::string_view text) {
  for (const char* word : {"1", "t", "T", "true", "TRUE", "True"})
    if (text == word) return 1;
  for (const char* word : {"0", "f", "F", "false", "FALSE", "False"})
    if (text == word) return 0;
  return -1;
}

absl::StatusOr<Value> Scalar(const GivenFlag& flag, const std::string& text) {
  switch (flag.spec->kind) {
    case FlagKind::kBool: {
      int value = BoolOf(text);
      if (value < 0)
        return Bad(flag, text, StrCat("strconv.ParseBool: parsing \"", text, "\": invalid syntax"));
      return Value::Bool(value == 1);
    }
    case FlagKind::kInt: {
      int64_t value = 0;
      if (!absl::SimpleAtoi(text, &value))
        return Bad(flag, text, StrCat("strconv.ParseInt: parsing \"", text, "\": invalid syntax"));
      return Value::Number(StrCat(value));
    }
    case FlagKind::kFloat: {
      double value = 0;
      if (!absl::SimpleAtod(text, &value))
        return Bad(flag, text, StrCat("strconv.ParseFloat: parsing \"", text, "\": invalid syntax"));
      return Value::Number(StrCat(value));
    }
    case FlagKind::kDuration:
      if (!proto::ParseGoDuration(text).ok())
        return Bad(flag, text, StrCat("time: invalid duration \"", text, "\""));
      return Value::String(text);
    default: return Value::String(text);
  }
}

absl::StatusOr<Value> MapOf(const GivenFlag& flag, char separator) {
  Value map = Value::Map();
  for (const std::string& text : flag.texts)
    for (const std::string& pair : Split(text, ',')) {
      size_t at = pair.find(separator);
      if (at == std::string::npos)
        return Bad(flag, text, StrCat("malformed pair, expect string", separator, "string"));
      std::string key = Trim(pair.substr(0, at)), value = Trim(pair.substr(at + 1));
      if (flag.spec->kind != FlagKind::kBoolMap) {
        Slot(map, StrCat("\x01", key)) = Value::String(value);
        continue;
      }
      int on = BoolOf(value);
      if (on < 0)
        return Bad(flag, text,
                   StrCat("invalid value of ", key, "=", value,
                          ", err: strconv.ParseBool: parsing \"", value, "\": invalid syntax"));
      Slot(map, StrCat("\x01", key)) = Value::Bool(on == 1);
    }
  return map;
}

absl::StatusOr<Value> HeadersOf(const GivenFlag& flag) {
  Value map = Value::Map();
  for (const std::string& text : flag.texts)
    for (const std::string& pair : Split(text, ',')) {
      size_t at = pair.find(':');
      if (at == std::string::npos) return Bad(flag, text, "malformed pair, expect string:string");
      Value& list = Slot(map, StrCat("\x01", Trim(pair.substr(0, at))));
      if (list.kind != Value::Kind::kList) list = Value::List();
      list.items.push_back(Value::String(Trim(pair.substr(at + 1))));
    }
  return map;
}

absl::StatusOr<Value> VModuleOf(const GivenFlag& flag) {
  Value list = Value::List();
  for (const std::string& text : flag.texts)
    for (const std::string& pair : Split(text, ',')) {
      size_t at = pair.find('=');
      uint32_t level = 0;
      if (at == 0 || at == std::string::npos || !absl::SimpleAtoi(pair.substr(at + 1), &level))
        return Bad(flag, text, StrCat("\"", pair, "\" does not have the pattern=N format"));
      Value& item = list.items.emplace_back(Value::Map());
      Slot(item, "filePattern") = Value::String(pair.substr(0, at));
      Slot(item, "verbosity") = Value::Number(StrCat(level));
    }
  return list;
}

absl::StatusOr<Value> IntListOf(const GivenFlag& flag) {
  Value list = Value::List();
  for (const std::string& text : flag.texts)
    for (const std::string& item : Split(text, ',')) {
      int32_t number = 0;
      if (!absl::SimpleAtoi(item, &number))
        return Bad(flag, text, StrCat("strconv.Atoi: parsing \"", item, "\": invalid syntax"));
      list.items.push_back(Value::Number(StrCat(number)));
    }
  return list;
}

absl::StatusOr<Value> TaintsOf(const GivenFlag& flag) {
  Value list = Value::List();
  for (const std::string& text : flag.texts)
    for (const std::string& taint : Split(text, ',')) {
      size_t colon = taint.find(':');
      std::string key = taint.substr(0, colon), value, effect;
      if (colon != std::string::npos) effect = taint.substr(colon + 1);
      if (size_t equals = key.find('='); equals != std::string::npos) {
        value = key.substr(equals + 1);
        key.resize(equals);
      }
      if (effect != "NoSchedule" && effect != "PreferNoSchedule" && effect != "NoExecute")
        return Bad(flag, text,
                   StrCat("invalid taint effect: ", effect, ", unsupported taint effect"));
      Value& item = list.items.emplace_back(Value::Map());
      Slot(item, "key") = Value::String(key);
      if (!value.empty()) Slot(item, "value") = Value::String(value);
      Slot(item, "effect") = Value::String(effect);
    }
  return list;
}

absl::StatusOr<Value> ReservedMemoryOf(const GivenFlag& flag) {
  Value list = Value::List();
  for (const std::string& text : flag.texts)
    for (const std::string& node : Split(text, ';')) {
      size_t colon = node.find(':');
      int id = -1;
      if (colon == std::string::npos || !absl::SimpleAtoi(node.substr(0, colon), &id) || id < 0)
        return Bad(flag, text, "the argument has the form node:memory=quantity,...;node:...");
      GivenFlag limits{flag.spec, {node.substr(colon + 1)}};
      auto map = MapOf(limits, '=');
      if (!map.ok()) return map.status();
      Value& item = list.items.emplace_back(Value::Map());
      Slot(item, "numaNode") = Value::Number(StrCat(id));
      Slot(item, "limits") = std::move(*map);
    }
  return list;
}

// Splits "--name=value"; `has_value` tells "--x=" from "--x".
struct Word {
  std::string name, value;
  bool has_value = false;
};

Word ReadWord(std::string_view argument) {
  Word word;
  const bool is_long = argument.starts_with("--");
  std::string_view body = argument.substr(is_long ? 2 : 1);
  size_t equals = body.find('=');
  word.name = body.substr(0, equals);
  if (equals != std::string_view::npos) {
    word.value = body.substr(equals + 1);
    word.has_value = true;
  } else if (!is_long && body.size() > 1) {  // -v4
    word.name = body.substr(0, 1);
    word.value = body.substr(1);
    word.has_value = true;
  }
  std::replace(word.name.begin(), word.name.end(), '_', '-');
  return word;
}

void Record(CommandLine& line, const FlagSpec* spec, std::string text) {
  for (GivenFlag& given : line.flags)
    if (given.spec == spec) return given.texts.push_back(std::move(text));
  line.flags.push_back({spec, {std::move(text)}});
}

}  // namespace

// A key that begins with \x01 is one name as it stands, dots included.
Value& Slot(Value& tree, std::string_view dotted) {
  if (tree.kind != Value::Kind::kMap) tree = Value::Map();
  const bool literal = dotted.starts_with('\x01');
  if (literal) dotted.remove_prefix(1);
  size_t dot = literal ? std::string_view::npos : dotted.find('.');
  std::string_view key = dotted.substr(0, dot);
  Value* next = tree.Find(key);
  if (next == nullptr) next = &tree.members.emplace_back(proto::Member{std::string(key), 0, {}}).value;
  return dot == std::string_view::npos ? *next : Slot(*next, dotted.substr(dot + 1));
}

const Value* Lookup(const Value& tree, std::string_view dotted) {
  size_t dot = dotted.find('.');
  const Value* next = tree.Find(dotted.substr(0, dot));
  if (next == nullptr || dot == std::string_view::npos) return next;
  return next->kind == Value::Kind::kMap ? Lookup(*next, dotted.substr(dot + 1)) : nullptr;
}

const FlagSpec* FindFlag(std::string_view name) {
  for (const FlagSpec& spec : AllFlags())
    if (name == spec.name) return &spec;
  return nullptr;
}

absl::StatusOr<CommandLine> ParseCommandLine(std::span<const std::string> args) {
  CommandLine line;
  for (size_t i = 0; i < args.size(); ++i) {
    const std::string& argument = args[i];
    if (argument.size() < 2 || argument[0] != '-' || argument == "--") {
      if (argument == "--" && i + 1 == args.size()) break;
      return absl::InvalidArgumentError(
          StrCat("unknown command ", argument == "--" ? args[i + 1] : argument));
    }
    Word word = ReadWord(argument);
    const bool is_long = argument.starts_with("--");
    if ((is_long && word.name == "help") || (!is_long && word.name == "h")) {
      line.help = true;
      continue;
    }
    if (is_long && word.name == "version") {
      line.version = word.has_value ? word.value : "true";
      if (line.version != "raw" && BoolOf(line.version) < 0)
        return absl::InvalidArgumentError(StrCat("invalid argument \"", line.version,
                                                 "\" for \"--version\" flag: it is true, false or raw"));
      if (BoolOf(line.version) == 0) line.version.clear();
      continue;
    }
    const FlagSpec* spec = is_long || word.name == "v" ? FindFlag(word.name) : nullptr;
    if (spec == nullptr)
      return absl::InvalidArgumentError(
          is_long ? StrCat("unknown flag: --", word.name)
                  : StrCat("unknown shorthand flag: '", word.name, "' in ", argument));
    if (!word.has_value && spec->kind == FlagKind::kBool) {
      word.value = "true";
    } else if (!word.has_value) {
      if (i + 1 == args.size())
        return absl::InvalidArgumentError(StrCat("flag needs an argument: --", word.name));
      word.value = args[++i];
    }
    Record(line, spec, std::move(word.value));
  }
  return line;
}

absl::StatusOr<Value> ValueOfFlag(const GivenFlag& flag) {
  switch (flag.spec->kind) {
    case FlagKind::kList: {
      Value list = Value::List();
      for (const std::string& text : flag.texts)
        for (std::string& item : Split(text, ',')) list.items.push_back(Value::String(Trim(item)));
      return list;
    }
    case FlagKind::kMap:
    case FlagKind::kBoolMap: return MapOf(flag, '=');
    case FlagKind::kLessMap: return MapOf(flag, '<');
    case FlagKind::kHeaders: return HeadersOf(flag);
    case FlagKind::kIntList: return IntListOf(flag);
    case FlagKind::kVModule: return VModuleOf(flag);
    case FlagKind::kTaints: return TaintsOf(flag);
    case FlagKind::kReservedMemory: return ReservedMemoryOf(flag);
    default: break;
  }
  absl::StatusOr<Value> last;
  for (const std::string& text : flag.texts) {  // every one must be good, the last counts
    last = Scalar(flag, text);
    if (!last.ok()) return last;
  }
  return last;
}

}  // namespace keelson::kubelet
