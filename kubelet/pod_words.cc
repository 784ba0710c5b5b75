// SPDX-License-Identifier: Apache-2.0
// Words that need no more than the pod's own messages.
#include "kubelet/pod_config.h"
#include "probes/prober.h"

namespace keelson::kubelet {

std::string_view QosName(cgroups::QosClass qos) {
  switch (qos) {
    case cgroups::QosClass::kGuaranteed: return "Guaranteed";
    case cgroups::QosClass::kBurstable: return "Burstable";
    case cgroups::QosClass::kBestEffort: return "BestEffort";
  }
  return "";
}

}  // namespace keelson::kubelet
