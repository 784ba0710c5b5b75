// SPDX-License-Identifier: Apache-2.0
#include "kubelet/cluster/cluster.h"

#include <algorithm>

#include "base/log.h"
#include "base/strings.h"
#include "kubelet/node/node_facts.h"

namespace keelson::kubelet {

using base::Task;

namespace {

base::Nanos Of(const k8s::meta::v1::Duration& duration) { return base::Nanos(duration.duration()); }

client::ClientOptions GeneralOptions(const KubeletOptions& o) {
  client::ClientOptions client;
  client.qps = o.config.kubeapiqps();
  client.burst = o.config.kubeapiburst();
  client.protobuf = o.config.contenttype() != "application/json";
  return client;
}

// A heartbeat that waits for its turn, or is said again late, is none.
client::ClientOptions HeartbeatOptions(const KubeletOptions& o) {
  client::ClientOptions client = GeneralOptions(o);
  client.qps = 0;
  client.max_retries = 0;
  client.timeout = std::min<base::Nanos>(Of(o.config.nodestatusupdatefrequency()),
                                         std::chrono::seconds(o.config.nodeleasedurationseconds()));
  return client;
}

// The sink has limits and repeats of its own.
client::ClientOptions EventOptions(const KubeletOptions& o) {
  client::ClientOptions client = GeneralOptions(o);
  client.qps = 0;
  client.max_retries = 0;
  return client;
}

EventSinkOptions SinkOptions(const KubeletOptions& o) {
  EventSinkOptions sink;
  sink.qps = o.config.eventrecordqps();
  sink.burst = o.config.eventburst();
  return sink;
}

NodeKeeperOptions KeeperOptions(const KubeletOptions& o, NodeSettings settings) {
  NodeKeeperOptions keeper;
  keeper.settings = std::move(settings);
  keeper.register_node = o.config.registernode();
  keeper.update = Of(o.config.nodestatusupdatefrequency());
  keeper.report = Of(o.config.nodestatusreportfrequency());
  return keeper;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Cluster>> Cluster::Make(base::Loop& loop,
                                                       const KubeletOptions& options,
                                                       std::string node_name,
                                                       client::OnAnswer on_answer) {
  NodeCertificatesOptions identity;
  identity.identity = {options.kubeconfig, options.bootstrap_kubeconfig, options.cert_dir,
                       options.config.rotatecertificates()};
  identity.node_name = node_name;
  identity.serving = options.config.servertlsbootstrap();
  identity.user_agent =
      base::StrCat("kubelet/", KubeletVersion(), " (linux/", GoArchitecture(), ")");
  identity.on_answer = std::move(on_answer);
  auto certificates = NodeCertificates::Make(loop, std::move(identity));
  if (!certificates.ok()) return certificates.status();
  for (const auto& warning : (*certificates)->warnings())
    KLOG_WARNING(warning, {"kubeconfig", options.kubeconfig});
  return std::unique_ptr<Cluster>(
      new Cluster(loop, options, std::move(node_name), *std::move(certificates)));
}

Cluster::Cluster(base::Loop& loop, const KubeletOptions& options, std::string node_name,
                 std::unique_ptr<NodeCertificates> certificates)
    : loop_(loop),
      options_(options),
      node_name_(std::move(node_name)),
      certificates_(std::move(certificates)),
      api_(Client(GeneralOptions(options))),
      heartbeat_(Client(HeartbeatOptions(options))),
      event_api_(Client(EventOptions(options))),
      review_api_(Client(GeneralOptions(options))),
      objects_(loop, *api_),
      event_sink_(loop, *event_api_, SinkOptions(options)),
      tasks_(loop) {}

Cluster::~Cluster() = default;

std::unique_ptr<client::ApiServer> Cluster::Client(client::ClientOptions options) const {
  return client::NewHttpApiServer(loop_, certificates_->transport(), options);
}

void Cluster::Start(NodeSettings settings, std::set<PodSource> static_sources,
                    EventRecorder& events, ClusterHooks hooks) {
  LeaseKeeperOptions lease;
  lease.node_name = node_name_;
  lease.duration_seconds = options_.config.nodeleasedurationseconds();
  auto node = [this] { return node_->node(); };
  NodeCertificates::Addresses addresses = [this, ips = settings.node_ips,
                                           host = settings.hostname] {
    std::vector<std::pair<std::string, std::string>> all;
    // Those of the status, which a cloud provider may have written.
    if (const v1::Node* known = node_->node(); known && known->status().addresses_size() > 0) {
      for (const auto& a : known->status().addresses()) all.emplace_back(a.type(), a.address());
      return all;
    }
    for (const auto& ip : ips) all.emplace_back("InternalIP", ip);
    all.emplace_back("Hostname", host);
    return all;
  };
  node_ = std::make_unique<NodeKeeper>(loop_, *heartbeat_, events,
                                       KeeperOptions(options_, std::move(settings)),
                                       std::move(hooks.node_state), std::move(hooks.on_pod_cidr));
  on_node_ = std::move(hooks.on_node);
  node_->OnNode([this](const v1::Node& now) { Learn(now); });
  lease_ = std::make_unique<LeaseKeeper>(loop_, *heartbeat_, lease, node);
  ApiPodsOptions pods;
  pods.node_name = node_name_;
  pods_ = std::make_unique<ApiPods>(loop_, *api_, pods, std::move(hooks.on_pods));
  MirrorPodsOptions mirrors;
  mirrors.sources = std::move(static_sources);
  mirrors.ending = std::move(hooks.static_pod_ending);
  mirrors_ = std::make_unique<MirrorPods>(loop_, *api_, *pods_, node, std::move(mirrors));
  statuses_ = std::make_unique<StatusManager>(loop_, *api_, *pods_);

  if (hooks.on_object) pods_->Listen(std::move(hooks.on_object), [] {});

  certificates_->Start(std::move(addresses));
  objects_.Start();
  tasks_.Spawn("node", node_->Run());
  tasks_.Spawn("node lease", lease_->Run());
  tasks_.Spawn("events", event_sink_.Run());
  tasks_.Spawn("pods", pods_->Run());
  tasks_.Spawn("mirror pods", mirrors_->Run());
  tasks_.Spawn("pod statuses", statuses_->Run());
}

void Cluster::NodeChanged() {
  if (node_) node_->StateChanged();
}

Task<void> Cluster::RefreshNode() {
  absl::Status read = co_await node_->Refresh();
  if (!read.ok())
    KLOG_WARNING("Cannot read the node; what is known of it may be old", {"node", node_name_},
                 {"err", read});
}

// Mirror pods belong to the node and can be made once it exists; certificates name its addresses.
void Cluster::Learn(const v1::Node& node) {
  if (std::exchange(node_uid_, node.metadata().uid()) != node_uid_) mirrors_->Wake();
  std::vector<std::string> addresses;
  for (const auto& a : node.status().addresses()) addresses.push_back(a.address());
  if (std::exchange(addresses_, addresses) != addresses) certificates_->AddressesChanged();
  if (on_node_) on_node_(node);
}

Task<void> Cluster::Close() {
  co_await tasks_.CancelAndJoin();
  co_await objects_.Close();
  co_await certificates_->Close();
}

}  // namespace keelson::kubelet
