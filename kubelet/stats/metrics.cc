// SPDX-License-Identifier: Apache-2.0
#include "kubelet/stats/metrics.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/check.h"
#include "base/strings.h"

namespace keelson::kubelet {
namespace {

// A name that a client chose can be a label's value: it must not become a line of its own.
void AppendEscaped(std::string* out, std::string_view value) {
  for (char c : value) {
    if (c == '\\') *out += "\\\\";
    else if (c == '"') *out += "\\\"";
    else if (c == '\n') *out += "\\n";
    else *out += c;
  }
}

std::string_view TypeName(MetricType type) {
  switch (type) {
    case MetricType::kCounter: return "counter";
    case MetricType::kGauge: return "gauge";
    case MetricType::kHistogram: return "histogram";
  }
  return "untyped";
}

}  // namespace

std::string MetricNumber(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "+Inf" : "-Inf";
  char buffer[32];
  auto [end, error] = std::to_chars(buffer, buffer + sizeof(buffer), value);
  return std::string(buffer, end);
}

void MetricsText::Family(std::string_view name, std::string_view help, MetricType type) {
  name_ = name;
  head_ = base::StrCat("# HELP ", name, " ", help, "\n# TYPE ", name, " ", TypeName(type), "\n");
}

void MetricsText::Write(std::string_view suffix, const Labels& labels, double value,
                        std::optional<base::WallTime> at) {
  text_ += head_;
  head_.clear();
  text_ += name_;
  text_ += suffix;
  char separator = '{';
  for (const auto& [label, text] : labels) {
    text_ += separator;
    text_ += label;
    text_ += "=\"";
    AppendEscaped(&text_, text);
    text_ += '"';
    separator = ',';
  }
  if (!labels.empty()) text_ += '}';
  text_ += ' ';
  text_ += MetricNumber(value);
  if (at) base::StrAppend(&text_, " ", base::ToUnixNanos(*at) / 1000000);
  text_ += '\n';
}

void MetricsText::Histogram(const Labels& labels, const std::vector<double>& bounds,
                            const std::vector<uint64_t>& counts, double sum) {
  KEELSON_CHECK(counts.size() == bounds.size() + 1);
  uint64_t below = 0;
  for (size_t i = 0; i < counts.size(); ++i) {
    below += counts[i];
    const std::string bound = i < bounds.size() ? MetricNumber(bounds[i]) : "+Inf";
    Labels with = labels;
    with.emplace_back("le", bound);
    Write("_bucket", with, static_cast<double>(below), std::nullopt);
  }
  Write("_sum", labels, sum, std::nullopt);
  Write("_count", labels, static_cast<double>(below), std::nullopt);
}

Family::Family(MetricType type, std::string name, std::string help, std::vector<std::string> labels,
               std::vector<double> bounds)
    : type_(type),
      name_(std::move(name)),
      help_(std::move(help)),
      labels_(std::move(labels)),
      bounds_(std::move(bounds)) {
  if (labels_.empty() && type_ != MetricType::kGauge) SeriesOf({});
}

Family::Series& Family::SeriesOf(const std::vector<std::string>& values) {
  KEELSON_CHECK(values.size() == labels_.size());
  Series& series = series_[values];
  if (type_ == MetricType::kHistogram && series.counts.empty())
    series.counts.resize(bounds_.size() + 1);
  return series;
}

void Family::Add(const std::vector<std::string>& values, double amount) {
  SeriesOf(values).value += amount;
}

void Family::Set(const std::vector<std::string>& values, double value) {
  SeriesOf(values).value = value;
}

void Family::Observe(const std::vector<std::string>& values, double value) {
  Series& series = SeriesOf(values);
  series.value += value;
  const auto bucket =
      std::ranges::lower_bound(bounds_, value);  // le: a bound belongs to its bucket
  ++series.counts[static_cast<size_t>(bucket - bounds_.begin())];
}

void Family::RemoveIf(const std::function<bool(const std::vector<std::string>&)>& match) {
  std::erase_if(series_, [&](const auto& entry) { return match(entry.first); });
}

void Family::Write(MetricsText& text) const {
  text.Family(name_, help_, type_);
  Labels labels(labels_.size());
  for (const auto& [values, series] : series_) {
    for (size_t i = 0; i < labels_.size(); ++i) labels[i] = {labels_[i], values[i]};
    if (type_ == MetricType::kHistogram) {
      text.Histogram(labels, bounds_, series.counts, series.value);
    } else {
      text.Sample(labels, series.value);
    }
  }
}

Family& Registry::Counter(std::string name, std::string help, std::vector<std::string> labels) {
  return families_.emplace_back(MetricType::kCounter, std::move(name), std::move(help),
                                std::move(labels), std::vector<double>());
}

Family& Registry::Gauge(std::string name, std::string help, std::vector<std::string> labels) {
  return families_.emplace_back(MetricType::kGauge, std::move(name), std::move(help),
                                std::move(labels), std::vector<double>());
}

Family& Registry::Histogram(std::string name, std::string help, std::vector<double> bounds,
                            std::vector<std::string> labels) {
  return families_.emplace_back(MetricType::kHistogram, std::move(name), std::move(help),
                                std::move(labels), std::move(bounds));
}

void Registry::Write(MetricsText& text) const {
  for (const Family& family : families_) family.Write(text);
  for (const auto& write : writers_) write(text);
}

std::string Registry::Text() const {
  MetricsText text;
  Write(text);
  return text.Take();
}

std::vector<double> ExponentialBounds(double start, double factor, int count) {
  std::vector<double> bounds;
  for (double bound = start; static_cast<int>(bounds.size()) < count; bound *= factor)
    bounds.push_back(bound);
  return bounds;
}

std::vector<double> DefaultBounds() {
  return {.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10};
}

}  // namespace keelson::kubelet
