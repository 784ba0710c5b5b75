// SPDX-License-Identifier: Apache-2.0
#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include "base/check.h"
#include "kubelet/options/flags.h"
#include "kubelet/options/parts.h"
#include "proto/codec/codec.h"
#include "proto/options.pb.h"

namespace keelson::kubelet {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

namespace {

// reference: KubeletConfiguration v1beta1 of Kubernetes 1.36.
constexpr std::string_view kDefaults = R"(
enableServer: true
syncFrequency: 1m
fileCheckFrequency: 20s
httpCheckFrequency: 20s
address: 0.0.0.0
port: 10250
authentication:
  anonymous: {enabled: false}
  webhook: {enabled: true, cacheTTL: 2m}
authorization:
  mode: Webhook
  webhook: {cacheAuthorizedTTL: 5m, cacheUnauthorizedTTL: 30s}
registryPullQPS: 5
registryBurst: 10
eventRecordQPS: 50
eventBurst: 100
enableDebuggingHandlers: true
healthzPort: 10248
healthzBindAddress: 127.0.0.1
oomScoreAdj: -999
streamingConnectionIdleTimeout: 4h
nodeStatusUpdateFrequency: 10s
nodeLeaseDurationSeconds: 40
imageMinimumGCAge: 2m
imageGCHighThresholdPercent: 85
imageGCLowThresholdPercent: 80
volumeStatsAggPeriod: 1m
cgroupsPerQOS: true
cgroupDriver: cgroupfs
cpuManagerPolicy: none
cpuManagerReconcilePeriod: 10s
memoryManagerPolicy: None
topologyManagerPolicy: none
topologyManagerScope: container
runtimeRequestTimeout: 2m
hairpinMode: promiscuous-bridge
maxPods: 110
podPidsLimit: -1
resolvConf: /etc/resolv.conf
cpuCFSQuota: true
cpuCFSQuotaPeriod: 100ms
nodeStatusMaxImages: 50
maxOpenFiles: 1000000
contentType: application/vnd.kubernetes.protobuf
kubeAPIQPS: 50
kubeAPIBurst: 100
evictionPressureTransitionPeriod: 5m
mergeDefaultEvictionSettings: false
enableControllerAttachDetach: true
makeIPTablesUtilChains: true
iptablesMasqueradeBit: 14
iptablesDropBit: 15
failCgroupV1: true
failSwapOn: true
containerLogMaxSize: 10Mi
containerLogMaxFiles: 5
containerLogMaxWorkers: 1
containerLogMonitorInterval: 10s
configMapAndSecretChangeDetectionStrategy: Watch
volumePluginDir: /usr/libexec/kubernetes/kubelet-plugins/volume/exec/
enforceNodeAllocatable: [pods]
imagePullCredentialsVerificationPolicy: NeverVerifyPreloadedImages
logging: {format: text, flushFrequency: 5s}
enableSystemLogHandler: true
enableSystemLogQuery: false
enableProfilingHandler: true
enableDebugFlagsHandler: true
seccompDefault: false
memoryThrottlingFactor: 0.9
memoryReservationPolicy: None
registerNode: true
localStorageCapacityIsolation: true
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
podLogsDir: /var/log/pods
crashLoopBackOff: {maxContainerRestartPeriod: 300s}
userNamespaces: {idsPerPod: 65536}
)";

struct Threshold {
  const char* signal;
  const char* value;
};
constexpr Threshold kEvictionHard[] = {{"memory.available", "100Mi"},
                                       {"nodefs.available", "10%"},
                                       {"nodefs.inodesFree", "5%"},
                                       {"imagefs.available", "15%"},
                                       {"imagefs.inodesFree", "5%"}};

bool IsZero(const Message& message, const FieldDescriptor* field) {
  const Reflection* r = message.GetReflection();
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_STRING: return r->GetString(message, field).empty();
    case FieldDescriptor::CPPTYPE_INT32: return r->GetInt32(message, field) == 0;
    case FieldDescriptor::CPPTYPE_INT64: return r->GetInt64(message, field) == 0;
    case FieldDescriptor::CPPTYPE_UINT32: return r->GetUInt32(message, field) == 0;
    case FieldDescriptor::CPPTYPE_BOOL: return !r->GetBool(message, field);
    default: return false;
  }
}

// Sub-messages are entered; a duration that is no pointer counts as unset at zero, like a number.
void Fill(const Message& defaults, Message* message) {
  const Reflection* r = message->GetReflection();
  std::vector<const FieldDescriptor*> fields;
  defaults.GetReflection()->ListFields(defaults, &fields);
  for (const FieldDescriptor* field : fields) {
    if (field->is_repeated()) continue;
    const bool message_field = field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE;
    const bool form = message_field && field->message_type()->options().HasExtension(proto::form);
    const bool has = r->HasField(*message, field);
    if (message_field && !form) {
      Fill(r->GetMessage(defaults, field), r->MutableMessage(message, field));
      continue;
    }
    const auto& options = field->options();
    if (form) {
      const FieldDescriptor* inner = field->message_type()->field(0);
      const bool zero = !has || IsZero(r->GetMessage(*message, field), inner);
      if (has && (!zero || !options.GetExtension(proto::always))) continue;
      r->MutableMessage(message, field)->CopyFrom(r->GetMessage(defaults, field));
      continue;
    }
    if (has && (options.GetExtension(proto::pointer) || !IsZero(*message, field))) continue;
    switch (field->cpp_type()) {
      case FieldDescriptor::CPPTYPE_STRING:
        r->SetString(message, field, r->GetString(defaults, field));
        break;
      case FieldDescriptor::CPPTYPE_INT32:
        r->SetInt32(message, field, r->GetInt32(defaults, field));
        break;
      case FieldDescriptor::CPPTYPE_INT64:
        r->SetInt64(message, field, r->GetInt64(defaults, field));
        break;
      case FieldDescriptor::CPPTYPE_BOOL:
        r->SetBool(message, field, r->GetBool(defaults, field));
        break;
      case FieldDescriptor::CPPTYPE_DOUBLE:
        r->SetDouble(message, field, r->GetDouble(defaults, field));
        break;
      default: KEELSON_CHECK(false);  // no default of another type is listed above
    }
  }
}

bool IsNull(const proto::Value* value) {
  return value == nullptr || value->kind == proto::Value::Kind::kNull;
}

}  // namespace

const Configuration& FixedDefaults() {
  static const Configuration defaults = [] {
    Configuration parsed;
    proto::DecodeOptions strict;
    strict.strict = true;
    absl::Status status = proto::DecodeYaml(kDefaults, &parsed, strict);
    KEELSON_CHECK(status.ok());
    return parsed;
  }();
  return defaults;
}

void ApplyDefaults(const proto::Value& tree, Configuration* config) {
  const bool update_given = config->nodestatusupdatefrequency().duration() != 0;
  Fill(FixedDefaults(), config);
  if (config->nodestatusreportfrequency().duration() == 0) {
    constexpr int64_t kFiveMinutes = 300'000'000'000;
    config->mutable_nodestatusreportfrequency()->set_duration(
        update_given ? config->nodestatusupdatefrequency().duration() : kFiveMinutes);
  }
  if (!config->has_serializeimagepulls())
    config->set_serializeimagepulls(!config->has_maxparallelimagepulls() ||
                                    config->maxparallelimagepulls() < 2);
  if (IsNull(Lookup(tree, "enforceNodeAllocatable"))) config->add_enforcenodeallocatable("pods");
  const bool no_eviction = IsNull(Lookup(tree, "evictionHard"));
  if (no_eviction || config->mergedefaultevictionsettings())
    for (const Threshold& t : kEvictionHard) config->mutable_evictionhard()->insert({t.signal, t.value});
}

void ApplyLegacyDefaults(Configuration* config) {
  config->mutable_authentication()->mutable_anonymous()->set_enabled(true);
  config->mutable_authentication()->mutable_webhook()->set_enabled(false);
  config->mutable_authorization()->set_mode("AlwaysAllow");
  config->set_readonlyport(10255);
  config->clear_evictionhard();
}

}  // namespace keelson::kubelet
