// SPDX-License-Identifier: Apache-2.0
// The variables that tell containers of services (docs.k8s.io: Services, environment variables).
// Pure; any thread.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "cri/identity.h"

namespace k8s::v1 {
class Service;
}

namespace keelson::cri {

// Of the services that have an address: default/kubernetes always, those of `name_space` when the
// pod has service links on. A service of the namespace wins over default/kubernetes by its name.
StringMap ServiceEnvironment(const std::vector<std::shared_ptr<const k8s::v1::Service>>& services,
                             const std::string& name_space, bool service_links);

}  // namespace keelson::cri
