// SPDX-License-Identifier: Apache-2.0
// Which pods a node refuses, why, and who makes room for a critical one.
#include "kubelet/admission.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kubelet/preemption.h"
#include "kubelet/status.h"
#include "proto/k8s/node.pb.h"
#include "test/unit/kubelet/scene.h"

namespace keelson::kubelet {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr char kPlain[] = "{containers: [{name: c}]}";
constexpr char kPriority[] = ", priority: 2000000000}";

NodeTerms Node() {
  NodeTerms node;
  node.name = "n1";
  node.labels = {{"kubernetes.io/os", "linux"}, {"zone", "a"}, {"cores", "8"}};
  return node;
}

std::string Words(const std::optional<Rejection>& rejection) {
  return rejection ? base::StrCat(rejection->reason, ": ", rejection->message) : "";
}

// --- The right node ---

TEST(MatchesNodeTest, SelectorsAndAffinityHaveToHold) {
  const auto affinity = [](const std::string& terms) {
    return "affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: "
           "{nodeSelectorTerms: [" +
           terms + "]}}}";
  };
  const auto one = [&](const std::string& expression) {
    return affinity("{matchExpressions: [" + expression + "]}");
  };
  const std::vector<std::pair<std::string, bool>> rows = {
      {"nodeSelector: {zone: a}", true},
      {"nodeSelector: {zone: b}", false},
      {"nodeSelector: {rack: ''}", false},
      {"nodeSelector: {zone: a, cores: '8'}", true},
      {one("{key: zone, operator: In, values: [b, a]}"), true},
      {one("{key: zone, operator: In, values: [b]}"), false},
      {one("{key: zone, operator: In}"), false},
      {one("{key: rack, operator: In, values: [a]}"), false},
      {one("{key: zone, operator: NotIn, values: [b]}"), true},
      {one("{key: zone, operator: NotIn, values: [a]}"), false},
      {one("{key: rack, operator: NotIn, values: [a]}"), true},
      {one("{key: zone, operator: Exists}"), true},
      {one("{key: rack, operator: Exists}"), false},
      {one("{key: rack, operator: DoesNotExist}"), true},
      {one("{key: zone, operator: DoesNotExist}"), false},
      {one("{key: cores, operator: Gt, values: ['7']}"), true},
      {one("{key: cores, operator: Gt, values: ['8']}"), false},
      {one("{key: cores, operator: Lt, values: ['16']}"), true},
      {one("{key: cores, operator: Lt, values: [many]}"), false},
      {one("{key: zone, operator: Gt, values: ['1']}"), false},
      {one("{key: zone, operator: Near, values: [a]}"), false},
      {one("{key: zone, operator: Exists}, {key: rack, operator: Exists}"), false},
      {affinity("{matchExpressions: [{key: rack, operator: Exists}]}, {matchExpressions: [{key: "
                "zone, operator: Exists}]}"),
       true},
      {affinity("{}"), false},
      {affinity("{}, {matchExpressions: [{key: zone, operator: Exists}]}"), true},
      {affinity("{matchFields: [{key: metadata.name, operator: In, values: [n1]}]}"), true},
      {affinity("{matchFields: [{key: metadata.name, operator: In, values: [n2]}]}"), false},
      {affinity("{matchFields: [{key: metadata.name, operator: NotIn, values: [n2]}]}"), true},
      {affinity("{matchFields: [{key: metadata.name, operator: In, values: [n1, n2]}]}"), false},
      {affinity("{matchFields: [{key: metadata.name, operator: Exists}]}"), false},
      {"nodeSelector: {zone: b}, " + one("{key: zone, operator: Exists}"), false},
  };
  for (const auto& [terms, matches] : rows)
    EXPECT_EQ(MatchesNode(PodOf("{" + terms + ", containers: [{name: c}]}"), Node()), matches)
        << terms;
}

TEST(ToleratesTest, KeysValuesAndEffectsHaveToFit) {
  v1::Taint taint;
  taint.set_key("k");
  taint.set_value("5");
  taint.set_effect("NoExecute");
  const std::vector<std::pair<std::string, bool>> rows = {
      {"{key: k, value: '5', effect: NoExecute}", true},
      {"{key: k, operator: Equal, value: '5'}", true},
      {"{key: k, operator: Equal, value: '6'}", false},
      {"{key: other, operator: Exists}", false},
      {"{key: k, operator: Exists, effect: NoSchedule}", false},
      {"{operator: Exists}", true},
      {"{key: k, operator: Gt, value: '4'}", true},
      {"{key: k, operator: Gt, value: '5'}", false},
      {"{key: k, operator: Lt, value: '6'}", true},
      {"{key: k, operator: Lt, value: x}", false},
      {"{key: k, operator: Like, value: '5'}", false},
  };
  for (const auto& [toleration, tolerates] : rows)
    EXPECT_EQ(Tolerates(PodOf("{tolerations: [" + toleration + "], containers: [{name: c}]}"),
                        taint),
              tolerates)
        << toleration;
}

TEST(AdmissionTest, WhatIsNotTheRightNodeRefuses) {
  Admission admission({2000, 1 << 30, 10});
  const v1::Pod picky = PodOf("{nodeSelector: {zone: b}, containers: [{name: c}]}");
  EXPECT_EQ(Words(admission.Decide(picky, {})), "") << "nothing is known of the node";
  NodeTerms node = Node();
  admission.SetNode(node);
  EXPECT_EQ(Words(admission.Decide(picky, {})),
            "NodeAffinity: Predicate NodeAffinity failed: node(s) didn't match Pod's node "
            "affinity/selector");
  EXPECT_EQ(Words(admission.Decide(PodOf("{nodeName: n2, containers: [{name: c}]}"), {})),
            "NodeName: Predicate NodeName failed: node(s) didn't match the requested node name");
  EXPECT_EQ(Words(admission.Decide(PodOf("{nodeName: n1, containers: [{name: c}]}"), {})), "");

  auto& taint = node.taints.emplace_back();
  taint.set_key("gone");
  taint.set_effect("NoSchedule");
  admission.SetNode(node);
  EXPECT_EQ(Words(admission.Decide(PodOf(kPlain), {})), "");
  node.taints[0].set_effect("NoExecute");
  admission.SetNode(node);
  EXPECT_EQ(Words(admission.Decide(PodOf(kPlain), {})),
            "TaintToleration: Predicate TaintToleration failed: node(s) had taints that the pod "
            "didn't tolerate");
  v1::Pod manifest = PodOf(kPlain);
  (*manifest.mutable_metadata()->mutable_annotations())[std::string(kConfigSource)] = "file";
  EXPECT_EQ(Words(admission.Decide(manifest, {})), "") << "static pods stay";
}

// --- Resources beyond cpu and memory ---

TEST(AdmissionTest, EveryResourceTheNodeCountsHasToSuffice) {
  NodeAllocatable node{2000, 1 << 30, 10};
  const auto wants = [](const std::string& requests) {
    return PodOf("{containers: [{name: c, resources: {requests: {" + requests + "}}}]}");
  };
  EXPECT_EQ(Words(Admission(node).Decide(wants("hugepages-2Mi: 4Mi"), {})), "") << "not known";
  node.other = {{"ephemeral-storage", 1000}, {"hugepages-2Mi", 4 << 20}, {"a.b/gpu", 2}};
  const Admission admission(node);
  const v1::Pod other = wants("'a.b/gpu': 1, ephemeral-storage: 400, hugepages-2Mi: 2Mi");
  struct Row {
    const char* requests;
    const char* words;
  };
  const Row rows[] = {
      {"ephemeral-storage: 600", ""},
      {"ephemeral-storage: 601",
       "OutOfephemeral-storage: Node didn't have enough resource: ephemeral-storage, requested: "
       "601, used: 400, capacity: 1000"},
      {"hugepages-2Mi: 4Mi",
       "OutOfhugepages-2Mi: Node didn't have enough resource: hugepages-2Mi, requested: 4194304, "
       "used: 2097152, capacity: 4194304"},
      {"hugepages-1Gi: 1Gi",
       "OutOfhugepages-1Gi: Node didn't have enough resource: hugepages-1Gi, requested: "
       "1073741824, used: 0, capacity: 0"},
      {"'a.b/gpu': 1", ""},
      {"'a.b/gpu': 2",
       "OutOfa.b/gpu: Node didn't have enough resource: a.b/gpu, requested: 2, used: 1, capacity: "
       "2"},
      {"'x.y/cluster-wide': 5", ""},
      {"'kubernetes.io/thing': 1",
       "OutOfkubernetes.io/thing: Node didn't have enough resource: kubernetes.io/thing, "
       "requested: 1, used: 0, capacity: 0"},
      {"'a.b/gpu': 2, cpu: 3",
       "OutOfcpu: Node didn't have enough resource: cpu, requested: 3000, used: 0, capacity: "
       "2000"},
  };
  for (const Row& row : rows)
    EXPECT_EQ(Words(admission.Decide(wants(row.requests), {&other})), row.words) << row.requests;
}

// --- The system ---

TEST(AdmissionTest, SysctlsOfOthersAreForbidden) {
  auto policy = SysctlPolicy::Make({"kernel.msg*", "net.core.somaxconn", "net/ipv4/conf/*"});
  ASSERT_TRUE(policy.ok()) << policy.status();
  const Admission admission({2000, 1 << 30, 10}, *std::move(policy));
  struct Row {
    const char* sysctl;
    const char* host;
    const char* words;
  };
  const Row rows[] = {
      {"net.ipv4.tcp_syncookies", "", ""},
      {"net/ipv4/tcp_syncookies", "", ""},
      {"kernel.shm_rmid_forced", "", ""},
      {"net.core.somaxconn", "", ""},
      {"kernel.msgmax", "", ""},
      {"net.ipv4.conf.eth0.forwarding", "", ""},
      {"net.core.rmem_max", "", "forbidden sysctl: \"net.core.rmem_max\" not allowlisted"},
      {"vm.swappiness", "", "forbidden sysctl: \"vm.swappiness\" not allowlisted"},
      {"net.ipv4.tcp_rmem", "hostNetwork: true, ",
       "forbidden sysctl: \"net.ipv4.tcp_rmem\" not allowed with host Net enabled"},
      {"kernel.msgmax", "hostIPC: true, ",
       "forbidden sysctl: \"kernel.msgmax\" not allowed with host IPC enabled"},
      {"kernel.shm_rmid_forced", "hostNetwork: true, ", ""},
  };
  for (const Row& row : rows) {
    const v1::Pod pod =
        PodOf(base::StrCat("{", row.host, "securityContext: {sysctls: [{name: '", row.sysctl,
                           "', value: '1'}]}, containers: [{name: c}]}"));
    const auto rejection = admission.Decide(pod, {});
    EXPECT_EQ(rejection ? rejection->message : "", row.words) << row.sysctl;
    if (rejection) {
      EXPECT_EQ(rejection->reason, "SysctlForbidden");
    }
  }
  EXPECT_TRUE(absl::IsInvalidArgument(SysctlPolicy::Make({"vm.*"}).status()));
}

TEST(AdmissionTest, StrictSupplementalGroupsNeedARuntimeThatHasThem) {
  Admission admission({2000, 1 << 30, 10});
  const v1::Pod pod = PodOf(
      "{securityContext: {supplementalGroupsPolicy: Strict}, containers: [{name: c}]}");
  EXPECT_EQ(Words(admission.Decide(pod, {})), "");
  admission.SetSupplementalGroupsPolicy(false);
  EXPECT_EQ(Words(admission.Decide(pod, {})),
            "SupplementalGroupsPolicyNotSupported: SupplementalGroupsPolicy=Strict is not "
            "supported in this node");
  EXPECT_EQ(Words(admission.Decide(PodOf(kPlain), {})), "");
  admission.SetSupplementalGroupsPolicy(true);
  EXPECT_EQ(Words(admission.Decide(pod, {})), "");
}

TEST(AdmissionTest, PressureRefusesPodsThatMakeItWorse) {
  Admission admission({2000, 1 << 30, 10});
  const v1::Pod best_effort = PodOf(kPlain);
  const v1::Pod burstable =
      PodOf("{containers: [{name: c, resources: {requests: {cpu: 1m}}}]}");
  const v1::Pod tolerant = PodOf(
      "{tolerations: [{key: node.kubernetes.io/memory-pressure, operator: Exists}], containers: "
      "[{name: c}]}");
  const v1::Pod critical = PodOf(std::string("{containers: [{name: c}]") + kPriority);
  admission.SetPressure({"MemoryPressure"});
  EXPECT_EQ(Words(admission.Decide(best_effort, {})),
            "Evicted: The node had condition: [MemoryPressure]. ");
  for (const v1::Pod* pod : {&burstable, &tolerant, &critical})
    EXPECT_EQ(Words(admission.Decide(*pod, {})), "");
  admission.SetPressure({"MemoryPressure", "DiskPressure"});
  for (const v1::Pod* pod : {&best_effort, &burstable, &tolerant})
    EXPECT_EQ(Words(admission.Decide(*pod, {})),
              "Evicted: The node had condition: [MemoryPressure DiskPressure]. ");
  EXPECT_EQ(Words(admission.Decide(critical, {})), "");
  admission.SetPressure({});
  EXPECT_EQ(Words(admission.Decide(best_effort, {})), "");
}

TEST(AdmissionTest, AppArmorIsNeededByThoseWhoAskForIt) {
  Admission admission({2000, 1 << 30, 10});
  const auto with = [](const std::string& profile) {
    return PodOf("{containers: [{name: c, securityContext: {appArmorProfile: {type: " + profile +
                 "}}}]}");
  };
  EXPECT_EQ(Words(admission.Decide(with("RuntimeDefault"), {})), "");
  admission.SetAppArmor(false);
  EXPECT_EQ(Words(admission.Decide(with("RuntimeDefault"), {})),
            "AppArmor: Cannot enforce AppArmor: AppArmor is not enabled on the host");
  EXPECT_EQ(Words(admission.Decide(with("Unconfined"), {})), "");
  v1::Pod old = PodOf(kPlain);
  (*old.mutable_metadata()
        ->mutable_annotations())["container.apparmor.security.beta.kubernetes.io/c"] =
      "runtime/default";
  EXPECT_EQ(admission.Decide(old, {})->reason, "AppArmor");
  admission.SetAppArmor(true);
  EXPECT_EQ(Words(admission.Decide(old, {})), "");
}

TEST(ToAllocatableTest, TakesWhatANodeSays) {
  const NodeAllocatable node = ToAllocatable({{"cpu", "1900m"},
                                              {"memory", "1Gi"},
                                              {"pods", "20"},
                                              {"ephemeral-storage", "2k"},
                                              {"a.b/gpu", "2"},
                                              {"bad", "x"}});
  EXPECT_EQ(node.milli_cpu, 1900);
  EXPECT_EQ(node.memory_bytes, 1 << 30);
  EXPECT_EQ(node.pods, 20);
  EXPECT_THAT(node.other, ElementsAre(std::make_pair("a.b/gpu", 2),
                                      std::make_pair("ephemeral-storage", 2000)));
}

TEST(TermsOfTest, TakesNameLabelsAndTaints) {
  v1::Node node;
  node.mutable_metadata()->set_name("n1");
  (*node.mutable_metadata()->mutable_labels())["zone"] = "a";
  node.mutable_spec()->add_taints()->set_key("k");
  const NodeTerms terms = TermsOf(node);
  EXPECT_EQ(terms.name, "n1");
  EXPECT_EQ(terms.labels.at("zone"), "a");
  ASSERT_EQ(terms.taints.size(), 1u);
  EXPECT_EQ(terms.taints[0].key(), "k");
}

TEST(DisruptionTest, APodThatEndsForOthersSaysSoOnce) {
  v1::Pod pod = PodOf(kPlain);
  auto* before = pod.mutable_status()->add_conditions();
  before->set_type("DisruptionTarget");
  before->set_status("False");
  const ObservedPod seen;
  const v1::PodStatus previous;
  const std::map<std::string, Waiting> waiting;
  const ProbeResults probes;
  const std::map<std::string, std::string> messages;
  StatusInput input{pod, seen, previous, {}, {}, waiting, probes, messages, "rt", "", {}, {}};
  input.terminating = input.terminal = true;
  input.verdict = Preempted();
  v1::PodStatus status = MakePodStatus(input);
  EXPECT_EQ(status.phase(), "Failed");
  EXPECT_EQ(status.reason(), "Preempting");
  EXPECT_EQ(status.message(), "Preempted in order to admit critical pod");
  const v1::PodCondition* condition = FindCondition(status, "DisruptionTarget");
  ASSERT_NE(condition, nullptr);
  EXPECT_EQ(condition->status(), "True");
  EXPECT_EQ(condition->reason(), "TerminationByKubelet");
  EXPECT_EQ(condition->message(), "Pod was preempted by Kubelet to accommodate a critical pod.");
  EXPECT_EQ(std::count_if(status.conditions().begin(), status.conditions().end(),
                          [](const auto& c) { return c.type() == "DisruptionTarget"; }),
            1);
  // Without a verdict the object's own is carried on.
  input.verdict.reset();
  status = MakePodStatus(input);
  EXPECT_EQ(FindCondition(status, "DisruptionTarget")->status(), "False");
}

TEST(AdmissionTest, AShutdownHasTheLastWord) {
  Admission admission({2000, 1 << 30, 10});
  admission.SetLastCheck([] { return Rejection{"NodeShutdown", "closed"}; });
  EXPECT_EQ(Words(admission.Decide(PodOf(kPlain), {})), "NodeShutdown: closed");
  admission.SetNode(Node());
  EXPECT_TRUE(Words(admission.Decide(PodOf("{nodeName: x, containers: [{name: c}]}"), {}))
                  .starts_with("NodeName"));
}

// --- Room for critical pods ---

class PreemptionTest : public testing::Test {
 protected:
  // "cpu memory" requested; equal limits when guaranteed.
  const v1::Pod* Runs(const std::string& name, const std::string& requests,
                      const std::string& more = "", bool guaranteed = false) {
    v1::Pod pod = PodOf("{containers: [{name: c, resources: {requests: {" + requests + "}" +
                        (guaranteed ? ", limits: {" + requests + "}" : "") + "}}]" + more + "}");
    pod.mutable_metadata()->set_name(name);
    pods_.push_back(std::make_unique<v1::Pod>(std::move(pod)));
    return pods_.back().get();
  }
  std::vector<const v1::Pod*> All() const {
    std::vector<const v1::Pod*> all;
    for (const auto& pod : pods_) all.push_back(pod.get());
    return all;
  }
  AdmissionVerdict Consider(const std::string& requests, const std::string& more = kPriority) {
    const v1::Pod pod =
        PodOf("{containers: [{name: c, resources: {requests: {" + requests + "}}}]" + more);
    return admission_.Consider(pod, All());
  }
  static std::vector<std::string> Names(const std::vector<const v1::Pod*>& pods) {
    std::vector<std::string> names;
    for (const v1::Pod* pod : pods) names.push_back(pod->metadata().name());
    return names;
  }

  Admission admission_{{4000, int64_t{4} << 30, 4}};
  std::vector<std::unique_ptr<v1::Pod>> pods_;
};

TEST_F(PreemptionTest, ACriticalPodThatFitsEndsNobody) {
  Runs("a", "cpu: 1");
  const auto verdict = Consider("cpu: 3");
  EXPECT_FALSE(verdict.rejection);
  EXPECT_THAT(verdict.preempt, IsEmpty());
}

TEST_F(PreemptionTest, AnOrdinaryPodIsRefusedInstead) {
  Runs("a", "cpu: 4");
  const auto verdict = Consider("cpu: 1", ", priority: 5}");
  EXPECT_EQ(verdict.rejection->reason, "OutOfcpu");
  EXPECT_THAT(verdict.preempt, IsEmpty());
}

TEST_F(PreemptionTest, TheFewestAndSmallestEnd) {
  Runs("small", "cpu: 500m");
  Runs("fits", "cpu: 1");
  Runs("large", "cpu: 2500m");
  const auto verdict = Consider("cpu: 1");
  EXPECT_EQ(verdict.rejection->reason, "OutOfcpu");
  EXPECT_THAT(Names(verdict.preempt), ElementsAre("fits"));
}

TEST_F(PreemptionTest, BurstableEndsBeforeGuaranteed) {
  Runs("guaranteed", "cpu: 2, memory: 1Gi", "", true);
  Runs("b1", "cpu: 1");
  Runs("b2", "cpu: 1");
  EXPECT_THAT(Names(Consider("cpu: 2").preempt), testing::UnorderedElementsAre("b1", "b2"));
  EXPECT_THAT(Names(Consider("cpu: 3").preempt),
              testing::UnorderedElementsAre("b2", "guaranteed"));
}

TEST_F(PreemptionTest, ABestEffortPodMakesRoomWhenThereAreTooMany) {
  for (const char* name : {"a", "b", "c"}) Runs(name, "cpu: 100m");
  Runs("d", "");
  const auto verdict = Consider("cpu: 100m");
  EXPECT_EQ(verdict.rejection->reason, "OutOfpods");
  EXPECT_THAT(Names(verdict.preempt), ElementsAre("d"));
}

TEST_F(PreemptionTest, CriticalPodsEndOnlyForHigherPriorities) {
  Runs("critical", "cpu: 4", ", priority: 2000000000");
  const auto verdict = Consider("cpu: 500m");
  EXPECT_EQ(Words(verdict.rejection),
            "UnexpectedAdmissionError: Unexpected error while attempting to recover from admission "
            "failure: preemption: error finding a set of pods to preempt: no set of running pods "
            "found to reclaim resources: [(res: cpu, q: 500), ]");
  EXPECT_THAT(verdict.preempt, IsEmpty());
  EXPECT_THAT(Names(Consider("cpu: 500m", ", priority: 2000001000}").preempt),
              ElementsAre("critical"));
}

TEST_F(PreemptionTest, WhatEndingOthersCannotMendComesFirst) {
  Runs("a", "cpu: 4");
  admission_.SetNode(Node());
  const auto verdict = Consider("cpu: 1", ", nodeName: n2, priority: 2000000000}");
  EXPECT_EQ(verdict.rejection->reason, "NodeName");
  EXPECT_THAT(verdict.preempt, IsEmpty());
}

TEST_F(PreemptionTest, SeveralShortagesAreMendedTogetherTheNearestFirst) {
  Runs("cpu", "cpu: 3");
  Runs("memory", "memory: 3Gi");
  Runs("both", "cpu: 1, memory: 1Gi");
  EXPECT_THAT(Names(Consider("cpu: 1, memory: 1Gi").preempt), ElementsAre("both"));
  EXPECT_THAT(Names(Consider("cpu: 2, memory: 2Gi").preempt),
              ElementsAre("both", "cpu", "memory"));
}

}  // namespace
}  // namespace keelson::kubelet
