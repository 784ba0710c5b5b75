// SPDX-License-Identifier: Apache-2.0
#include "cni-plugins/meta/shaper.h"

#include <arpa/inet.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <linux/tc_act/tc_mirred.h>
#include <net/ethernet.h>

#include <algorithm>
#include <cstring>

#include "cni-plugins/lib/undo.h"

namespace keelson::cni {

namespace {

constexpr uint32_t kRoot = 0x10000;     // 1:
constexpr uint32_t kLimited = 0x10001;  // 1:1
constexpr uint32_t kLeaf = 0x20000;     // 2:
constexpr uint32_t kIngress = 0xffff0000;
constexpr uint64_t kLatencyMs = 25;
constexpr uint32_t kDirectPackets = 1000;  // a device's usual queue; an ifb's own is 32

uint32_t Cap32(uint64_t v) { return static_cast<uint32_t>(std::min<uint64_t>(v, UINT32_MAX)); }

Message TcMessage(int type, uint16_t flags, int link, uint32_t handle, uint32_t parent) {
  Message m(static_cast<uint16_t>(type), flags);
  auto* const t = m.Header<tcmsg>();
  t->tcm_family = AF_UNSPEC;
  t->tcm_ifindex = link;
  t->tcm_handle = handle;
  t->tcm_parent = parent;
  return m;
}

tc_ratespec RateSpec(const ShaperNumbers& n) {
  tc_ratespec spec{};
  spec.rate = Cap32(n.bytes_per_second);
  spec.linklayer = TC_LINKLAYER_ETHERNET;  // known, so no rate table is asked for
  return spec;
}

Status AddTbf(Rtnl& rtnl, int link, const ShaperNumbers& n) {
  Message m = TcMessage(RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL, link, kRoot, TC_H_ROOT);
  m.Text(TCA_KIND, "tbf");
  m.Nest(TCA_OPTIONS, [&] {
    tc_tbf_qopt opt{};
    opt.rate = RateSpec(n);
    opt.limit = n.queue_bytes;
    opt.buffer = n.burst_ticks;
    m.Put(TCA_TBF_PARMS, &opt, sizeof opt);
    // Ticks overflow at long bursts, bytes do not; the kernel prefers them.
    m.U32(TCA_TBF_BURST, n.burst_bytes);
    if (n.bytes_per_second > UINT32_MAX) {
      m.Put(TCA_TBF_RATE64, &n.bytes_per_second, sizeof n.bytes_per_second);
    }
  });
  return rtnl.netlink().Do(m, "add tbf qdisc");
}

Status AddHtb(Rtnl& rtnl, int link, bool limited_by_default) {
  Message m = TcMessage(RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL, link, kRoot, TC_H_ROOT);
  m.Text(TCA_KIND, "htb");
  m.Nest(TCA_OPTIONS, [&] {
    tc_htb_glob glob{};
    glob.version = 3;
    glob.rate2quantum = 10;
    glob.defcls = limited_by_default ? kLimited & 0xffff : 0;  // 0: directly, without limit
    m.Put(TCA_HTB_INIT, &glob, sizeof glob);
    m.U32(TCA_HTB_DIRECT_QLEN, kDirectPackets);
  });
  return rtnl.netlink().Do(m, "add htb qdisc");
}

Status AddLimitedClass(Rtnl& rtnl, int link, const ShaperNumbers& n) {
  Message m = TcMessage(RTM_NEWTCLASS, NLM_F_CREATE | NLM_F_EXCL, link, kLimited, kRoot);
  m.Text(TCA_KIND, "htb");
  m.Nest(TCA_OPTIONS, [&] {
    tc_htb_opt opt{};
    opt.rate = RateSpec(n);
    opt.ceil = RateSpec(n);
    opt.buffer = n.burst_ticks;
    opt.cbuffer = n.burst_ticks;
    opt.quantum = static_cast<uint32_t>(std::clamp<uint64_t>(n.bytes_per_second / 10, 1500, 60000));
    m.Put(TCA_HTB_PARMS, &opt, sizeof opt);
    if (n.bytes_per_second > UINT32_MAX) {
      m.Put(TCA_HTB_RATE64, &n.bytes_per_second, sizeof n.bytes_per_second);
      m.Put(TCA_HTB_CEIL64, &n.bytes_per_second, sizeof n.bytes_per_second);
    }
  });
  CNI_TRY(rtnl.netlink().Do(m, "add htb class"));
  Message leaf = TcMessage(RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL, link, kLeaf, kLimited);
  leaf.Text(TCA_KIND, "bfifo");
  const tc_fifo_qopt fifo{n.queue_bytes};
  leaf.Put(TCA_OPTIONS, &fifo, sizeof fifo);
  return rtnl.netlink().Do(leaf, "add bfifo qdisc");
}

// All `keys` have to match.
void PutSelector(const std::vector<tc_u32_key>& keys, Message* m) {
  tc_u32_sel sel{};
  sel.flags = TC_U32_TERMINAL;
  sel.nkeys = static_cast<unsigned char>(keys.size());
  std::string bytes(reinterpret_cast<const char*>(&sel), sizeof sel);
  bytes.append(reinterpret_cast<const char*>(keys.data()), keys.size() * sizeof keys[0]);
  m->Put(TCA_U32_SEL, bytes.data(), bytes.size());
}

// A u32 filter: packets whose address at `offset` lies in `network` go to class `target`.
Status AddNetworkFilter(Rtnl& rtnl, int link, const Cidr& network, Remote remote, uint32_t target) {
  const bool v4 = network.ip.v4();
  Message m = TcMessage(RTM_NEWTFILTER, NLM_F_CREATE | NLM_F_EXCL, link, 0, kRoot);
  // One priority for each protocol: a chain of filters holds only one.
  const uint32_t protocol = htons(v4 ? ETHERTYPE_IP : ETHERTYPE_IPV6);
  static_cast<tcmsg*>(nlmsg_data(nlmsg_hdr(m.raw())))->tcm_info = (v4 ? 1u : 2u) << 16 | protocol;
  m.Text(TCA_KIND, "u32");
  m.Nest(TCA_OPTIONS, [&] {
    const int first =
        v4 ? (remote == Remote::kSource ? 12 : 16) : (remote == Remote::kSource ? 8 : 24);
    const Ip base = network.Network();
    std::vector<tc_u32_key> keys(v4 ? 1 : 4);
    for (int i = 0; i < static_cast<int>(keys.size()); ++i) {
      const int bits = std::clamp(network.prefix - 32 * i, 0, 32);
      keys[i].mask = htonl(bits == 0 ? 0 : ~0u << (32 - bits));
      std::memcpy(&keys[i].val, base.data() + 4 * i, 4);
      keys[i].off = first + 4 * i;
    }
    m.U32(TCA_U32_CLASSID, target);
    PutSelector(keys, &m);
  });
  return rtnl.netlink().Do(m, "add filter for " + network.ToString());
}

Status DeleteQdisc(Rtnl& rtnl, int link, uint32_t handle, uint32_t parent) {
  Message m = TcMessage(RTM_DELQDISC, 0, link, handle, parent);
  const Status s = rtnl.netlink().Do(m, "delete qdisc");
  const int e = s.sys_errno();
  return e == ENOENT || e == EINVAL || e == ENODEV ? Status() : s;  // those: not there
}

struct Qdisc {
  std::string kind;
  uint32_t handle;
  uint32_t parent;
  std::string options;
};

Or<std::vector<Qdisc>> List(Rtnl& rtnl, int type, int link, uint32_t parent = 0) {
  Message m = TcMessage(type, NLM_F_DUMP, link, 0, parent);
  std::vector<Qdisc> all;
  CNI_TRY(rtnl.netlink().Ask(
      m, "list traffic control",
      [&](nlmsghdr* h) {
        const auto* const t = static_cast<const tcmsg*>(nlmsg_data(h));
        if (t->tcm_ifindex != link) return;  // the kernel dumps all devices' qdiscs
        Qdisc q{"", t->tcm_handle, t->tcm_parent, ""};
        if (const nlattr* a = nlmsg_find_attr(h, sizeof(tcmsg), TCA_KIND))
          q.kind = nla_get_string(a);
        if (const nlattr* a = nlmsg_find_attr(h, sizeof(tcmsg), TCA_OPTIONS)) {
          q.options.assign(static_cast<const char*>(nla_data(a)), static_cast<size_t>(nla_len(a)));
        }
        all.push_back(std::move(q));
      },
      [&] { all.clear(); }));
  return all;
}

// Attribute `type` of options as a T.
template <typename T>
std::optional<T> Option(const std::string& options, int type) {
  const nlattr* const a = nla_find(reinterpret_cast<const nlattr*>(options.data()),
                                   static_cast<int>(options.size()), type);
  if (!a || static_cast<size_t>(nla_len(a)) < sizeof(T)) return std::nullopt;
  T value;
  std::memcpy(&value, nla_data(a), sizeof value);
  return value;
}

Status Wrong(const std::string& what, uint64_t want, uint64_t have) {
  return Status::Internal("bandwidth: " + what + " is " + std::to_string(have) + ", configured " +
                          std::to_string(want));
}

Status CheckTbf(const Qdisc& q, const ShaperNumbers& n) {
  const auto opt = Option<tc_tbf_qopt>(q.options, TCA_TBF_PARMS);
  if (q.kind != "tbf" || !opt) return Status::Internal("bandwidth: root qdisc is " + q.kind);
  const uint64_t rate = Option<uint64_t>(q.options, TCA_TBF_RATE64).value_or(opt->rate.rate);
  if (rate != n.bytes_per_second) return Wrong("rate in bytes", n.bytes_per_second, rate);
  if (opt->limit != n.queue_bytes) return Wrong("limit in bytes", n.queue_bytes, opt->limit);
  return {};
}

Status CheckHtb(Rtnl& rtnl, int link, const Qdisc& root, const ShaperNumbers& n) {
  if (root.kind != "htb") return Status::Internal("bandwidth: root qdisc is " + root.kind);
  CNI_LET(const std::vector<Qdisc> classes, List(rtnl, RTM_GETTCLASS, link));
  for (const Qdisc& c : classes) {
    if (c.handle != kLimited) continue;
    const auto opt = Option<tc_htb_opt>(c.options, TCA_HTB_PARMS);
    if (!opt) break;
    const uint64_t rate = Option<uint64_t>(c.options, TCA_HTB_RATE64).value_or(opt->rate.rate);
    if (rate != n.bytes_per_second) return Wrong("rate in bytes", n.bytes_per_second, rate);
    return {};
  }
  return Status::Internal("bandwidth: htb class 1:1 is missing");
}

}  // namespace

ShaperNumbers NumbersFor(const Rate& rate) {
  ShaperNumbers n{};
  n.bytes_per_second = std::max<uint64_t>(rate.bits_per_second / 8, 1);
  n.burst_bytes = Cap32(rate.burst_bits / 8);
  const double seconds =
      static_cast<double>(n.burst_bytes) / static_cast<double>(n.bytes_per_second);
  n.burst_ticks = static_cast<uint32_t>(std::min(seconds * 1e9 / 64, 4294967295.0));
  n.queue_bytes = Cap32(n.bytes_per_second * kLatencyMs / 1000 + n.burst_bytes);
  return n;
}

Status Shape(Rtnl& rtnl, int link, const Rate& rate, const ShapedNetworks& networks,
             Remote remote) {
  const ShaperNumbers n = NumbersFor(rate);
  if (networks.all()) return AddTbf(rtnl, link, n);
  CNI_TRY(AddHtb(rtnl, link, /*limited_by_default=*/networks.only.empty()));
  Undo undo;
  undo.Push("remove htb", [&] { return Unshape(rtnl, link); });
  CNI_TRY(AddLimitedClass(rtnl, link, n));
  for (const Cidr& c : networks.only) CNI_TRY(AddNetworkFilter(rtnl, link, c, remote, kLimited));
  for (const Cidr& c : networks.except) CNI_TRY(AddNetworkFilter(rtnl, link, c, remote, kRoot));
  undo.Keep();
  return {};
}

Status Unshape(Rtnl& rtnl, int link) { return DeleteQdisc(rtnl, link, kRoot, TC_H_ROOT); }

Status CheckShape(Rtnl& rtnl, int link, const Rate& rate, const ShapedNetworks& networks) {
  const ShaperNumbers n = NumbersFor(rate);
  CNI_LET(const std::vector<Qdisc> qdiscs, List(rtnl, RTM_GETQDISC, link));
  for (const Qdisc& q : qdiscs) {
    if (q.parent != TC_H_ROOT) continue;
    if (networks.all()) return CheckTbf(q, n);
    CNI_TRY(CheckHtb(rtnl, link, q, n));
    CNI_LET(const std::vector<Qdisc> filters, List(rtnl, RTM_GETTFILTER, link, kRoot));
    const auto count = std::ranges::count_if(filters, [](const Qdisc& f) {
      return Option<uint32_t>(f.options, TCA_U32_CLASSID).has_value();
    });
    const size_t want = networks.only.size() + networks.except.size();
    if (static_cast<size_t>(count) != want) {
      return Wrong("number of subnet filters", want, static_cast<uint64_t>(count));
    }
    return {};
  }
  return Status::Internal("bandwidth: the device has no root qdisc");
}

Status RedirectIngress(Rtnl& rtnl, int link, int target) {
  Message q = TcMessage(RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL, link, kIngress, TC_H_INGRESS);
  q.Text(TCA_KIND, "ingress");
  CNI_TRY(rtnl.netlink().Do(q, "add ingress qdisc"));
  Undo undo;
  undo.Push("remove ingress qdisc", [&] { return EndRedirect(rtnl, link); });
  Message f = TcMessage(RTM_NEWTFILTER, NLM_F_CREATE | NLM_F_EXCL, link, 0, kIngress);
  static_cast<tcmsg*>(nlmsg_data(nlmsg_hdr(f.raw())))->tcm_info = 1u << 16 | htons(ETH_P_ALL);
  f.Text(TCA_KIND, "u32");
  f.Nest(TCA_OPTIONS, [&] {
    f.U32(TCA_U32_CLASSID, kLimited);
    PutSelector({tc_u32_key{}}, &f);  // a key without a mask matches everything
    f.Nest(TCA_U32_ACT, [&] {
      f.Nest(1, [&] {
        f.Text(TCA_ACT_KIND, "mirred");
        f.Nest(TCA_ACT_OPTIONS, [&] {
          tc_mirred mirred{};
          mirred.action = TC_ACT_STOLEN;
          mirred.eaction = TCA_EGRESS_REDIR;
          mirred.ifindex = static_cast<uint32_t>(target);
          f.Put(TCA_MIRRED_PARMS, &mirred, sizeof mirred);
        });
      });
    });
  });
  CNI_TRY(rtnl.netlink().Do(f, "add redirecting filter"));
  undo.Keep();
  return {};
}

Status CheckRedirect(Rtnl& rtnl, int link, int target) {
  CNI_LET(const std::vector<Qdisc> filters, List(rtnl, RTM_GETTFILTER, link, kIngress));
  for (const Qdisc& f : filters) {
    const auto find = [](const nlattr* in, int type) -> const nlattr* {
      return in ? nla_find(static_cast<const nlattr*>(nla_data(in)), nla_len(in), type) : nullptr;
    };
    const nlattr* const actions = nla_find(reinterpret_cast<const nlattr*>(f.options.data()),
                                           static_cast<int>(f.options.size()), TCA_U32_ACT);
    const nlattr* const parms = find(find(find(actions, 1), TCA_ACT_OPTIONS), TCA_MIRRED_PARMS);
    if (!parms || static_cast<size_t>(nla_len(parms)) < sizeof(tc_mirred)) continue;
    tc_mirred mirred;
    std::memcpy(&mirred, nla_data(parms), sizeof mirred);
    if (mirred.ifindex == static_cast<uint32_t>(target)) return {};
  }
  return Status::Internal("bandwidth: incoming traffic is not redirected to the ifb device");
}

Status EndRedirect(Rtnl& rtnl, int link) { return DeleteQdisc(rtnl, link, kIngress, TC_H_INGRESS); }

}  // namespace keelson::cni
