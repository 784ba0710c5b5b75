// SPDX-License-Identifier: Apache-2.0
#include "cri/node_facts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

namespace keelson::cri {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

TEST(NodeFacts, AreReadFromSys) {
  std::string name = std::filesystem::temp_directory_path() / "klsys.XXXXXX";
  const std::string sys = mkdtemp(name.data());
  for (const char* dir :
       {"kernel/mm/hugepages/hugepages-1048576kB", "kernel/mm/hugepages/hugepages-2048kB",
        "kernel/mm/hugepages/hugepages-64kB", "kernel/mm/hugepages/other",
        "devices/system/cpu/cpu10/thermal_throttle", "devices/system/cpu/cpu2/thermal_throttle",
        "devices/system/cpu/cpu3", "devices/system/cpu/cpufreq/thermal_throttle"})
    std::filesystem::create_directories(sys + "/" + dir);
  EXPECT_THAT(HugePageSizes(sys), ElementsAre("64KB", "2MB", "1GB"));
  EXPECT_THAT(ThermalThrottlePaths(sys),
              ElementsAre("/sys/devices/system/cpu/cpu2/thermal_throttle",
                          "/sys/devices/system/cpu/cpu10/thermal_throttle"));
  EXPECT_THAT(HugePageSizes(sys + "/none"), IsEmpty());
  EXPECT_THAT(ThermalThrottlePaths(sys + "/none"), IsEmpty());
  std::filesystem::remove_all(sys);
}

}  // namespace
}  // namespace keelson::cri
