// SPDX-License-Identifier: Apache-2.0
#pragma once

// One maker for each plugin, defined in the plugin's own file.

#include <memory>

#include "cni-plugins/lib/types.h"

namespace keelson::cni {

std::unique_ptr<Plugin> MakeDhcp();
std::unique_ptr<Plugin> MakeHostLocal();
std::unique_ptr<Plugin> MakeStatic();

std::unique_ptr<Plugin> MakeBandwidth();
std::unique_ptr<Plugin> MakeFirewall();
std::unique_ptr<Plugin> MakePortmap();
std::unique_ptr<Plugin> MakeSbr();
std::unique_ptr<Plugin> MakeTuning();
std::unique_ptr<Plugin> MakeVrf();

std::unique_ptr<Plugin> MakeBridge();
std::unique_ptr<Plugin> MakeDummy();
std::unique_ptr<Plugin> MakeHostDevice();
std::unique_ptr<Plugin> MakeIpvlan();
std::unique_ptr<Plugin> MakeLoopback();
std::unique_ptr<Plugin> MakeMacvlan();
std::unique_ptr<Plugin> MakePtp();
std::unique_ptr<Plugin> MakeTap();
std::unique_ptr<Plugin> MakeVlan();

}  // namespace keelson::cni
