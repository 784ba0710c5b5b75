// SPDX-License-Identifier: Apache-2.0
// Counters, gauges and histograms, and their text for Prometheus (exposition format 0.0.4).
//
// Loop only. A Registry owns its families and is passed to who counts: there is no global one. A
// family without labels is there from the start at 0; one with labels has a series once it was
// counted. What nobody measured is absent.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/time.h"

namespace keelson::kubelet {

enum class MetricType { kCounter, kGauge, kHistogram };

using Labels = std::vector<std::pair<std::string_view, std::string_view>>;

// Writes families one after the other. Values of labels are escaped; a family nobody gave a sample
// leaves no trace.
class MetricsText {
 public:
  // REQUIRES: no family of that name before.
  void Family(std::string_view name, std::string_view help, MetricType type);
  // One series of the family begun last; with `at`, when it was measured.
  void Sample(const Labels& labels, double value, std::optional<base::WallTime> at = std::nullopt) {
    Write("", labels, value, at);
  }
  // A histogram's series: counts per bucket (not added up), the last one beyond all `bounds`.
  void Histogram(const Labels& labels, const std::vector<double>& bounds,
                 const std::vector<uint64_t>& counts, double sum);
  std::string Take() { return std::move(text_); }

 private:
  void Write(std::string_view suffix, const Labels& labels, double value,
             std::optional<base::WallTime> at);

  std::string text_;
  std::string name_, head_;  // head_ is empty once written
};

// A number as the exposition format has it: 1, 0.25, 1e+21, +Inf, NaN; the shortest that reads
// back.
std::string MetricNumber(double value);

// One named metric, a series for each combination of label values.
class Family {
 public:
  Family(MetricType type, std::string name, std::string help, std::vector<std::string> labels,
         std::vector<double> bounds);
  // REQUIRES of all: as many values as the family has labels.
  void Add(const std::vector<std::string>& values, double amount = 1);
  void Set(const std::vector<std::string>& values, double value);
  void Observe(const std::vector<std::string>& values, double value);
  void Remove(const std::vector<std::string>& values) { series_.erase(values); }
  // Removes what `match` accepts; it sees the label values.
  void RemoveIf(const std::function<bool(const std::vector<std::string>&)>& match);
  void Write(MetricsText& text) const;

 private:
  struct Series {
    double value = 0;                // or a histogram's sum
    std::vector<uint64_t> counts{};  // of a histogram
  };
  Series& SeriesOf(const std::vector<std::string>& values);

  const MetricType type_;
  const std::string name_, help_;
  const std::vector<std::string> labels_;
  const std::vector<double> bounds_;
  std::map<std::vector<std::string>, Series> series_;
};

class Registry {
 public:
  Registry() = default;
  Registry(const Registry&) = delete;
  Registry& operator=(const Registry&) = delete;

  // Families live as long as the registry.
  Family& Counter(std::string name, std::string help, std::vector<std::string> labels = {});
  Family& Gauge(std::string name, std::string help, std::vector<std::string> labels = {});
  Family& Histogram(std::string name, std::string help, std::vector<double> bounds,
                    std::vector<std::string> labels = {});
  // Runs at each scrape, after the families.
  void OnScrape(std::function<void(MetricsText&)> write) { writers_.push_back(std::move(write)); }
  void Write(MetricsText& text) const;
  std::string Text() const;

 private:
  std::deque<Family> families_;
  std::vector<std::function<void(MetricsText&)>> writers_;
};

// Upper bounds of histograms: `count` of them from `start`, each `factor` times the one before.
std::vector<double> ExponentialBounds(double start, double factor, int count);
// 0.005 to 10 seconds: what histograms have whose maker did not choose.
std::vector<double> DefaultBounds();

inline double Seconds(base::Nanos time) { return static_cast<double>(time.count()) / 1e9; }

}  // namespace keelson::kubelet
