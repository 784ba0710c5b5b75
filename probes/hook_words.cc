// SPDX-License-Identifier: Apache-2.0
#include "probes/prober.h"

namespace keelson::probes {

namespace {
bool Acts(const k8s::v1::LifecycleHandler& handler) {
  return handler.has_exec() || handler.has_httpget() || handler.has_sleep();
}
}  // namespace

bool HasPostStart(const k8s::v1::Container& container) {
  return container.lifecycle().has_poststart() && Acts(container.lifecycle().poststart());
}

bool HasPreStop(const k8s::v1::Container& container) {
  return container.lifecycle().has_prestop() && Acts(container.lifecycle().prestop());
}

}  // namespace keelson::probes
