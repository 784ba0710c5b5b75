// SPDX-License-Identifier: Apache-2.0
#include "test/lib/metrics_lint.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstdlib>
#include <set>

namespace keelson::test {
namespace {

bool IsName(std::string_view name, bool colons) {
  if (name.empty() || std::isdigit(static_cast<unsigned char>(name[0]))) return false;
  for (char c : name)
    if (!std::isalnum(static_cast<unsigned char>(c)) && c != '_' && !(colons && c == ':'))
      return false;
  return true;
}

// Names that upstream has and promtool would have otherwise.
bool MayLackTotal(const std::string& name) {
  static const std::set<std::string> kUpstream = {
      "container_memory_failcnt", "kubelet_preemptions", "kubelet_evictions",
      "kubelet_pleg_discard_events", "kubelet_server_expiration_renew_errors"};
  return kUpstream.contains(name);
}

class Linter {
 public:
  explicit Linter(std::vector<MetricSample>* samples) : samples_(samples) {}

  void Line(std::string_view line) {
    if (line.starts_with("# HELP ")) Head(line.substr(7), /*help=*/true);
    else if (line.starts_with("# TYPE ")) Head(line.substr(7), /*help=*/false);
    else if (!line.empty() && line[0] != '#') Sample(line);
  }

  std::vector<std::string> Finish() {
    EndHistogram();
    return std::move(problems_);
  }

 private:
  void Problem(std::string_view what) {
    if (problems_.size() < 50) problems_.push_back(family_ + ": " + std::string(what));
  }

  void Head(std::string_view rest, bool help) {
    const std::string name(rest.substr(0, rest.find(' ')));
    const std::string value(rest.find(' ') == rest.npos ? "" : rest.substr(rest.find(' ') + 1));
    if (help || name != family_) {
      EndHistogram();
      family_ = name;
      type_.clear();
      if (!seen_.insert(name).second) Problem("appears a second time");
      if (!IsName(name, true)) Problem("is no legal name");
      if (!help) Problem("has no HELP before its TYPE");
    }
    if (help && value.empty()) Problem("has an empty HELP");
    if (help) return;
    if (!type_.empty()) Problem("has a second TYPE");
    type_ = value;
    if (type_ == "counter" && !name.ends_with("_total") && !MayLackTotal(name))
      Problem("is a counter whose name does not end in _total");
    if (type_ != "counter" && name.ends_with("_total") && name != "container_fs_inodes_total")
      Problem("is no counter and is called _total");
    for (const char* suffix : {"_count", "_sum", "_bucket"})
      if (type_ == "gauge" && name.ends_with(suffix) && !name.ends_with("_allocation_count"))
        Problem("has the suffix of a histogram");
  }

  // {a="b",c="d"}; false when malformed.
  bool ReadLabels(std::string_view* line, std::map<std::string, std::string>* labels) {
    if (!line->starts_with("{")) return true;
    line->remove_prefix(1);
    while (!line->starts_with("}")) {
      const size_t equals = line->find("=\"");
      if (equals == line->npos) return false;
      const std::string name(line->substr(0, equals));
      line->remove_prefix(equals + 2);
      std::string value;
      while (!line->empty() && line->front() != '"') {
        if (line->front() == '\\') line->remove_prefix(1);
        if (line->empty()) return false;
        value += line->front();
        line->remove_prefix(1);
      }
      if (line->empty()) return false;
      line->remove_prefix(1);
      if (!IsName(name, false)) Problem("has the illegal label " + name);
      if (!labels->emplace(name, value).second) Problem("has the label " + name + " twice");
      if (line->starts_with(",")) line->remove_prefix(1);
    }
    line->remove_prefix(1);
    return true;
  }

  void Sample(std::string_view line) {
    const std::string whole(line);
    MetricSample sample;
    const size_t end = line.find_first_of("{ ");
    if (end == line.npos) return Problem("a line without a value: " + whole);
    sample.name = line.substr(0, end);
    line.remove_prefix(end);
    if (!ReadLabels(&line, &sample.labels) || !line.starts_with(" "))
      return Problem("a line that cannot be read: " + whole);
    const std::string number(line.substr(1));
    char* after = nullptr;
    sample.value = std::strtod(number.c_str(), &after);
    if (after == number.c_str()) return Problem("no number in: " + whole);
    if (type_ == "counter" && !(sample.value >= 0)) Problem("is a counter below 0");
    if (!series_.insert(whole.substr(0, whole.size() - number.size())).second)
      Problem("has a series twice: " + whole);
    if (type_ == "histogram") Bucket(sample);
    else if (sample.name != family_) Problem("has a sample of another name: " + sample.name);
    if (samples_ != nullptr) samples_->push_back(std::move(sample));
  }

  void Bucket(const MetricSample& sample) {
    const std::string suffix =
        sample.name.starts_with(family_) ? sample.name.substr(family_.size()) : sample.name;
    if (suffix == "_sum") return;
    if (suffix == "_count") {
      if (sample.value != last_) Problem("counts other than its last bucket");
      return EndHistogram();
    }
    if (suffix != "_bucket" || !sample.labels.contains("le"))
      return Problem("is a histogram with a sample " + sample.name);
    if (sample.value < last_) Problem("has falling buckets");
    last_ = sample.value;
    open_ = sample.labels.at("le") != "+Inf";
  }

  void EndHistogram() {
    if (open_) Problem("has no bucket +Inf");
    open_ = false;
    last_ = 0;
  }

  std::vector<MetricSample>* const samples_;
  std::vector<std::string> problems_;
  std::set<std::string> seen_, series_;
  std::string family_, type_;
  double last_ = 0;
  bool open_ = false;  // a histogram's buckets have begun and not reached +Inf
};

}  // namespace

std::vector<std::string> LintMetrics(std::string_view text, std::vector<MetricSample>* samples) {
  Linter linter(samples);
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    linter.Line(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return linter.Finish();
}

double ValueOf(const std::vector<MetricSample>& samples, std::string_view name,
               const std::map<std::string, std::string>& labels) {
  for (const MetricSample& sample : samples) {
    if (sample.name != name) continue;
    bool all = true;
    for (const auto& [label, value] : labels) {
      auto it = sample.labels.find(label);
      all &= it != sample.labels.end() && it->second == value;
    }
    if (all) return sample.value;
  }
  return std::nan("");
}

}  // namespace keelson::test
