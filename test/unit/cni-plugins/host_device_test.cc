// SPDX-License-Identifier: Apache-2.0
#include "cni-plugins/main/host_device.h"

#include <gtest/gtest.h>

#include <filesystem>

namespace keelson::cni {
namespace {

namespace fs = std::filesystem;

class HostDevice : public testing::Test {
 protected:
  HostDevice() { sys_ = fs::path(testing::TempDir()) / ("klhd" + std::to_string(::getpid())); }
  ~HostDevice() override { fs::remove_all(sys_); }

  void MakeDir(const std::string& path) { fs::create_directories(sys_ / path); }
  void MakeDriver(const std::string& address, const std::string& driver) {
    MakeDir("bus/pci/drivers/" + driver);
    MakeDir("bus/pci/devices/" + address);
    fs::create_symlink("../../drivers/" + driver, sys_ / "bus/pci/devices" / address / "driver");
  }
  Or<HostDeviceConf> Conf(const std::string& members) {
    Request request;
    request.conf = *NetConf::Parse(R"({"cniVersion":"1.0.0","name":"n",)" + members + "}");
    return ParseHostDeviceConf(request);
  }
  fs::path sys_;
};

TEST_F(HostDevice, ItMustBeNamedSomehow) {
  EXPECT_FALSE(Conf(R"("type":"host-device")").ok());
  EXPECT_TRUE(Conf(R"("device":"eth1")").ok());
  EXPECT_TRUE(Conf(R"("hwaddr":"02:00:00:00:00:01")").ok());
  EXPECT_TRUE(Conf(R"("kernelpath":"/sys/devices/pci0000:00/x")").ok());
  EXPECT_TRUE(Conf(R"("runtimeConfig":{"deviceID":"0000:00:05.0"})").ok());
}

TEST_F(HostDevice, PathsCannotLeaveSys) {
  EXPECT_FALSE(Conf(R"("kernelpath":"/sys/devices/../../etc")").ok());
  EXPECT_FALSE(Conf(R"("kernelpath":"/etc")").ok());
  EXPECT_FALSE(Conf(R"("pciBusID":"../../../etc")").ok());
  EXPECT_FALSE(Conf(R"("runtimeConfig":{"deviceID":".."})").ok());
}

TEST_F(HostDevice, DriversForUserspaceHaveNoDeviceToMove) {
  MakeDriver("0000:00:05.0", "vfio-pci");
  MakeDriver("0000:00:06.0", "e1000");
  HostDeviceConf dpdk, plain;
  dpdk.pci_address = "0000:00:05.0";
  plain.pci_address = "0000:00:06.0";
  EXPECT_TRUE(ResolveDeviceId(sys_, &dpdk).ok());
  EXPECT_TRUE(ResolveDeviceId(sys_, &plain).ok());
  EXPECT_TRUE(dpdk.userspace_driver);
  EXPECT_FALSE(plain.userspace_driver);
}

TEST_F(HostDevice, DeviceIdMayBeOnEitherBus) {
  MakeDriver("0000:00:06.0", "e1000");
  MakeDir("bus/auxiliary/devices/mlx5_core.sf.2");
  HostDeviceConf pci, auxiliary, unknown;
  pci.device_id = "0000:00:06.0";
  auxiliary.device_id = "mlx5_core.sf.2";
  unknown.device_id = "nope";
  EXPECT_TRUE(ResolveDeviceId(sys_, &pci).ok());
  EXPECT_EQ(pci.pci_address, "0000:00:06.0");
  EXPECT_TRUE(ResolveDeviceId(sys_, &auxiliary).ok());
  EXPECT_EQ(auxiliary.auxiliary, "mlx5_core.sf.2");
  EXPECT_EQ(ResolveDeviceId(sys_, &unknown).message().find("runtimeConfig.deviceID: "), 0u);
}

TEST_F(HostDevice, NetDeviceOfAPciCardAndOfAVirtioCard) {
  MakeDir("bus/pci/devices/0000:00:06.0/net/ens6");
  MakeDir("bus/pci/devices/0000:00:07.0/virtio3/net/ens7");
  MakeDir("bus/pci/devices/0000:00:08.0");
  EXPECT_EQ(*PciNetDevice(sys_, "0000:00:06.0"), "ens6");
  EXPECT_EQ(*PciNetDevice(sys_, "0000:00:07.0"), "ens7");
  EXPECT_FALSE(PciNetDevice(sys_, "0000:00:08.0").ok());
}

}  // namespace
}  // namespace keelson::cni
