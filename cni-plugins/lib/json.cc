// SPDX-License-Identifier: Apache-2.0
#include "cni-plugins/lib/json.h"

#include <cstdlib>
#include <cstring>

namespace keelson::cni {

Json::Json() = default;
Json::~Json() = default;
Json::Json(const Json&) = default;
Json::Json(Json&&) noexcept = default;
Json& Json::operator=(const Json&) = default;
Json& Json::operator=(Json&&) noexcept = default;
Json::Json(bool value) : kind_(Kind::kBool), bool_(value) {}
Json::Json(int64_t value) : kind_(Kind::kNumber), text_(std::to_string(value)) {}
Json::Json(std::string value) : kind_(Kind::kString), text_(std::move(value)) {}

Json Json::Array() {
  Json j;
  j.kind_ = Kind::kArray;
  return j;
}

Json Json::Object() {
  Json j;
  j.kind_ = Kind::kObject;
  return j;
}

Json Json::Strings(const std::vector<std::string>& values) {
  Json j = Array();
  for (const std::string& v : values) j.Append(Json(v));
  return j;
}

namespace {

char Lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

bool EqualIgnoringCase(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    if (Lower(a[i]) != Lower(b[i])) return false;
  }
  return true;
}

void AppendUtf8(uint32_t c, std::string* out) {
  if (c < 0x80) {
    out->push_back(static_cast<char>(c));
  } else if (c < 0x800) {
    out->push_back(static_cast<char>(0xC0 | c >> 6));
    out->push_back(static_cast<char>(0x80 | (c & 0x3F)));
  } else if (c < 0x10000) {
    out->push_back(static_cast<char>(0xE0 | c >> 12));
    out->push_back(static_cast<char>(0x80 | (c >> 6 & 0x3F)));
    out->push_back(static_cast<char>(0x80 | (c & 0x3F)));
  } else {
    out->push_back(static_cast<char>(0xF0 | c >> 18));
    out->push_back(static_cast<char>(0x80 | (c >> 12 & 0x3F)));
    out->push_back(static_cast<char>(0x80 | (c >> 6 & 0x3F)));
    out->push_back(static_cast<char>(0x80 | (c & 0x3F)));
  }
}

// Length of the well-formed UTF-8 sequence at the start of `s`, 0 if there is none.
size_t Utf8Length(std::string_view s) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(s[i]); };
  const uint8_t lead = byte(0);
  if (lead < 0x80) return 1;
  const size_t n = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  if (lead < 0xC2 || lead > 0xF4 || s.size() < n) return 0;
  for (size_t i = 1; i < n; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return 0;
  }
  const bool overlong = (lead == 0xE0 && byte(1) < 0xA0) || (lead == 0xF0 && byte(1) < 0x90);
  const bool surrogate = lead == 0xED && byte(1) >= 0xA0;
  const bool beyond = lead == 0xF4 && byte(1) >= 0x90;
  return overlong || surrogate || beyond ? 0 : n;
}

constexpr uint32_t kReplacement = 0xFFFD;  // what Go's decoder puts for broken text, too

}  // namespace

class JsonParser {
 public:
  explicit JsonParser(std::string_view text) : text_(text) {}

  Or<Json> Document() {
    Json root;
    SkipSpace();
    if (!Value(&root, 0)) return Error();
    SkipSpace();
    if (at_ != text_.size()) return Fail("text after the value"), Error();
    return root;
  }

 private:
  Status Error() const {
    return {Code::kDecoding, "JSON: " + why_ + " at byte " + std::to_string(at_)};
  }
  bool Fail(const char* why) {
    if (why_.empty()) why_ = why;
    return false;
  }
  char Peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }
  bool Take(char c) {
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  void SkipSpace() {
    while (at_ < text_.size() && std::strchr(" \t\r\n", text_[at_]) && text_[at_] != '\0') ++at_;
  }
  bool Word(std::string_view word) {
    if (text_.substr(at_, word.size()) != word) return Fail("unknown word");
    at_ += word.size();
    return true;
  }

  bool Value(Json* out, int depth) {
    if (depth > Json::kMaxDepth) return Fail("too many levels");
    switch (Peek()) {
      case '{':
        return Object(out, depth);
      case '[':
        return Array(out, depth);
      case '"':
        out->kind_ = Json::Kind::kString;
        return String(&out->text_);
      case 't':
        *out = Json(true);
        return Word("true");
      case 'f':
        *out = Json(false);
        return Word("false");
      case 'n':
        *out = Json();
        return Word("null");
      default:
        return Number(out);
    }
  }

  bool Object(Json* out, int depth) {
    *out = Json::Object();
    Take('{');
    SkipSpace();
    if (Take('}')) return true;
    do {
      SkipSpace();
      std::string name;
      if (Peek() != '"') return Fail("expected a member name");
      if (!String(&name)) return false;
      SkipSpace();
      if (!Take(':')) return Fail("expected ':'");
      SkipSpace();
      Json value;
      if (!Value(&value, depth + 1)) return false;
      out->members_.push_back({std::move(name), std::move(value)});
      SkipSpace();
    } while (Take(','));
    return Take('}') || Fail("expected ',' or '}'");
  }

  bool Array(Json* out, int depth) {
    *out = Json::Array();
    Take('[');
    SkipSpace();
    if (Take(']')) return true;
    do {
      SkipSpace();
      Json value;
      if (!Value(&value, depth + 1)) return false;
      out->items_.push_back(std::move(value));
      SkipSpace();
    } while (Take(','));
    return Take(']') || Fail("expected ',' or ']'");
  }

  bool Digits() {
    const size_t start = at_;
    while (Peek() >= '0' && Peek() <= '9') ++at_;
    return at_ > start;
  }

  bool Number(Json* out) {
    const size_t start = at_;
    Take('-');
    if (!Take('0') && !Digits()) return Fail("expected a value");
    if (Take('.') && !Digits()) return Fail("expected digits");
    if (Take('e') || Take('E')) {
      if (!Take('+')) Take('-');
      if (!Digits()) return Fail("expected digits");
    }
    out->kind_ = Json::Kind::kNumber;
    out->text_ = std::string(text_.substr(start, at_ - start));
    return true;
  }

  bool String(std::string* out) {
    Take('"');
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (c == '"') return ++at_, true;
      if (static_cast<uint8_t>(c) < 0x20) return Fail("control character in a string");
      if (c == '\\') {
        ++at_;
        if (!Escape(out)) return false;
        continue;
      }
      const size_t n = Utf8Length(text_.substr(at_));
      if (n == 0) {
        AppendUtf8(kReplacement, out);
        ++at_;
      } else {
        out->append(text_.substr(at_, n));
        at_ += n;
      }
    }
    return Fail("string without an end");
  }

  bool Escape(std::string* out) {
    static constexpr char kFrom[] = "\"\\/bfnrt";
    static constexpr char kTo[] = "\"\\/\b\f\n\r\t";
    const char c = Peek();
    if (c == 'u') return ++at_, Unicode(out);
    const char* found = c == '\0' ? nullptr : std::strchr(kFrom, c);
    if (!found) return Fail("unknown escape");
    out->push_back(kTo[found - kFrom]);
    ++at_;
    return true;
  }

  bool Hex4(uint32_t* out) {
    *out = 0;
    for (int i = 0; i < 4; ++i, ++at_) {
      const char c = Lower(Peek());
      const bool digit = c >= '0' && c <= '9';
      if (!digit && !(c >= 'a' && c <= 'f')) return Fail("expected four hexadecimal digits");
      *out = *out * 16 + static_cast<uint32_t>(digit ? c - '0' : c - 'a' + 10);
    }
    return true;
  }

  bool Unicode(std::string* out) {
    uint32_t c = 0;
    if (!Hex4(&c)) return false;
    if (c >= 0xD800 && c < 0xDC00 && text_.substr(at_, 2) == "\\u") {
      const size_t back = at_;
      at_ += 2;
      uint32_t low = 0;
      if (!Hex4(&low)) return false;
      if (low >= 0xDC00 && low < 0xE000) {
        AppendUtf8(0x10000 + ((c - 0xD800) << 10) + (low - 0xDC00), out);
        return true;
      }
      at_ = back;
    }
    AppendUtf8(c >= 0xD800 && c < 0xE000 ? kReplacement : c, out);
    return true;
  }

  std::string_view text_;
  size_t at_ = 0;
  std::string why_;
};

Or<Json> Json::Parse(std::string_view text) {
  if (text.size() > kMaxBytes) return Status(Code::kDecoding, "JSON: more than 4 MiB");
  return JsonParser(text).Document();
}

namespace {

void DumpString(const std::string& s, std::string* out) {
  static constexpr char kHex[] = "0123456789abcdef";
  out->push_back('"');
  for (const char c : s) {
    const auto u = static_cast<uint8_t>(c);
    if (c == '"' || c == '\\') {
      out->push_back('\\');
      out->push_back(c);
    } else if (c == '\n') {
      out->append("\\n");
    } else if (u < 0x20) {
      out->append("\\u00");
      out->push_back(kHex[u >> 4]);
      out->push_back(kHex[u & 15]);
    } else {
      out->push_back(c);
    }
  }
  out->push_back('"');
}

void NewLine(bool pretty, int depth, std::string* out) {
  if (!pretty) return;
  out->push_back('\n');
  out->append(static_cast<size_t>(depth) * 4, ' ');
}

void DumpTo(const Json& j, bool pretty, int depth, std::string* out) {
  const auto sequence = [&](char open, char close, const auto& parts, const auto& each) {
    out->push_back(open);
    bool first = true;
    for (const auto& part : parts) {
      if (!first) out->push_back(',');
      first = false;
      NewLine(pretty, depth + 1, out);
      each(part);
    }
    if (!first) NewLine(pretty, depth, out);
    out->push_back(close);
  };
  switch (j.kind()) {
    case Json::Kind::kNull:
      out->append("null");
      return;
    case Json::Kind::kBool:
      out->append(j.boolean() ? "true" : "false");
      return;
    case Json::Kind::kNumber:
      out->append(j.text());
      return;
    case Json::Kind::kString:
      return DumpString(j.text(), out);
    case Json::Kind::kArray:
      return sequence('[', ']', j.items(),
                      [&](const Json& item) { DumpTo(item, pretty, depth + 1, out); });
    case Json::Kind::kObject:
      return sequence('{', '}', j.members(), [&](const Json::Member& m) {
        DumpString(m.name, out);
        out->append(pretty ? ": " : ":");
        DumpTo(m.value, pretty, depth + 1, out);
      });
  }
}

}  // namespace

std::string Json::Dump(bool pretty) const {
  std::string out;
  DumpTo(*this, pretty, 0, &out);
  return out;
}

const Json* Json::Find(std::string_view key) const {
  const Json* similar = nullptr;
  const Json* exact = nullptr;
  for (const Member& m : members_) {
    if (m.name == key)
      exact = &m.value;
    else if (EqualIgnoringCase(m.name, key))
      similar = &m.value;
  }
  return exact ? exact : similar;
}

Json& Json::Set(std::string_view key, Json value) {
  for (Member& m : members_) {
    if (m.name == key) return m.value = std::move(value);
  }
  members_.push_back({std::string(key), std::move(value)});
  return members_.back().value;
}

void Json::Remove(std::string_view key) {
  std::erase_if(members_, [&](const Member& m) { return m.name == key; });
}

Json& Json::Append(Json value) {
  items_.push_back(std::move(value));
  return items_.back();
}

}  // namespace keelson::cni
