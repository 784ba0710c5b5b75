// SPDX-License-Identifier: Apache-2.0
// YAML through yaml-cpp's events, so that every bound is checked before memory is spent. yaml-cpp
// throws; nothing leaves this file but a Status.
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/mark.h>
#include <yaml-cpp/parser.h>

#include <istream>
#include <map>
#include <optional>
#include <set>
#include <streambuf>

#include "base/errno_status.h"
#include "base/strings.h"
#include "proto/codec/path.h"
#include "proto/codec/text.h"
#include "proto/codec/value.h"

namespace keelson::proto {
namespace {

using Kind = Value::Kind;

constexpr std::string_view kCoreTag = "tag:yaml.org,2002:";

// Ends the parse from inside an event.
struct Refused {
  int line;
  std::string what;
};

struct Weight {
  size_t nodes = 0;
  size_t bytes = 0;
};

Weight Weigh(const Value& value) {
  Weight weight{1, value.text.size()};
  const auto add = [&weight](const Value& child) {
    const Weight more = Weigh(child);
    weight.nodes += more.nodes;
    weight.bytes += more.bytes;
  };
  for (const Value& item : value.items) add(item);
  for (const Member& member : value.members) {
    weight.bytes += member.key.size();
    add(member.value);
  }
  return weight;
}

int Depth(const Value& value) {
  int depth = 0;
  for (const Value& item : value.items) depth = std::max(depth, 1 + Depth(item));
  for (const Member& member : value.members) depth = std::max(depth, 1 + Depth(member.value));
  return depth;
}

// Builds the tree of one document.
class TreeBuilder final : public YAML::EventHandler {
 public:
  // `reached` follows the events.
  TreeBuilder(const DecodeOptions& options, YAML::Mark* reached)
      : options_(options), reached_(reached) {}

  Value TakeRoot() { return std::move(root_); }
  const YAML::Mark& start() const { return start_; }

  void OnDocumentStart(const YAML::Mark& mark) override { *reached_ = start_ = mark; }
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    Value null;
    null.line = Line(mark);
    Add(std::move(null), anchor, /*merge=*/false);
  }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& text) override {
    Value value;
    value.line = Line(mark);
    Resolve(tag, text, &value);
    const bool merge = text == "<<" && (tag == "?" || tag == base::StrCat(kCoreTag, "merge"));
    Add(std::move(value), anchor, merge);
  }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    const auto found = anchors_.find(anchor);
    if (found == anchors_.end()) throw Refused{Line(mark), "an alias inside its own anchor"};
    const int levels = static_cast<int>(stack_.size()) + Depth(found->second);
    if (levels > options_.max_depth) RefuseDepth(Line(mark));
    Value copy = found->second;
    copy.line = Line(mark);
    Add(std::move(copy), YAML::NullAnchor, /*merge=*/false);
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    Open(Kind::kList, mark, anchor);
  }
  void OnMapStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    Open(Kind::kMap, mark, anchor);
  }
  void OnSequenceEnd() override { Close(); }
  void OnMapEnd() override { Close(); }

 private:
  struct Frame {
    Value value;
    YAML::anchor_t anchor = YAML::NullAnchor;
    std::optional<Member> key;  // of a map, while its value is awaited
    bool key_merges = false;    // that key is <<
    std::vector<Value> merges;  // what << stood for
  };

  int Line(const YAML::Mark& mark) {
    *reached_ = mark;
    return mark.line + 1;
  }

  [[noreturn]] void RefuseDepth(int line) const {
    throw Refused{line, base::StrCat("nested deeper than ", options_.max_depth, " levels")};
  }

  void Resolve(const std::string& tag, const std::string& text, Value* value) {
    value->kind = Kind::kString;
    value->text = text;
    const bool core = tag.starts_with(kCoreTag);
    const std::string_view name = core ? std::string_view(tag).substr(kCoreTag.size()) : "";
    if (name == "binary") return DecodeBinary(value);
    if (tag != "?" && name != "int" && name != "float" && name != "bool" && name != "null") return;
    if (!ResolvePlainScalar(text, value)) {
      throw Refused{value->line, base::StrCat(text, " has no counterpart in JSON")};
    }
    const bool fits = tag == "?" || (name == "bool" && value->kind == Kind::kBool) ||
                      (name == "null" && value->kind == Kind::kNull) ||
                      ((name == "int" || name == "float") && value->kind == Kind::kNumber);
    if (!fits)
      throw Refused{value->line, base::StrCat("\"", text, "\" is not of its tag !!", name)};
  }

  static void DecodeBinary(Value* value) {
    std::string bytes;
    if (!DecodeBase64(value->text, &bytes) || FindInvalidUtf8(bytes) != std::string::npos) {
      throw Refused{value->line, "!!binary is not base64 of UTF-8 text"};
    }
    value->text = std::move(bytes);
  }

  void Open(Kind kind, const YAML::Mark& mark, YAML::anchor_t anchor) {
    if (static_cast<int>(stack_.size()) >= options_.max_depth) RefuseDepth(Line(mark));
    Frame& frame = stack_.emplace_back();
    frame.value.kind = kind;
    frame.value.line = Line(mark);
    frame.anchor = anchor;
  }

  void Close() {
    Frame frame = std::move(stack_.back());
    stack_.pop_back();
    if (!frame.merges.empty()) ApplyMerges(&frame);
    Add(std::move(frame.value), frame.anchor, /*merge=*/false, /*weighed=*/true);
  }

  // A finished value goes where its parent waits for one. Containers were weighed part by part.
  void Add(Value value, YAML::anchor_t anchor, bool merge, bool weighed = false) {
    const Weight weight = weighed ? Weight{1, 0} : Weigh(value);
    Charge(weight, value.line);
    if (anchor != YAML::NullAnchor) {
      Charge(Weigh(value), value.line);
      anchors_[anchor] = value;
    }
    if (stack_.empty()) {
      root_ = std::move(value);
      return;
    }
    Frame& parent = stack_.back();
    if (parent.value.kind == Kind::kList) {
      parent.value.items.push_back(std::move(value));
    } else if (!parent.key) {
      parent.key = Member{KeyText(value), value.line, {}};
      parent.key_merges = merge;
    } else if (parent.key_merges) {
      TakeMerge(std::move(value), &parent);
      parent.key.reset();
    } else {
      parent.key->value = std::move(value);
      parent.value.members.push_back(std::move(*parent.key));
      parent.key.reset();
    }
  }

  void Charge(const Weight& weight, int line) {
    spent_.nodes += weight.nodes;
    spent_.bytes += weight.bytes;
    if (spent_.nodes > options_.max_nodes) {
      throw Refused{line, base::StrCat("more than ", options_.max_nodes,
                                       " values once its aliases are expanded")};
    }
    // An anchored text is held twice; anything beyond comes from aliases.
    if (spent_.bytes > 2 * options_.max_bytes) {
      throw Refused{line, base::StrCat("more than ", 2 * options_.max_bytes,
                                       " bytes once its aliases are expanded")};
    }
  }

  static std::string KeyText(const Value& value) {
    switch (value.kind) {
      case Kind::kString:
      case Kind::kNumber:
        return value.text;
      case Kind::kBool:
        return value.boolean ? "true" : "false";
      default:
        throw Refused{value.line, base::StrCat("a member name cannot be ", KindName(value.kind))};
    }
  }

  static void TakeMerge(Value value, Frame* parent) {
    const int line = value.line;
    std::vector<Value> sources;
    if (value.kind == Kind::kList)
      sources = std::move(value.items);
    else
      sources.push_back(std::move(value));
    for (Value& source : sources) {
      if (source.kind != Kind::kMap) throw Refused{line, "<< takes an object or a list of objects"};
      parent->merges.push_back(std::move(source));
    }
  }

  // Members written out win over merged ones, an earlier source over a later one.
  static void ApplyMerges(Frame* frame) {
    std::set<std::string> present;
    for (const Member& member : frame->value.members) present.insert(member.key);
    for (Value& source : frame->merges) {
      for (Member& member : source.members) {
        if (present.insert(member.key).second) frame->value.members.push_back(std::move(member));
      }
    }
  }

  const DecodeOptions& options_;
  YAML::Mark* const reached_;
  Value root_;
  YAML::Mark start_;
  std::vector<Frame> stack_;
  std::map<YAML::anchor_t, Value> anchors_;
  Weight spent_;
};

// Control characters, which YAML allows nowhere and some of which yaml-cpp takes for its own marks.
absl::Status RefuseControlCharacters(std::string_view text, const DecodeOptions& options) {
  int line = 1;
  for (const char c : text) {
    if (c == '\n') ++line;
    const auto byte = static_cast<unsigned char>(c);
    if ((byte < 0x20 && c != '\n' && c != '\r' && c != '\t') || byte == 0x7F) {
      return absl::InvalidArgumentError(Where(options, line) + "control character in YAML");
    }
  }
  return absl::OkStatus();
}

// Hands the text to yaml-cpp in pieces and stops when no event comes of it: until a [ or { is
// closed yaml-cpp keeps every token inside, some 240 bytes for each.
class BoundedInput final : public std::streambuf {
 public:
  BoundedInput(std::string_view text, const YAML::Mark& reached) : text_(text), reached_(reached) {}

 protected:
  int_type underflow() override {
    if (given_ == text_.size()) return traits_type::eof();
    if (given_ > static_cast<size_t>(reached_.pos) + kMaxLookahead) {
      throw Refused{reached_.line + 1, base::StrCat("more than ", kMaxLookahead,
                                                    " bytes in one YAML scalar, [] or {}")};
    }
    const size_t size = std::min(kPiece, text_.size() - given_);
    char* piece = const_cast<char*>(text_.data()) + given_;  // only read
    setg(piece, piece, piece + size);
    given_ += size;
    return traits_type::to_int_type(*piece);
  }

 private:
  static constexpr size_t kMaxLookahead = 512 << 10;
  static constexpr size_t kPiece = 4096;

  const std::string_view text_;
  const YAML::Mark& reached_;  // where the last event began
  size_t given_ = 0;
};

absl::StatusOr<Value> ReadDocuments(std::string_view text, const DecodeOptions& options) {
  YAML::Mark reached;
  BoundedInput input(text, reached);
  std::istream stream(&input);
  YAML::Parser parser(stream);
  Value found;
  int last_start = -1;
  for (;;) {
    TreeBuilder builder(options, &reached);
    if (!parser.HandleNextDocument(builder)) return found;
    // yaml-cpp takes a stray comma for an empty document and never moves past it.
    if (builder.start().pos <= last_start) {
      throw Refused{builder.start().line + 1, "YAML: text that belongs to nothing"};
    }
    last_start = builder.start().pos;
    Value root = builder.TakeRoot();
    if (root.kind == Kind::kNull) continue;
    if (found.kind != Kind::kNull) {
      throw Refused{root.line, "a second document; put each object into a file of its own"};
    }
    found = std::move(root);
  }
}

absl::StatusOr<Value> ParseYaml(std::string_view text, const DecodeOptions& options) {
  RETURN_IF_ERROR(RefuseControlCharacters(text, options));
  try {
    return ReadDocuments(text, options);
  } catch (const Refused& refused) {
    return absl::InvalidArgumentError(Where(options, refused.line) + refused.what);
  } catch (const YAML::Exception& error) {
    const int line = error.mark.is_null() ? 0 : error.mark.line + 1;
    return absl::InvalidArgumentError(base::StrCat(Where(options, line), "YAML: ", error.msg));
  }
}

}  // namespace

absl::StatusOr<Value> ParseTree(std::string_view text, const DecodeOptions& options,
                                std::vector<DecodeWarning>* warnings) {
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  const size_t first = text.find_first_not_of(" \t\r\n");
  const bool looks_like_json = first != text.npos && (text[first] == '{' || text[first] == '[');
  absl::Status json_error;
  if (looks_like_json) {
    absl::StatusOr<Value> tree = ParseJsonTree(text, options, warnings);
    if (tree.ok()) return tree;
    json_error = tree.status();
  }
  RETURN_IF_ERROR(CheckText(text, options));
  absl::StatusOr<Value> tree = ParseYaml(text, options);
  if (!tree.ok()) return looks_like_json ? json_error : tree.status();
  RETURN_IF_ERROR(RemoveDuplicates(options, &*tree, warnings));
  return tree;
}

}  // namespace keelson::proto
