// SPDX-License-Identifier: Apache-2.0
// RFC 8259, strictly, with line numbers and bounds. Recursion is as deep as
// DecodeOptions::max_depth.
#include "base/errno_status.h"
#include "base/strings.h"
#include "proto/codec/path.h"
#include "proto/codec/text.h"
#include "proto/codec/value.h"

namespace keelson::proto {
namespace {

using Kind = Value::Kind;

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

class JsonReader {
 public:
  JsonReader(std::string_view text, const DecodeOptions& options)
      : text_(text), options_(options) {}

  absl::Status Read(Value* root) {
    RETURN_IF_ERROR(ReadValue(root, 0));
    SkipSpace();
    if (at_ != text_.size()) return Fail("more text after the end of the JSON document");
    return absl::OkStatus();
  }

 private:
  absl::Status Fail(std::string_view what) const {
    return absl::InvalidArgumentError(Where(options_, line_) + std::string(what));
  }

  absl::Status Unexpected(std::string_view wanted) const {
    if (at_ >= text_.size()) return Fail(base::StrCat("JSON ends where ", wanted, " should be"));
    const unsigned char c = static_cast<unsigned char>(text_[at_]);
    if (c < 0x20 || c >= 0x7F) return Fail(base::StrCat("expected ", wanted, " in JSON"));
    return Fail(base::StrCat("expected ", wanted, " in JSON, got '", text_[at_], "'"));
  }

  void SkipSpace() {
    for (; at_ < text_.size(); ++at_) {
      const char c = text_[at_];
      if (c == '\n')
        ++line_;
      else if (c != ' ' && c != '\t' && c != '\r')
        break;
    }
  }

  bool Take(char c) {
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }

  bool TakeWord(std::string_view word) {
    if (text_.substr(at_, word.size()) != word) return false;
    at_ += word.size();
    return true;
  }

  absl::Status ReadValue(Value* value, int depth) {
    if (depth > options_.max_depth) {
      return Fail(base::StrCat("nested deeper than ", options_.max_depth, " levels"));
    }
    if (++nodes_ > options_.max_nodes) {
      return Fail(base::StrCat("more than ", options_.max_nodes, " values"));
    }
    SkipSpace();
    value->line = line_;
    const char c = at_ < text_.size() ? text_[at_] : '\0';
    if (c == '{') return ReadObject(value, depth);
    if (c == '[') return ReadArray(value, depth);
    if (c == '"') {
      value->kind = Kind::kString;
      return ReadString(&value->text);
    }
    if (c == '-' || IsDigit(c)) return ReadNumber(value);
    return ReadLiteral(value);
  }

  absl::Status ReadLiteral(Value* value) {
    if (TakeWord("null")) return absl::OkStatus();
    value->kind = Kind::kBool;
    value->boolean = TakeWord("true");
    if (value->boolean || TakeWord("false")) return absl::OkStatus();
    return Unexpected("a value");
  }

  absl::Status ReadObject(Value* value, int depth) {
    value->kind = Kind::kMap;
    ++at_;
    SkipSpace();
    if (Take('}')) return absl::OkStatus();
    do {
      SkipSpace();
      if (at_ >= text_.size() || text_[at_] != '"') return Unexpected("a member name in quotes");
      Member& member = value->members.emplace_back();
      member.line = line_;
      RETURN_IF_ERROR(ReadString(&member.key));
      SkipSpace();
      if (!Take(':')) return Unexpected("':'");
      RETURN_IF_ERROR(ReadValue(&member.value, depth + 1));
      SkipSpace();
    } while (Take(','));
    return Take('}') ? absl::OkStatus() : Unexpected("',' or '}'");
  }

  absl::Status ReadArray(Value* value, int depth) {
    value->kind = Kind::kList;
    ++at_;
    SkipSpace();
    if (Take(']')) return absl::OkStatus();
    do {
      RETURN_IF_ERROR(ReadValue(&value->items.emplace_back(), depth + 1));
      SkipSpace();
    } while (Take(','));
    return Take(']') ? absl::OkStatus() : Unexpected("',' or ']'");
  }

  bool TakeDigits() {
    const size_t start = at_;
    while (at_ < text_.size() && IsDigit(text_[at_])) ++at_;
    return at_ > start;
  }

  absl::Status ReadNumber(Value* value) {
    const size_t start = at_;
    Take('-');
    if (!Take('0') && !TakeDigits()) return Unexpected("a digit");
    if (Take('.') && !TakeDigits()) return Unexpected("a digit");
    if (Take('e') || Take('E')) {
      if (!Take('+')) Take('-');
      if (!TakeDigits()) return Unexpected("a digit");
    }
    value->kind = Kind::kNumber;
    value->text = text_.substr(start, at_ - start);
    return absl::OkStatus();
  }

  absl::Status ReadString(std::string* out) {
    ++at_;
    for (;;) {
      const size_t start = at_;
      while (at_ < text_.size() && text_[at_] != '"' && text_[at_] != '\\' &&
             static_cast<unsigned char>(text_[at_]) >= 0x20) {
        ++at_;
      }
      out->append(text_, start, at_ - start);
      if (Take('"')) return absl::OkStatus();
      if (!Take('\\')) return Unexpected("'\"' at the end of a string");
      RETURN_IF_ERROR(ReadEscape(out));
    }
  }

  absl::Status ReadEscape(std::string* out) {
    constexpr std::string_view kNames = "\"\\/bfnrt", kMeanings = "\"\\/\b\f\n\r\t";
    if (Take('u')) return ReadUnicodeEscape(out);
    const size_t found = at_ < text_.size() ? kNames.find(text_[at_]) : kNames.npos;
    if (found == kNames.npos) return Unexpected("an escape");
    out->push_back(kMeanings[found]);
    ++at_;
    return absl::OkStatus();
  }

  bool TakeHex4(uint32_t* unit) {
    *unit = 0;
    if (text_.size() - at_ < 4) return false;
    for (int i = 0; i < 4; ++i) {
      const char c = text_[at_ + i], lower = static_cast<char>(c | 0x20);
      if (!IsDigit(c) && (lower < 'a' || lower > 'f')) return false;
      *unit = *unit << 4 | static_cast<uint32_t>(IsDigit(c) ? c - '0' : lower - 'a' + 10);
    }
    at_ += 4;
    return true;
  }

  // Half of a surrogate pair becomes U+FFFD, as Go does it.
  absl::Status ReadUnicodeEscape(std::string* out) {
    constexpr uint32_t kReplacement = 0xFFFD;
    uint32_t unit = 0;
    if (!TakeHex4(&unit)) return Unexpected("four hexadecimal digits");
    if (unit >= 0xD800 && unit < 0xDC00 && text_.substr(at_, 2) == "\\u") {
      const size_t back = at_;
      at_ += 2;
      uint32_t low = 0;
      if (TakeHex4(&low) && low >= 0xDC00 && low < 0xE000) {
        AppendUtf8(0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00), out);
        return absl::OkStatus();
      }
      at_ = back;
    }
    AppendUtf8(unit >= 0xD800 && unit < 0xE000 ? kReplacement : unit, out);
    return absl::OkStatus();
  }

  std::string_view text_;
  const DecodeOptions& options_;
  size_t at_ = 0;
  int line_ = 1;
  size_t nodes_ = 0;
};

}  // namespace

absl::StatusOr<Value> ParseJsonTree(std::string_view text, const DecodeOptions& options,
                                    std::vector<DecodeWarning>* warnings) {
  RETURN_IF_ERROR(CheckText(text, options));
  Value root;
  RETURN_IF_ERROR(JsonReader(text, options).Read(&root));
  RETURN_IF_ERROR(RemoveDuplicates(options, &root, warnings));
  return root;
}

}  // namespace keelson::proto
