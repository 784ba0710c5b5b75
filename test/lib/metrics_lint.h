// SPDX-License-Identifier: Apache-2.0
// Finds what Prometheus or its promtool would object to in the text of an exposition.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace keelson::test {

struct MetricSample {
  std::string name;
  std::map<std::string, std::string> labels;
  double value = 0;
};

// Problems, one line each; `samples` (may be null) gets every sample that could be read.
// Held are: HELP and TYPE once and before a family's samples, families in one piece, legal names
// and labels, no series twice, counters called *_total and never negative, histograms with rising
// buckets up to +Inf that agree with their count.
std::vector<std::string> LintMetrics(std::string_view text,
                                     std::vector<MetricSample>* samples = nullptr);

// The sample's value, or NaN when there is none that has these labels among its own.
double ValueOf(const std::vector<MetricSample>& samples, std::string_view name,
               const std::map<std::string, std::string>& labels = {});

}  // namespace keelson::test
