// SPDX-License-Identifier: Apache-2.0
// Flags, file and drop-ins as one answer: who wins, and what is said about what.
#include "kubelet/options/options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>

#include "base/files.h"
#include "base/strings.h"

namespace keelson::kubelet {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr std::string_view kHead =
    "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n";
constexpr std::string_view kStandalone =
    "authentication: {webhook: {enabled: false}}\nauthorization: {mode: AlwaysAllow}\n";

class Options : public ::testing::Test {
 protected:
  Options() {
    char name[] = "/tmp/klopt-XXXXXX";
    dir_ = ::mkdtemp(name);
  }
  ~Options() override { (void)base::RemoveTree(dir_); }

  // Writes a file below the test's directory; returns its path.
  std::string Put(const std::string& name, std::string_view text) {
    std::string path = dir_ + "/" + name;
    EXPECT_TRUE(base::MakeDirs(path.substr(0, path.find_last_of('/')), 0755).ok());
    EXPECT_TRUE(base::WriteFileAtomic(path, text, 0644, false).ok());
    return path;
  }
  std::string File(std::string_view body) {
    return "--config=" + Put("kubelet.yaml", base::StrCat(kHead, kStandalone, body));
  }
  static absl::StatusOr<LoadedOptions> Load(const std::vector<std::string>& flags) {
    std::vector<const char*> argv = {"kubelet"};
    for (const auto& flag : flags) argv.push_back(flag.c_str());
    return LoadOptions(static_cast<int>(argv.size()), argv.data());
  }
  static KubeletOptions Good(const std::vector<std::string>& flags) {
    auto loaded = Load(flags);
    EXPECT_TRUE(loaded.ok()) << loaded.status();
    return loaded.ok() ? loaded->options : KubeletOptions();
  }
  static std::string Error(const std::vector<std::string>& flags) {
    auto loaded = Load(flags);
    EXPECT_FALSE(loaded.ok());
    return std::string(base::Message(loaded.status()));
  }

  std::string dir_;
};

TEST_F(Options, WithoutAFileTheOldOpenDefaultsHold) {
  auto o = Good({});
  EXPECT_TRUE(o.config.authentication().anonymous().enabled());
  EXPECT_FALSE(o.config.authentication().webhook().enabled());
  EXPECT_EQ(o.config.authorization().mode(), "AlwaysAllow");
  EXPECT_EQ(o.config.readonlyport(), 10255);
  EXPECT_TRUE(o.config.evictionhard().empty());
  EXPECT_EQ(o.root_dir, "/var/lib/kubelet");
  EXPECT_EQ(o.config.cgrouproot(), "/");
}

TEST_F(Options, AFileBringsTheSafeDefaults) {
  auto o = Good({File("")});
  EXPECT_FALSE(o.config.authentication().anonymous().enabled());
  EXPECT_EQ(o.config.readonlyport(), 0);
  EXPECT_EQ(o.config.evictionhard().at("memory.available"), "100Mi");
  EXPECT_EQ(o.config.evictionhard().size(), 5u);
  EXPECT_EQ(o.config.maxpods(), 110);
  EXPECT_EQ(o.config.syncfrequency().duration(), 60'000'000'000);
  EXPECT_THAT(o.config.enforcenodeallocatable(), ElementsAre("pods"));
  EXPECT_TRUE(o.config.serializeimagepulls());
}

TEST_F(Options, EvictionSettingsOfTheFileStandAloneUnlessMerged) {
  EXPECT_EQ(Good({File("evictionHard: {pid.available: 5%}\n")}).config.evictionhard().size(), 1u);
  EXPECT_EQ(Good({File("evictionHard: {pid.available: 5%}\nmergeDefaultEvictionSettings: true\n")})
                .config.evictionhard().size(), 6u);
  EXPECT_TRUE(Good({File("evictionHard: {}\n")}).config.evictionhard().empty());
}

TEST_F(Options, ZeroIsADefaultForPlainFieldsAndAValueForPointers) {
  auto o = Good({File("maxPods: 0\nhealthzPort: 0\nresolvConf: \"\"\nsyncFrequency: 0s\n")});
  EXPECT_EQ(o.config.maxpods(), 110);
  EXPECT_EQ(o.config.healthzport(), 0);
  EXPECT_EQ(o.config.resolvconf(), "");
  EXPECT_EQ(o.config.syncfrequency().duration(), 60'000'000'000);
}

TEST_F(Options, ReportFrequencyFollowsAnExplicitUpdateFrequency) {
  EXPECT_EQ(Good({File("")}).config.nodestatusreportfrequency().duration(), 300'000'000'000);
  EXPECT_EQ(Good({File("nodeStatusUpdateFrequency: 20s\n")})
                .config.nodestatusreportfrequency().duration(), 20'000'000'000);
}

TEST_F(Options, ParallelPullsSwitchOffSerialOnes) {
  EXPECT_FALSE(Good({File("maxParallelImagePulls: 2\n")}).config.serializeimagepulls());
  EXPECT_TRUE(Good({File("maxParallelImagePulls: 1\n")}).config.serializeimagepulls());
}

TEST_F(Options, AFlagWinsOverTheFile) {
  auto o = Good({File("maxPods: 50\nclusterDNS: [10.0.0.1]\n"), "--max-pods=0",
                 "--cluster_dns=10.0.0.2,10.0.0.3", "--resolv-conf=", "--v", "4"});
  EXPECT_EQ(o.config.maxpods(), 0);
  EXPECT_THAT(o.config.clusterdns(), ElementsAre("10.0.0.2", "10.0.0.3"));
  EXPECT_EQ(o.config.resolvconf(), "");
  EXPECT_EQ(o.verbosity, 4);
}

TEST_F(Options, FeatureGatesOfFlagsAndFileMerge) {
  auto gates = Good({File("featureGates: {MemoryQoS: true, EnvFiles: true}\n"),
                     "--feature-gates=EnvFiles=false,PodsAPI=true"}).config.featuregates();
  EXPECT_TRUE(gates.at("MemoryQoS"));
  EXPECT_FALSE(gates.at("EnvFiles"));
  EXPECT_TRUE(gates.at("PodsAPI"));
}

TEST_F(Options, MapsFromFlagsReplaceTheFile) {
  auto o = Good({File("evictionHard: {pid.available: 5%}\nsystemReserved: {cpu: '1'}\n"),
                 "--eviction-hard=memory.available<1Gi,nodefs.available<5%",
                 "--system-reserved=memory=1Gi"});
  EXPECT_EQ(o.config.evictionhard().size(), 2u);
  EXPECT_EQ(o.config.evictionhard().at("memory.available"), "1Gi");
  EXPECT_EQ(o.config.systemreserved().size(), 1u);
}

TEST_F(Options, DropInsMergeInLexicalOrderAndNullDeletes) {
  auto drop = [&](const char* name, std::string_view body) {
    Put(base::StrCat("d/", name), base::StrCat(kHead, body));
  };
  drop("20.conf", "maxPods: 70\nclusterDNS: [10.0.0.9]\nclusterDomain: null\n");
  drop("10.conf", "maxPods: 60\nfeatureGates: {PodsAPI: true}\n");
  drop("a/30.conf", "port: 10260\n");
  drop("99.yaml", "maxPods: 99\n");
  auto o = Good({File("clusterDNS: [10.0.0.1, 10.0.0.2]\nclusterDomain: x.y\n"
                      "featureGates: {EnvFiles: true}\n"),
                 "--config-dir=" + dir_ + "/d"});
  EXPECT_EQ(o.config.maxpods(), 70);
  EXPECT_THAT(o.config.clusterdns(), ElementsAre("10.0.0.9"));
  EXPECT_EQ(o.config.clusterdomain(), "");
  EXPECT_EQ(o.config.featuregates().size(), 2u);
  EXPECT_EQ(o.config.port(), 10260);
}

TEST_F(Options, ADropInWithoutKindStopsTheStart) {
  Put("d/1.conf", "maxPods: 3\n");
  EXPECT_THAT(Error({File(""), "--config-dir=" + dir_ + "/d"}), HasSubstr("apiVersion"));
}

TEST_F(Options, RelativePathsStartAtTheFile) {
  auto o = Good({File("staticPodPath: manifests\npodLogsDir: logs\nresolvConf: /etc/r\n")});
  EXPECT_EQ(o.config.staticpodpath(), dir_ + "/manifests");
  EXPECT_EQ(o.config.podlogsdir(), dir_ + "/logs");
  EXPECT_EQ(o.config.resolvconf(), "/etc/r");
}

TEST_F(Options, UnknownAndDuplicateFieldsAreReadPastWithAWarning) {
  auto o = Good({File("maxPodz: 3\nmaxPods: 4\nmaxPods: 5\n")});
  EXPECT_EQ(o.config.maxpods(), 5);
  EXPECT_THAT(o.warnings, Contains(HasSubstr("maxPodz")));
  EXPECT_THAT(o.warnings, Contains(HasSubstr("kubelet.yaml:7")));
}

TEST_F(Options, FlagsThatMirrorAFieldSayTheyAreDeprecated) {
  EXPECT_THAT(Good({"--max-pods=3"}).warnings, ElementsAre(HasSubstr("maxPods")));
  EXPECT_THAT(Good({"--provider-id=x", "--fail-cgroupv1=false", "-v=2"}).warnings, IsEmpty());
}

TEST_F(Options, FlagsWithoutAFieldAreKept) {
  auto o = Good({"--hostname-override= Node-A ", "--node-ip=10.0.0.1,fd00::1",
                 "--node-labels=a=b,node.kubernetes.io/x=y", "--root-dir", "/r", "--lock-file=/l",
                 "--exit-on-lock-contention", "--maximum-dead-containers=-1"});
  EXPECT_EQ(o.hostname_override, "node-a");
  EXPECT_EQ(o.node_labels.at("node.kubernetes.io/x"), "y");
  EXPECT_EQ(o.root_dir, "/r");
  EXPECT_TRUE(o.exit_on_lock_contention);
}

TEST_F(Options, StructuredFlagsBecomeStructures) {
  auto o = Good({"--register-with-taints=k=v:NoSchedule,e:NoExecute", "--vmodule=a=1,b=2",
                 "--manifest-url-header=A:1,A:2", "--reserved-memory=0:memory=1Gi;1:memory=2Gi",
                 "--tls-curve-preferences=23,29", "--feature-gates=EnvFiles=true"});
  EXPECT_EQ(o.config.registerwithtaints(0).value(), "v");
  EXPECT_EQ(o.config.registerwithtaints(1).effect(), "NoExecute");
  EXPECT_EQ(o.config.logging().vmodule(1).filepattern(), "b");
  EXPECT_EQ(o.config.staticpodurlheader().at("A").items_size(), 2);
  EXPECT_EQ(o.config.reservedmemory(1).numanode(), 1);
  EXPECT_THAT(o.config.tlscurvepreferences(), ElementsAre(23, 29));
}

TEST_F(Options, ReservedCpusTakeThePlaceOfReservedCpuAmounts) {
  auto o = Good({File("kubeReserved: {cpu: '1', memory: 1Gi}\nreservedSystemCPUs: 0-2,5\n")});
  EXPECT_FALSE(o.config.kubereserved().contains("cpu"));
  EXPECT_EQ(o.config.systemreserved().at("cpu"), "4");
}

TEST_F(Options, WhatNothingActsOnIsNamed) {
  auto o = Good({File("staticPodPath: /m\nqosReserved: {memory: 50%}\n"), "--lock-file=/x"});
  auto names = NotYetActedOn(o);
  EXPECT_THAT(names, Contains("qosReserved"));
  EXPECT_THAT(names, Contains("--lock-file"));
  EXPECT_THAT(names, Not(Contains("staticPodPath")));
}

TEST_F(Options, HelpHasSectionsFlagsAndDefaults) {
  std::string help = Load({"--help"})->early_output;
  for (const char* part : {"NAME\n", "SYNOPSIS\n", "\nEviction\n", "\nLogging\n",
                           "  --max-pods=N *\n      Pods the node takes [110]\n",
                           "  -v, --v=N\n", "  --eviction-hard=SIGNAL<V,... *\n"})
    EXPECT_THAT(help, HasSubstr(part));
}

TEST_F(Options, VersionIsKubernetesAndItsMinor) {
  EXPECT_THAT(Load({"--version"})->early_output, HasSubstr("Kubernetes v1.36."));
  EXPECT_THAT(Load({"--version=raw"})->early_output, HasSubstr("Minor:\"36\""));
}

struct Line {
  std::vector<std::string> flags;
  const char* expected;
};

TEST_F(Options, ABadCommandLineIsExplained) {
  const Line lines[] = {
      {{"--pod-infra-container-image=x"}, "unknown flag: --pod-infra-container-image"},
      {{"run"}, "unknown command run"},
      {{"--config"}, "flag needs an argument: --config"},
      {{"-x"}, "unknown shorthand flag: 'x' in -x"},
      {{"--max-pods=ten"},
       "invalid argument \"ten\" for \"--max-pods\" flag: strconv.ParseInt: parsing \"ten\": "
       "invalid syntax"},
      {{"--fail-swap-on=maybe"},
       "invalid argument \"maybe\" for \"--fail-swap-on\" flag: strconv.ParseBool: parsing "
       "\"maybe\": invalid syntax"},
      {{"--sync-frequency=5"},
       "invalid argument \"5\" for \"--sync-frequency\" flag: time: invalid duration \"5\""},
      {{"--eviction-hard=memory.available=5"},
       "invalid argument \"memory.available=5\" for \"--eviction-hard\" flag: malformed pair, expect "
       "string<string"},
      {{"--fail-swap-on", "false"}, "unknown command false"},
  };
  for (const Line& line : lines) EXPECT_EQ(Error(line.flags), line.expected);
}

}  // namespace
}  // namespace keelson::kubelet
