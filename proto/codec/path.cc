// SPDX-License-Identifier: Apache-2.0
#include "proto/codec/path.h"

#include <algorithm>
#include <numeric>

#include "base/strings.h"
#include "proto/codec/text.h"

namespace keelson::proto {
namespace {

constexpr size_t kMaxProblems = 20;

class Deduplicator {
 public:
  Deduplicator(const DecodeOptions& options, std::vector<DecodeWarning>* warnings)
      : options_(options), warnings_(warnings) {}

  void Walk(Value* value, const Path& path) {
    for (size_t i = 0; i < value->items.size(); ++i) {
      Walk(&value->items[i], Path{&path, {}, static_cast<int>(i)});
    }
    if (value->kind == Value::Kind::kMap) Clean(&value->members, path);
    for (Member& member : value->members) Walk(&member.value, Path{&path, member.key});
  }

  absl::Status Result() const {
    if (problems_.empty()) return absl::OkStatus();
    return absl::InvalidArgumentError(problems_);
  }

 private:
  void Clean(std::vector<Member>* members, const Path& path) {
    std::vector<size_t> order(members->size());
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [members](size_t a, size_t b) {
      return (*members)[a].key < (*members)[b].key;
    });
    std::vector<bool> drop(members->size());
    bool any = false;
    for (size_t i = 1; i < order.size(); ++i) {
      const Member& first = (*members)[order[i - 1]];
      const Member& second = (*members)[order[i]];
      if (first.key != second.key) continue;
      drop[order[i - 1]] = any = true;
      Report(Path{&path, second.key}, first.line, second.line);
    }
    if (!any) return;
    size_t kept = 0;
    for (size_t i = 0; i < members->size(); ++i) {
      if (drop[i]) continue;
      if (kept != i) (*members)[kept] = std::move((*members)[i]);
      ++kept;
    }
    members->resize(kept);
  }

  void Report(const Path& path, int first_line, int line) {
    std::string text = base::StrCat("given twice, first on line ", first_line);
    if (options_.strict) {
      if (++count_ > kMaxProblems) return;
      if (!problems_.empty()) problems_ += '\n';
      problems_ += Where(options_, line, path) + text;
    } else if (warnings_ != nullptr && warnings_->size() < kMaxProblems) {
      warnings_->push_back({path.Text(), line, std::move(text)});
    }
  }

  const DecodeOptions& options_;
  std::vector<DecodeWarning>* warnings_;
  std::string problems_;
  size_t count_ = 0;
};

}  // namespace

std::string Path::Text() const {
  std::string text = parent == nullptr ? std::string() : parent->Text();
  if (index >= 0) return base::StrCat(text, "[", index, "]");
  if (key.empty() && !is_map_key) return text;
  if (is_map_key || key.find('.') != key.npos) return base::StrCat(text, "[", key, "]");
  return text.empty() ? std::string(key) : base::StrCat(text, ".", key);
}

std::string Where(const DecodeOptions& options, int line) {
  if (line <= 0) return options.source.empty() ? "" : options.source + ": ";
  if (options.source.empty()) return base::StrCat("line ", line, ": ");
  return base::StrCat(options.source, ":", line, ": ");
}

std::string Where(const DecodeOptions& options, int line, const Path& path) {
  const std::string text = path.Text();
  return text.empty() ? Where(options, line) : base::StrCat(Where(options, line), text, ": ");
}

absl::Status CheckText(std::string_view text, const DecodeOptions& options) {
  if (text.size() > options.max_bytes) {
    return absl::InvalidArgumentError(base::StrCat(
        Where(options, 0), text.size(), " bytes, more than the limit of ", options.max_bytes));
  }
  const size_t bad = FindInvalidUtf8(text);
  if (bad == text.npos) return absl::OkStatus();
  const int line = 1 + static_cast<int>(std::count(text.begin(), text.begin() + bad, '\n'));
  return absl::InvalidArgumentError(Where(options, line) + "not valid UTF-8");
}

absl::Status RemoveDuplicates(const DecodeOptions& options, Value* root,
                              std::vector<DecodeWarning>* warnings) {
  Deduplicator deduplicator(options, warnings);
  deduplicator.Walk(root, Path{});
  return deduplicator.Result();
}

}  // namespace keelson::proto
