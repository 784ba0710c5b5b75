// SPDX-License-Identifier: Apache-2.0
#include "kubelet/sources/validation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "test/unit/sources/manifests.h"

namespace keelson::kubelet::sources {
namespace {

using ::testing::HasSubstr;

struct Case {
  const char* text;     // of the spec, the container, ...
  const char* verdict;  // a part of it
};

void PrintTo(const Case& c, std::ostream* out) { *out << c.text; }

class Spec : public ::testing::TestWithParam<Case> {};
TEST_P(Spec, IsJudged) {
  EXPECT_THAT(Verdict(WithContainer(GetParam().text)), HasSubstr(GetParam().verdict));
}

class Container : public ::testing::TestWithParam<Case> {};
TEST_P(Container, IsJudged) {
  EXPECT_THAT(Verdict(PodText(base::StrCat(
                  "{volumes: [{name: v}], containers: [{name: c, image: i:1, ", GetParam().text,
                  "}]}"))),
              HasSubstr(GetParam().verdict));
}

class InitContainer : public ::testing::TestWithParam<Case> {};
TEST_P(InitContainer, IsJudged) {
  EXPECT_THAT(Verdict(WithContainer(base::StrCat("initContainers: [", GetParam().text, "]"))),
              HasSubstr(GetParam().verdict));
}

class Volume : public ::testing::TestWithParam<Case> {};
TEST_P(Volume, IsJudged) {
  EXPECT_THAT(Verdict(WithContainer(base::StrCat("volumes: [", GetParam().text, "]"))),
              HasSubstr(GetParam().verdict));
}

class Metadata : public ::testing::TestWithParam<Case> {};
TEST_P(Metadata, IsJudged) {
  EXPECT_THAT(Verdict(PodText("{containers: [{name: c, image: i}]}", GetParam().text)),
              HasSubstr(GetParam().verdict));
}

INSTANTIATE_TEST_SUITE_P(
    All, Metadata,
    ::testing::Values(
        Case{"{name: web, labels: {a/b: c}, annotations: {'X/y': 'any thing'}}", "fine"},
        Case{"{name: Web}",
             "metadata.name: Invalid value: \"Web-node1\": a lowercase RFC 1123 sub"},
        Case{"{name: web, namespace: a.b}",
             "metadata.namespace: Invalid value: \"a.b\": must not contain dots"},
        Case{"{name: web, labels: {'a b': c}}",
             "metadata.labels: Invalid value: \"a b\": name part"},
        Case{"{name: web, labels: {a: 'b c'}}",
             "metadata.labels: Invalid value: \"b c\": a valid label must be an empty string"},
        Case{"{name: web, annotations: {'a b': c}}",
             "metadata.annotations: Invalid value: \"a b\": name part must consist"},
        Case{"{name: web, finalizers: ['a b']}", "metadata.finalizers: Invalid value: \"a b\""},
        Case{"{name: web, ownerReferences: [{apiVersion: v1, kind: Node, uid: u}]}",
             "metadata.ownerReferences.name: Invalid value: \"\": must not be empty"},
        Case{"{name: web, annotations: {controller.kubernetes.io/pod-deletion-cost: '1e3'}}",
             "metadata.annotations[controller.kubernetes.io/pod-deletion-cost]: Invalid value: "
             "\"1e3\": must be a 32bit integer"},
        Case{"{name: web, annotations: {controller.kubernetes.io/pod-deletion-cost: '-5'}}",
             "fine"},
        Case{"{name: web, annotations: {container.apparmor.security.beta.kubernetes.io/x: "
             "unconfined}}",
             "Invalid value: \"x\": container not found"},
        Case{"{name: web, annotations: {container.apparmor.security.beta.kubernetes.io/c: what}}",
             "invalid AppArmor profile name: \"what\""},
        Case{"{name: web, annotations: {seccomp.security.alpha.kubernetes.io/pod: what}}",
             "must be a valid seccomp profile"}));

TEST(MetadataSize, AnnotationsHaveALimit) {
  const std::string big(256 << 10, 'x');
  EXPECT_THAT(Verdict(PodText("{containers: [{name: c, image: i}]}",
                              base::StrCat("{name: web, annotations: {a: ", big, "}}"))),
              HasSubstr("metadata.annotations: Too long: may not be more than 262144 bytes"));
}

INSTANTIATE_TEST_SUITE_P(
    All, Spec,
    ::testing::Values(
        Case{"hostNetwork: true", "fine"},
        Case{"restartPolicy: Sometimes",
             "spec.restartPolicy: Unsupported value: \"Sometimes\": supported values: \"Always\", "
             "\"OnFailure\", \"Never\""},
        Case{"dnsPolicy: Mine", "spec.dnsPolicy: Unsupported value: \"Mine\""},
        Case{"dnsPolicy: None",
             "spec.dnsConfig: Required value: must provide `dnsConfig` when `dnsPolicy` is None"},
        Case{"dnsPolicy: None, dnsConfig: {}", "spec.dnsConfig.nameservers: Required value"},
        Case{"dnsConfig: {nameservers: [a]}",
             "spec.dnsConfig.nameservers[0]: Invalid value: \"a\": must be a valid IP address"},
        Case{"dnsConfig: {nameservers: [1.1.1.1, 1.1.1.2, 1.1.1.3, 1.1.1.4]}",
             "must not have more than 3 nameservers"},
        Case{"dnsConfig: {searches: ['.', 'a_b.c.']}", "fine"},
        Case{"dnsConfig: {searches: ['a b']}", "spec.dnsConfig.searches[0]: Invalid value"},
        Case{"dnsConfig: {options: [{value: x}]}",
             "spec.dnsConfig.options[0]: Required value: must not be empty"},
        Case{"activeDeadlineSeconds: 0",
             "spec.activeDeadlineSeconds: Invalid value: 0: must be between 1 and 2147483647"},
        Case{"hostname: a.b", "spec.hostname: Invalid value: \"a.b\": must not contain dots"},
        Case{"subdomain: A", "spec.subdomain: Invalid value: \"A\""},
        Case{"hostAliases: [{ip: x, hostnames: [a]}]", "spec.hostAliases[0].ip: Invalid value"},
        Case{"hostAliases: [{ip: '::1', hostnames: [a, B]}]",
             "spec.hostAliases[0].hostnames[1]: Invalid value: \"B\""},
        Case{"tolerations: [{operator: Equal}]",
             "spec.tolerations[0].operator: Invalid value: \"Equal\": operator must be Exists when "
             "`key` is empty"},
        Case{"tolerations: [{key: a, operator: Exists, value: b}]",
             "value must be empty when `operator` is 'Exists'"},
        Case{"tolerations: [{key: a, effect: Never}]",
             "spec.tolerations[0].effect: Unsupported value: \"Never\""},
        Case{"tolerations: [{key: a, tolerationSeconds: 1}]",
             "effect must be 'NoExecute' when `tolerationSeconds` is set"},
        Case{"tolerations: [{key: a, operator: Lt, value: '1'}]",
             "Unsupported value: \"Lt\": supported values: \"Equal\", \"Exists\", \"Lt\", \"Gt\""},
        Case{"nodeSelector: {a: 'b c'}", "spec.nodeSelector: Invalid value: \"b c\""},
        Case{"priorityClassName: A", "spec.priorityClassName: Invalid value"},
        Case{"runtimeClassName: A_b", "spec.runtimeClassName: Invalid value: \"A_b\""},
        Case{"preemptionPolicy: Maybe", "spec.preemptionPolicy: Unsupported value: \"Maybe\""},
        Case{"overhead: {cpu: -1}",
             "spec.overhead.limits[cpu]: Invalid value: \"-1\": must be greater than or equal to "
                  "0"},
        Case{"os: {name: plan9}", "spec.os: Unsupported value: \"plan9\""},
        Case{"os: {name: windows}, hostPID: true",
             "spec.hostPID: Forbidden: cannot be set for a windows pod"},
        Case{"os: {name: linux}, securityContext: {windowsOptions: {}}",
             "windows options cannot be set for a linux pod"},
        Case{"hostUsers: false, hostNetwork: true",
             "spec.hostNetwork: Forbidden: when `hostUsers` is false"},
        Case{"hostnameOverride: a, hostNetwork: true",
             "spec.hostnameOverride: Forbidden: may not be specified when hostNetwork is true"},
        Case{"securityContext: {runAsUser: -1}",
             "spec.securityContext.runAsUser: Invalid value: -1: must be between 0 and 2147483647"},
        Case{"securityContext: {supplementalGroups: [1, -2]}",
             "spec.securityContext.supplementalGroups[1]: Invalid value: -2"},
        Case{"securityContext: {fsGroupChangePolicy: Never}",
             "spec.securityContext.fsGroupChangePolicy: Unsupported value: \"Never\""},
        Case{"securityContext: {sysctls: [{name: a b, value: x}]}",
             "must have at most 253 characters and match regex"},
        Case{"securityContext: {sysctls: [{name: a, value: x}, {name: a, value: z}]}",
             "spec.securityContext.sysctls[1].name: Duplicate value: \"a\""},
        Case{"hostNetwork: true, securityContext: {sysctls: [{name: net.core.somaxconn, value: "
             "x}]}",
             "may not be specified when 'hostNetwork' is true"},
        Case{"hostIPC: true, securityContext: {sysctls: [{name: kernel/sem, value: x}]}",
             "may not be specified when 'hostIPC' is true"},
        Case{"hostPID: true, shareProcessNamespace: true",
             "Invalid value: true: ShareProcessNamespace and HostPID cannot both be enabled"},
        Case{"securityContext: {seccompProfile: {type: Localhost}}",
             "must be set when seccomp type is Localhost"},
        Case{"securityContext: {seccompProfile: {type: Localhost, localhostProfile: ../a}}",
             "localhostProfile: Invalid value: \"../a\": must not contain '..'"},
        Case{"securityContext: {appArmorProfile: {type: Mine}}",
             "appArmorProfile.type: Unsupported value: \"Mine\""},
        Case{"affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: "
             "{nodeSelectorTerms: [{matchExpressions: [{key: a, operator: In}]}]}}}",
             "nodeSelectorTerms[0].matchExpressions[0].values: Required value: must be specified "
             "when `operator` is 'In' or 'NotIn'"},
        Case{"affinity: {podAffinity: {preferredDuringSchedulingIgnoredDuringExecution: [{weight: "
             "101, podAffinityTerm: {topologyKey: a}}]}}",
             "weight: Invalid value: 101: must be in the range 1-100"},
        Case{"affinity: {podAntiAffinity: {requiredDuringSchedulingIgnoredDuringExecution: [{}]}}",
             "requiredDuringSchedulingIgnoredDuringExecution[0].topologyKey: Required value: can "
             "not be empty"},
        Case{"topologySpreadConstraints: [{maxSkew: 0, topologyKey: a, whenUnsatisfiable: "
             "ScheduleAnyway, minDomains: 1}]",
             "can only use minDomains if whenUnsatisfiable=DoNotSchedule, not ScheduleAnyway"},
        Case{"schedulingGates: [{name: a}]",
             "spec.nodeName: Forbidden: cannot be set until all schedulingGates have been cleared"},
        Case{"readinessGates: [{conditionType: 'a b'}]",
             "spec.readinessGates[0].conditionType: Invalid value"},
        Case{"ephemeralContainers: [{name: e, image: i}]",
             "spec.ephemeralContainers: Forbidden: cannot be set on create"},
        Case{"volumes: [{name: v, projected: {sources: [{serviceAccountToken: {path: t}}]}}]",
             "must not be specified when serviceAccountName is not set"},
        Case{"resources: {limits: {ephemeral-storage: 1Gi}}",
             "Unsupported value: \"ephemeral-storage\": supported values: \"cpu\", \"hugepages-\", "
             "\"memory\""}));

INSTANTIATE_TEST_SUITE_P(
    All, Container,
    ::testing::Values(
        Case{"volumeMounts: [{name: v, mountPath: /a}]", "fine"},
        Case{"ports: [{containerPort: 0}]",
             "spec.containers[0].ports[0].containerPort: Required value"},
        Case{"ports: [{containerPort: 65536}]",
             "containerPort: Invalid value: 65536: must be between 1 and 65535, inclusive"},
        Case{"ports: [{containerPort: 1, hostPort: -1}]", "hostPort: Invalid value: -1"},
        Case{"ports: [{containerPort: 1, protocol: tcp}]",
             "protocol: Unsupported value: \"tcp\": supported values: \"SCTP\", \"TCP\", \"UDP\""},
        Case{"ports: [{containerPort: 1, name: a}, {containerPort: 2, name: a}]",
             "ports[1].name: Duplicate value: \"a\""},
        Case{"ports: [{containerPort: 1, hostPort: 80}, {containerPort: 2, hostPort: 80}]",
             "ports[1].hostPort: Duplicate value: \"TCP//80\""},
        Case{"ports: [{containerPort: 1, hostPort: 80}, {containerPort: 2, hostPort: 80, protocol: "
             "UDP}]",
             "fine"},
        Case{"env: [{value: x}]", "env[0].name: Required value"},
        Case{"env: [{name: 'a=b', value: x}]",
             "env[0].name: Invalid value: \"a=b\": a valid environment variable name must consist "
             "only of printable ASCII characters other than '='"},
        Case{"env: [{name: a, value: x, valueFrom: {fieldRef: {fieldPath: metadata.name}}}]",
             "valueFrom: Invalid value: \"\": may not be specified when `value` is not empty"},
        Case{"env: [{name: a, valueFrom: {}}]", "must specify one of: `fieldRef`"},
        Case{"env: [{name: a, valueFrom: {fieldRef: {fieldPath: spec.image}}}]",
             "error converting fieldPath: field label not supported: spec.image"},
        Case{"env: [{name: a, valueFrom: {fieldRef: {fieldPath: metadata.labels}}}]",
             "fieldPath: Unsupported value: \"metadata.labels\""},
        Case{"env: [{name: a, valueFrom: {fieldRef: {fieldPath: \"metadata.labels['x']\"}}}]",
             "fine"},
        Case{"env: [{name: a, valueFrom: {resourceFieldRef: {resource: limits.gpu}}}]",
             "resource: Unsupported value: \"limits.gpu\""},
        Case{"env: [{name: a, valueFrom: {resourceFieldRef: {resource: limits.cpu, divisor: 2}}}]",
             "only divisor's values 1m and 1 are supported with the cpu resource"},
        Case{"env: [{name: a, valueFrom: {fileKeyRef: {volumeName: w, path: p, key: k}}}]",
             "fileKeyRef.volumeName: Not found: \"w\""},
        Case{"envFrom: [{}]", "must specify one of: `configMapRef` or `secretRef`"},
        Case{"volumeMounts: [{name: w, mountPath: /a}]",
             "volumeMounts[0].name: Not found: \"w\""},
        Case{"volumeMounts: [{name: v}]", "volumeMounts[0].mountPath: Required value"},
        Case{"volumeMounts: [{name: v, mountPath: /a}, {name: v, mountPath: /a}]",
             "volumeMounts[1].mountPath: Invalid value: \"/a\": must be unique"},
        Case{"volumeMounts: [{name: v, mountPath: /a, subPath: a/../../b}]",
             "volumeMounts.subPath: Invalid value: \"a/../../b\": must not contain '..'"},
        Case{"volumeMounts: [{name: v, mountPath: /a, subPath: /b}]", "must be a relative path"},
        Case{"volumeMounts: [{name: v, mountPath: /a, subPath: b, subPathExpr: c}]",
             "subPathExpr and subPath are mutually exclusive"},
        Case{"volumeMounts: [{name: v, mountPath: /a, mountPropagation: Bidirectional}]",
             "Bidirectional mount propagation is available only to privileged containers"},
        Case{"securityContext: {privileged: true}, volumeMounts: [{name: v, mountPath: /a, "
             "mountPropagation: Bidirectional}]",
             "fine"},
        Case{"volumeMounts: [{name: v, mountPath: /a, recursiveReadOnly: Enabled}]",
             "may only be specified when readOnly is true"},
        Case{"volumeDevices: [{name: v, devicePath: /dev/x}]",
             "can only use volume source type of PersistentVolumeClaim or Ephemeral for block "
                  "mode"},
        Case{"imagePullPolicy: Maybe",
             "imagePullPolicy: Unsupported value: \"Maybe\": supported values: \"Always\", "
             "\"IfNotPresent\", \"Never\""},
        Case{"terminationMessagePolicy: Logs", "terminationMessagePolicy: Unsupported value"},
        Case{"resources: {requests: {cpu: '2'}, limits: {cpu: '1'}}",
             "resources.requests: Invalid value: \"2\": must be less than or equal to cpu limit of "
             "1"},
        Case{"resources: {limits: {cpu: -1}}",
             "resources.limits[cpu]: Invalid value: \"-1\": must be greater than or equal to 0"},
        Case{"resources: {limits: {gpu: 1}}",
             "must be a standard resource type or fully qualified"},
        Case{"resources: {limits: {pods: 1}}", "must be a standard resource for containers"},
        Case{"resources: {limits: {example.com/gpu: 1500m}}", "must be an integer"},
        Case{"resources: {requests: {example.com/gpu: 1}}",
             "resources.limits: Required value: Limit must be set for non overcommitable "
                  "resources"},
        Case{"resources: {limits: {hugepages-2Mi: 2Mi}}", "HugePages require cpu or memory"},
        Case{"resources: {limits: {cpu: 1, hugepages-2Mi: 3Mi}}",
             "3Mi is not positive integer multiple of hugepages-2Mi"},
        Case{"resources: {claims: [{name: x}]}",
             "must be one of the names in pod.spec.resourceClaims which is empty"},
        Case{"resizePolicy: [{resourceName: disk, restartPolicy: NotRequired}]",
             "Unsupported value: \"disk\": supported values: \"cpu\", \"memory\""},
        Case{"livenessProbe: {}", "livenessProbe: Required value: must specify a handler type"},
        Case{"livenessProbe: {exec: {command: [a]}, tcpSocket: {port: 1}}",
             "livenessProbe.tcpSocket: Forbidden: may not specify more than 1 handler type"},
        Case{"livenessProbe: {exec: {command: []}}", "exec.command: Required value"},
        Case{"livenessProbe: {httpGet: {port: 0}}", "httpGet.port: Invalid value: 0"},
        Case{"livenessProbe: {httpGet: {port: HTTP}}",
             "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)"},
        Case{"livenessProbe: {httpGet: {port: 1, scheme: FTP}}", "Unsupported value: \"FTP\""},
        Case{"livenessProbe: {httpGet: {port: 1, httpHeaders: [{name: 'a b', value: c}]}}",
             "a valid HTTP header must consist of alphanumeric characters or '-'"},
        Case{"livenessProbe: {tcpSocket: {port: 1}, successThreshold: 2}",
             "successThreshold: Invalid value: 2: must be 1"},
        Case{"livenessProbe: {tcpSocket: {port: 1}, periodSeconds: -1}",
             "periodSeconds: Invalid value: -1: must be greater than or equal to 0"},
        Case{"readinessProbe: {tcpSocket: {port: 1}, terminationGracePeriodSeconds: 5}",
             "must not be set for readinessProbes"},
        Case{"startupProbe: {grpc: {port: 70000}}", "grpc.port: Invalid value: 70000"},
        Case{"lifecycle: {preStop: {sleep: {seconds: 31}}}",
             "must be non-negative and less than terminationGracePeriodSeconds (30)"},
        Case{"lifecycle: {postStart: {}}",
             "postStart: Required value: must specify a handler type"},
        Case{"lifecycle: {stopSignal: SIGTERM}",
             "may not be set for containers with empty `spec.os.name`"},
        Case{"restartPolicyRules: [{action: Restart, exitCodes: {operator: In, values: [1]}}]",
             "must specify restartPolicy when restart rules are used"},
        Case{"restartPolicy: Never, restartPolicyRules: [{action: Stop, exitCodes: {operator: "
             "In}}]",
             "Unsupported value: \"Stop\": supported values: \"Restart\", "
                  "\"RestartAllContainers\""},
        Case{"restartPolicy: Never, restartPolicyRules: [{action: Restart}]",
             "restartPolicyRules[0].exitCodes: Required value: must be specified"},
        Case{"securityContext: {procMount: Unmasked}",
             "`hostUsers` must be false to use `Unmasked`"},
        Case{"securityContext: {allowPrivilegeEscalation: false, privileged: true}",
             "cannot set `allowPrivilegeEscalation` to false and `privileged` to true"},
        Case{"securityContext: {runAsGroup: 4294967296}",
             "runAsGroup: Invalid value: 4294967296"}));

INSTANTIATE_TEST_SUITE_P(
    All, InitContainer,
    ::testing::Values(
        Case{"{name: x, image: i}", "fine"},
        Case{"{name: c, image: i}", "spec.initContainers[0].name: Duplicate value: \"c\""},
        Case{"{name: x}", "spec.initContainers[0].image: Required value"},
        Case{"{name: x, image: ' i'}", "must not have leading or trailing whitespace"},
        Case{"{name: x, image: i, livenessProbe: {exec: {command: [a]}}}",
             "livenessProbe: Forbidden: may not be set for init containers without "
             "restartPolicy=Always"},
        Case{"{name: x, image: i, restartPolicy: Always, livenessProbe: {exec: {command: [a]}}}",
             "fine"},
        Case{"{name: x, image: i, restartPolicy: Maybe}", "Unsupported value: \"Maybe\""},
        Case{"{name: x, image: i, ports: [{containerPort: 1, hostPort: 8}]}, {name: z, image: i, "
             "ports: [{containerPort: 1, hostPort: 8}]}",
             "fine"}));

INSTANTIATE_TEST_SUITE_P(
    All, Volume,
    ::testing::Values(
        Case{"{name: a}, {name: b, hostPath: {path: /x, type: Directory}}", "fine"},
        Case{"{name: A}", "spec.volumes[0].name: Invalid value: \"A\""},
        Case{"{emptyDir: {}}", "spec.volumes[0].name: Required value"},
        Case{"{name: a}, {name: a}", "spec.volumes[1].name: Duplicate value: \"a\""},
        Case{"{name: a, emptyDir: {}, hostPath: {path: /x}}",
             "spec.volumes[0].hostPath: Forbidden: may not specify more than 1 volume type"},
        Case{"{name: a, emptyDir: {sizeLimit: -1Gi}}",
             "sizeLimit: Forbidden: SizeLimit field must be a valid resource quantity"},
        Case{"{name: a, hostPath: {}}", "hostPath.path: Required value"},
        Case{"{name: a, hostPath: {path: /a/../b}}", "must not contain '..'"},
        Case{"{name: a, hostPath: {path: /a, type: Folder}}",
             "hostPath.type: Unsupported value: \"Folder\""},
        Case{"{name: a, configMap: {name: m, defaultMode: 01000}}",
             "must be a number between 0 and 0777 (octal), both inclusive"},
        Case{"{name: a, configMap: {name: m, items: [{key: k, path: ../x}]}}",
             "configMap.items[0].path: Invalid value: \"../x\": must not contain '..'"},
        Case{"{name: a, secret: {}}", "secret.secretName: Required value"},
        Case{"{name: a, downwardAPI: {items: [{path: p}]}}",
             "one of fieldRef and resourceFieldRef is required"},
        Case{"{name: a, downwardAPI: {items: [{path: ..p, fieldRef: {fieldPath: metadata.name}}]}}",
             "must not start with '..'"},
        Case{"{name: a, downwardAPI: {items: [{path: p, fieldRef: {fieldPath: status.podIP}}]}}",
             "Unsupported value: \"status.podIP\""},
        Case{"{name: a, projected: {sources: [{configMap: {name: m, items: [{key: k, path: p}]}}, "
             "{secret: {name: s, items: [{key: k, path: p}]}}]}}",
             "conflicting duplicate paths"},
        Case{"{name: a, projected: {sources: [{configMap: {name: m}, secret: {name: s}}]}}",
             "may not specify more than 1 volume type per source"},
        Case{"{name: a, nfs: {server: s, path: p}}", "nfs.path: Invalid value: \"p\": must be an "
             "absolute path"},
        Case{"{name: a, iscsi: {targetPortal: t, iqn: bad, lun: 0}}",
             "must be valid format starting with iqn, eui, or naa"},
        Case{"{name: a, iscsi: {targetPortal: t, iqn: 'iqn.2001-04.com.example:x', lun: 256}}",
             "iscsi.lun: Invalid value: 256: must be between 0 and 255, inclusive"},
        Case{"{name: a, iscsi: {targetPortal: t, iqn: 'iqn.2001-04.com.example:x', lun: 1}}",
             "fine"},
        Case{"{name: a, fc: {}}", "must specify either targetWWNs or wwids, but not both"},
        Case{"{name: a, flexVolume: {driver: d, options: {x.k8s.io/a: b}}}",
             "kubernetes.io and k8s.io namespaces are reserved"},
        Case{"{name: a, csi: {}}", "csi.driver: Required value"},
        Case{"{name: a, image: {reference: r, pullPolicy: Nope}}",
             "image.pullPolicy: Unsupported value: \"Nope\""},
        Case{"{name: a, ephemeral: {}}", "ephemeral.volumeClaimTemplate: Required value"}));

TEST(Validation, AllComplaintsComeTogether) {
  const std::string text = Verdict(PodText(
      "{restartPolicy: X, containers: [{name: A}, {name: b, image: i}, {name: b, image: i}]}"));
  EXPECT_THAT(text, HasSubstr("containers[0].name: Invalid value: \"A\""));
  EXPECT_THAT(text, HasSubstr("\nweb.yaml:4: spec.containers[0].image: Required value"));
  EXPECT_THAT(text, HasSubstr("spec.containers[2].name: Duplicate value: \"b\""));
  EXPECT_THAT(text, HasSubstr("spec.restartPolicy: Unsupported value: \"X\""));
}

TEST(Validation, NoMoreThanTwentyComplaintsAreShown) {
  std::string list;
  for (int i = 0; i < 50; ++i) list += "{}, ";
  const std::string text = Verdict(PodText("{containers: [" + list + "]}"));
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 20);
  EXPECT_THAT(text, ::testing::ContainsRegex("and [0-9]+ more"));
}

TEST(Validation, PodLevelResourcesCoverTheContainers) {
  EXPECT_THAT(Verdict(PodText("{resources: {requests: {cpu: '1'}}, containers: [{name: c, image: "
                              "i, resources: {requests: {cpu: '2'}}}]}")),
              HasSubstr("spec.resources.requests[cpu]: Invalid value: \"1\": must be greater than "
                        "or equal to aggregate container requests of 2"));
  EXPECT_THAT(Verdict(PodText("{resources: {limits: {cpu: '1'}, requests: {cpu: '1'}}, containers: "
                              "[{name: c, image: i, resources: {limits: {cpu: '2'}, requests: "
                              "{cpu: '1'}}}]}")),
              HasSubstr("must be less than or equal to pod limits of 1"));
}

TEST(Validation, HostPortsOfTwoContainersMustNotMeet) {
  EXPECT_THAT(Verdict(PodText("{containers: [{name: a, image: i, ports: [{containerPort: 1, "
                              "hostPort: 80}]}, {name: b, image: i, ports: [{containerPort: 2, "
                              "hostPort: 80}]}]}")),
              HasSubstr("spec.containers[1].ports[0].hostPort: Duplicate value: \"TCP//80\""));
}

TEST(Validation, NoContainersAreTooFew) {
  EXPECT_EQ(Verdict(PodText("{}")), "web.yaml:4: spec.containers: Required value");
}

}  // namespace
}  // namespace keelson::kubelet::sources
