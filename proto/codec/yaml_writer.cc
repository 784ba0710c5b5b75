// SPDX-License-Identifier: Apache-2.0
// Block style YAML that every YAML 1.1 and 1.2 reader understands the same way.
#include "proto/codec/text.h"

namespace keelson::proto {
namespace {

using Kind = Value::Kind;

bool IsAlnum(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

// Text that needs no quotes: harmless characters, and no other type when read back.
bool IsPlain(std::string_view text) {
  if (text.empty() || text.size() > 128) return false;
  if (!IsAlnum(text[0]) && text[0] != '/' && text[0] != '_' && text[0] != '.') return false;
  if (text.back() == ':' || text.back() == ' ' || text == "...") return false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == ':' || c == ' ') {
      if (text[i + 1] == ' ' || text[i + 1] == '#') return false;
    } else if (!IsAlnum(c) && std::string_view("_./-+=@%^()~;").find(c) == std::string_view::npos) {
      return false;
    }
  }
  Value value;
  if (!ResolvePlainScalar(text, &value) || value.kind != Kind::kString) return false;
  // Readers of YAML 1.1 that know dates or base 60 must see text as well.
  return !(text[0] >= '0' && text[0] <= '9') || text.find_first_of("-:") == text.npos;
}

// Text that reads well as a | block: lines of printable ASCII that do not start with a space.
bool IsBlock(std::string_view text) {
  if (text.find('\n') == text.npos || text[0] == '\n' || text[0] == ' ') return false;
  char before = '\n';
  for (const char c : text) {
    if (c != '\n' && (c < 0x20 || c >= 0x7F)) return false;
    if (c == '\n' && before == ' ') return false;
    before = c;
  }
  return before != ' ';
}

void AppendIndent(int indent, std::string* out) {
  out->append(static_cast<size_t>(indent) * 2, ' ');
}

void AppendBlock(std::string_view text, int indent, std::string* out) {
  const size_t breaks = text.size() - 1 - text.find_last_not_of('\n');
  *out += breaks == 0 ? "|-\n" : breaks == 1 ? "|\n" : "|+\n";
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    if (end > 0) {
      AppendIndent(indent, out);
      out->append(text.substr(0, end));
    }
    out->push_back('\n');
    text.remove_prefix(std::min(end + 1, text.size()));
  }
}

void AppendScalar(const Value& value, int indent, std::string* out) {
  if (value.kind != Kind::kString) {
    *out += ToJson(value);  // also [] and {}
  } else if (IsPlain(value.text)) {
    *out += value.text;
  } else if (IsBlock(value.text)) {
    AppendBlock(value.text, indent, out);
    return;
  } else {
    AppendJsonString(value.text, out, /*for_yaml=*/true);
  }
  out->push_back('\n');
}

bool IsScalar(const Value& value) { return value.items.empty() && value.members.empty(); }

void AppendKey(const std::string& key, std::string* out) {
  if (IsPlain(key))
    *out += key;
  else
    AppendJsonString(key, out, /*for_yaml=*/true);
  out->push_back(':');
}

// The cursor stands where the first line begins; later lines are indented.
void AppendNode(const Value& value, int indent, std::string* out) {
  bool first = true;
  const auto begin_line = [&] {
    if (!first) AppendIndent(indent, out);
    first = false;
  };
  for (const Value& item : value.items) {
    begin_line();
    *out += "- ";
    if (IsScalar(item))
      AppendScalar(item, indent + 1, out);
    else
      AppendNode(item, indent + 1, out);
  }
  for (const Member& member : value.members) {
    begin_line();
    AppendKey(member.key, out);
    if (IsScalar(member.value)) {
      out->push_back(' ');
      AppendScalar(member.value, indent + 1, out);
      continue;
    }
    out->push_back('\n');
    const int inner = member.value.kind == Kind::kList ? indent : indent + 1;
    AppendIndent(inner, out);
    AppendNode(member.value, inner, out);
  }
}

}  // namespace

std::string ToYaml(const Value& value) {
  std::string out;
  if (IsScalar(value))
    AppendScalar(value, 1, &out);
  else
    AppendNode(value, 0, &out);
  return out;
}

}  // namespace keelson::proto
