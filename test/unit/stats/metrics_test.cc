// SPDX-License-Identifier: Apache-2.0
// The text of an exposition, and the lint that watches all others.
#include "kubelet/stats/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "test/lib/metrics_lint.h"

namespace keelson::kubelet {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using test::LintMetrics;

TEST(Metrics, ARegistryWritesEachFamilyOnce) {
  Registry registry;
  Family& calls = registry.Counter("kl_calls_total", "Calls made", {"kind", "code"});
  Family& pods = registry.Gauge("kl_pods", "Pods there are");
  Family& errors = registry.Counter("kl_errors_total", "What went wrong");
  Family& unused = registry.Counter("kl_unused_total", "Never counted", {"kind"});
  calls.Add({"get", "200"});
  calls.Add({"get", "200"}, 2);
  calls.Add({"a\"b\\c\nd", "500"});
  pods.Set({}, 2.5);
  errors.Add({}, 0);
  static_cast<void>(unused);
  EXPECT_EQ(registry.Text(),
            "# HELP kl_calls_total Calls made\n"
            "# TYPE kl_calls_total counter\n"
            "kl_calls_total{kind=\"a\\\"b\\\\c\\nd\",code=\"500\"} 1\n"
            "kl_calls_total{kind=\"get\",code=\"200\"} 3\n"
            "# HELP kl_pods Pods there are\n"
            "# TYPE kl_pods gauge\n"
            "kl_pods 2.5\n"
            "# HELP kl_errors_total What went wrong\n"
            "# TYPE kl_errors_total counter\n"
            "kl_errors_total 0\n");
  EXPECT_THAT(LintMetrics(registry.Text()), IsEmpty());
}

TEST(Metrics, AGaugeThatNobodySetIsAbsent) {
  Registry registry;
  registry.Gauge("kl_unknown", "Not measured");
  EXPECT_EQ(registry.Text(), "");
}

TEST(Metrics, AHistogramAddsUpItsBuckets) {
  Registry registry;
  Family& times = registry.Histogram("kl_seconds", "How long", {0.1, 1}, {"kind"});
  for (double value : {0.05, 0.1, 0.5, 3.0}) times.Observe({"a"}, value);
  EXPECT_EQ(registry.Text(),
            "# HELP kl_seconds How long\n"
            "# TYPE kl_seconds histogram\n"
            "kl_seconds_bucket{kind=\"a\",le=\"0.1\"} 2\n"
            "kl_seconds_bucket{kind=\"a\",le=\"1\"} 3\n"
            "kl_seconds_bucket{kind=\"a\",le=\"+Inf\"} 4\n"
            "kl_seconds_sum{kind=\"a\"} 3.65\n"
            "kl_seconds_count{kind=\"a\"} 4\n");
  EXPECT_THAT(LintMetrics(registry.Text()), IsEmpty());
}

TEST(Metrics, ASampleMaySayWhenItWasTaken) {
  MetricsText text;
  text.Family("kl_bytes", "Bytes", MetricType::kGauge);
  text.Sample({}, 7, base::FromUnixNanos(1'700'000'000'123'456'789));
  EXPECT_THAT(text.Take(), HasSubstr("kl_bytes 7 1700000000123\n"));
}

TEST(Metrics, NumbersAreShortAndExact) {
  EXPECT_EQ(MetricNumber(0), "0");
  EXPECT_EQ(MetricNumber(1.5), "1.5");
  EXPECT_EQ(MetricNumber(0.1), "0.1");
  EXPECT_EQ(MetricNumber(1700000000.25), "1700000000.25");
  EXPECT_EQ(MetricNumber(HUGE_VAL), "+Inf");
  EXPECT_EQ(MetricNumber(-HUGE_VAL), "-Inf");
  EXPECT_EQ(MetricNumber(std::nan("")), "NaN");
  for (double value : {8.0 * (1ull << 50), 1.0 / 3, 12345678901234.5})
    EXPECT_EQ(std::strtod(MetricNumber(value).c_str(), nullptr), value);
}

TEST(Metrics, SeriesOfWhatIsGoneCanBeRemoved) {
  Registry registry;
  Family& pods = registry.Gauge("kl_pods", "Pods there are", {"uid", "kind"});
  pods.Set({"1", "a"}, 1);
  pods.Set({"2", "a"}, 1);
  pods.RemoveIf([](const std::vector<std::string>& values) { return values[0] == "1"; });
  EXPECT_THAT(registry.Text(), HasSubstr("kl_pods{uid=\"2\",kind=\"a\"} 1\n"));
  EXPECT_THAT(registry.Text(), Not(HasSubstr("uid=\"1\"")));
}

TEST(MetricsLint, FindsWhatPrometheusWouldRefuse) {
  const std::pair<const char*, const char*> kBad[] = {
      {"# TYPE a gauge\na 1\n", "no HELP"},
      {"# HELP a x\n# TYPE a counter\na 1\n", "does not end in _total"},
      {"# HELP a_total x\n# TYPE a_total gauge\na_total 1\n", "is called _total"},
      {"# HELP a x\n# TYPE a gauge\na 1\n# HELP b x\n# TYPE b gauge\n# HELP a x\n", "second time"},
      {"# HELP a x\n# TYPE a gauge\na 1\na 2\n", "series twice"},
      {"# HELP a x\n# TYPE a gauge\nb 1\n", "another name"},
      {"# HELP a x\n# TYPE a gauge\na{1b=\"x\"} 1\n", "illegal label"},
      {"# HELP a x\n# TYPE a gauge\na{b=\"x} 1\n", "cannot be read"},
      {"# HELP a x\n# TYPE a gauge\na one\n", "no number"},
      {"# HELP a_total x\n# TYPE a_total counter\na_total -1\n", "below 0"},
      {"# HELP a x\n# TYPE a histogram\na_bucket{le=\"1\"} 2\na_bucket{le=\"+Inf\"} 1\n", "falling"},
      {"# HELP a x\n# TYPE a histogram\na_bucket{le=\"1\"} 2\n", "no bucket +Inf"},
      {"# HELP a x\n# TYPE a histogram\na_bucket{le=\"+Inf\"} 2\na_sum 1\na_count 3\n", "counts other"},
  };
  for (const auto& [text, problem] : kBad)
    EXPECT_THAT(LintMetrics(text), Contains(HasSubstr(problem))) << text;
}

}  // namespace
}  // namespace keelson::kubelet
