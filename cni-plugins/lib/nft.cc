// SPDX-License-Identifier: Apache-2.0
// The kernel's side of nft.h: sending batches, asking questions, reading answers.
#include "cni-plugins/lib/nft.h"

#include <arpa/inet.h>
#include <endian.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>

namespace keelson::cni::nft {

namespace {

constexpr size_t kAnswer = 64 << 10;

const nlattr* Find(const nlattr* head, int size, int type) { return nla_find(head, size, type); }

std::string Bytes(const nlattr* attr) {
  return {static_cast<const char*>(nla_data(attr)), static_cast<size_t>(nla_len(attr))};
}

std::string TextOf(const nlattr* attr) { return attr ? Bytes(attr).c_str() : ""; }

// A nested attribute's child.
const nlattr* Child(const nlattr* parent, int type) {
  if (!parent) return nullptr;
  return Find(static_cast<const nlattr*>(nla_data(parent)), nla_len(parent), type);
}

struct Answer {
  const nlmsghdr* head;
  const nlattr* attrs() const {
    return reinterpret_cast<const nlattr*>(reinterpret_cast<const char*>(head) + NLMSG_HDRLEN +
                                           sizeof(nfgenmsg));
  }
  int size() const {
    return static_cast<int>(head->nlmsg_len) - NLMSG_HDRLEN - static_cast<int>(sizeof(nfgenmsg));
  }
  const nlattr* Get(int type) const { return Find(attrs(), size(), type); }
  int family() const {
    return reinterpret_cast<const nfgenmsg*>(reinterpret_cast<const char*>(head) + NLMSG_HDRLEN)
        ->nfgen_family;
  }
  int error() const {
    const auto* err =
        reinterpret_cast<const nlmsgerr*>(reinterpret_cast<const char*>(head) + NLMSG_HDRLEN);
    return -err->error;
  }
};

// Receives one datagram; empty when `wait` is false and there is none.
cni::Or<std::string> Receive(int fd, bool wait) {
  std::string buffer(kAnswer, '\0');
  while (true) {
    const ssize_t n = ::recv(fd, buffer.data(), buffer.size(), wait ? 0 : MSG_DONTWAIT);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && !wait && errno == EAGAIN) return std::string();
    if (n < 0) return Status::Errno(errno, "receive from nftables");
    buffer.resize(static_cast<size_t>(n));
    return buffer;
  }
}

template <typename F>
void ForEachMessage(const std::string& buffer, F&& f) {
  const auto* head = reinterpret_cast<const nlmsghdr*>(buffer.data());
  auto left = static_cast<int>(buffer.size());
  for (; nlmsg_ok(head, left); head = nlmsg_next(const_cast<nlmsghdr*>(head), &left)) {
    f(Answer{head});
  }
}

// SO_SNDBUFFORCE needs CAP_NET_ADMIN, which everything here needs anyway.
void GrowBuffer(int fd, int option, size_t size) {
  const int want = static_cast<int>(std::min<size_t>(size, 64 << 20));
  (void)::setsockopt(fd, SOL_SOCKET, option, &want, sizeof want);  // failing: send() will say
}

std::string Explain(int error) {
  switch (error) {
    case EOPNOTSUPP:
    case ENOPROTOOPT:
      return " (does this kernel have nf_tables with nat, fib and ct?)";
    case EPERM:
      return " (CAP_NET_ADMIN is needed)";
    case ENOSPC:
      return " (a set is full)";
    default:
      return "";
  }
}

Element ParseElement(const std::string& set, const nlattr* attr) {
  Element e;
  e.set = set;
  if (const nlattr* a = Child(Child(attr, NFTA_SET_ELEM_KEY), NFTA_DATA_VALUE)) e.key = Bytes(a);
  if (const nlattr* a = Child(Child(attr, NFTA_SET_ELEM_DATA), NFTA_DATA_VALUE)) e.data = Bytes(a);
  if (const nlattr* a = Child(attr, NFTA_SET_ELEM_USERDATA)) e.user = Bytes(a);
  return e;
}

void ParseElements(const std::string& set, const Answer& answer, std::vector<Element>* out) {
  const nlattr* const list = answer.Get(NFTA_SET_ELEM_LIST_ELEMENTS);
  if (!list) return;
  const nlattr* item;
  int left;
  nla_for_each_nested(item, const_cast<nlattr*>(list), left)
      out->push_back(ParseElement(set, item));
}

Attrs ElementQuery(const std::string& table, const std::string& set) {
  Attrs attrs;
  attrs.Text(NFTA_SET_ELEM_LIST_TABLE, table);
  attrs.Text(NFTA_SET_ELEM_LIST_SET, set);
  return attrs;
}

}  // namespace

cni::Or<Nft> Nft::Open() {
  CNI_LET(Netlink nl, Netlink::Open(NETLINK_NETFILTER));
  return Nft(std::move(nl));
}

Status Nft::Run(Batch& batch) {
  const std::string bytes = batch.Finish();
  GrowBuffer(nl_.fd(), SO_SNDBUFFORCE, bytes.size() * 2 + 4096);
  GrowBuffer(nl_.fd(), SO_RCVBUFFORCE, bytes.size() * 4 + (256 << 10));
  if (::send(nl_.fd(), bytes.data(), bytes.size(), 0) < 0) {
    return Status::Errno(errno, "send to nftables (table " + batch.table() + ")");
  }
  // The kernel works inside send(): what it has to complain about is here already.
  Status first;
  while (true) {
    CNI_LET(const std::string answer, Receive(nl_.fd(), /*wait=*/false));
    if (answer.empty()) return first;
    ForEachMessage(answer, [&](const Answer& a) {
      if (a.head->nlmsg_type != NLMSG_ERROR || a.error() == 0) return;
      // ERESTART outranks: the other complaints may come from what somebody else is changing.
      if (!first.ok() && a.error() != ERESTART) return;
      first = Status::Errno(a.error(), "nftables: " + batch.What(a.head->nlmsg_seq));
      if (const std::string why = Explain(a.error()); !why.empty()) {
        first = Status::Errno(a.error(), "nftables: " + batch.What(a.head->nlmsg_seq) + why);
      }
    });
  }
}

template <typename F>
Status Nft::Query(int family, uint16_t type, uint16_t flags, const Attrs& attrs,
                  const std::string& what, F&& each) {
  const uint32_t seq = ++seq_;
  nlmsghdr head{};
  head.nlmsg_type = static_cast<uint16_t>(NFNL_SUBSYS_NFTABLES << 8 | type);
  head.nlmsg_flags = static_cast<uint16_t>(NLM_F_REQUEST | flags);
  head.nlmsg_seq = seq;
  head.nlmsg_len = static_cast<uint32_t>(NLMSG_HDRLEN + sizeof(nfgenmsg) + attrs.bytes().size());
  const nfgenmsg gen{static_cast<uint8_t>(family), NFNETLINK_V0, 0};
  std::string bytes(reinterpret_cast<const char*>(&head), sizeof head);
  bytes.append(reinterpret_cast<const char*>(&gen), sizeof gen);
  bytes.append(attrs.bytes());
  if (::send(nl_.fd(), bytes.data(), bytes.size(), 0) < 0) return Status::Errno(errno, what);
  int error = 0;
  for (bool done = false; !done;) {
    CNI_LET(const std::string answer, Receive(nl_.fd(), /*wait=*/true));
    ForEachMessage(answer, [&](const Answer& a) {
      if (a.head->nlmsg_seq != seq) return;  // of an earlier batch
      if (a.head->nlmsg_flags & NLM_F_DUMP_INTR) error = EAGAIN;
      if (a.head->nlmsg_type == NLMSG_ERROR) error = a.error();
      if (a.head->nlmsg_type >= NLMSG_MIN_TYPE) each(a);
      done |= a.head->nlmsg_type < NLMSG_MIN_TYPE || !(a.head->nlmsg_flags & NLM_F_MULTI);
    });
  }
  if (error) return Status::Errno(error, "nftables: " + what + Explain(error));
  return {};
}

namespace {
// Dumps that a concurrent change broke up are asked for again; each round somebody made progress.
constexpr int kDumpTries = 100;

bool IsMissing(const Status& s) { return s.sys_errno() == ENOENT; }
}  // namespace

cni::Or<uint32_t> Nft::Generation() {
  uint32_t generation = 0;
  CNI_TRY(Query(AF_UNSPEC, NFT_MSG_GETGEN, 0, {}, "get generation", [&](const Answer& a) {
    if (const nlattr* id = a.Get(NFTA_GEN_ID)) {
      std::memcpy(&generation, nla_data(id), sizeof generation);
    }
  }));
  return ntohl(generation);
}

cni::Or<bool> Nft::HasTable(int family, const std::string& table) {
  Attrs attrs;
  attrs.Text(NFTA_TABLE_NAME, table);
  const Status s =
      Query(family, NFT_MSG_GETTABLE, 0, attrs, "get table " + table, [](const Answer&) {});
  if (!s.ok() && !IsMissing(s)) return s;
  return s.ok();
}

cni::Or<bool> Nft::HasSet(int family, const std::string& table, const std::string& set) {
  Attrs attrs;
  attrs.Text(NFTA_SET_TABLE, table);
  attrs.Text(NFTA_SET_NAME, set);
  const Status s = Query(family, NFT_MSG_GETSET, 0, attrs, "get set " + set, [](const Answer&) {});
  if (!s.ok() && !IsMissing(s)) return s;
  return s.ok();
}

cni::Or<std::optional<Element>> Nft::Get(int family, const std::string& table,
                                         const std::string& set, const std::string& key) {
  Attrs attrs = ElementQuery(table, set);
  attrs.Nest(NFTA_SET_ELEM_LIST_ELEMENTS, [&] {
    attrs.Nest(NFTA_LIST_ELEM,
               [&] { attrs.Nest(NFTA_SET_ELEM_KEY, [&] { attrs.Put(NFTA_DATA_VALUE, key); }); });
  });
  std::vector<Element> found;
  const Status s = Query(family, NFT_MSG_GETSETELEM, 0, attrs, "get element of " + set,
                         [&](const Answer& a) { ParseElements(set, a, &found); });
  if (IsMissing(s) || (s.ok() && found.empty())) return std::optional<Element>();
  if (!s.ok()) return s;
  return std::optional<Element>(std::move(found[0]));
}

cni::Or<std::vector<Element>> Nft::List(int family, const std::string& table,
                                        const std::string& set) {
  Status s;
  for (int i = 0; i < kDumpTries; ++i) {
    std::vector<Element> all;
    s = Query(family, NFT_MSG_GETSETELEM, NLM_F_DUMP, ElementQuery(table, set),
              "list elements of " + set, [&](const Answer& a) { ParseElements(set, a, &all); });
    if (s.ok()) return all;
    if (IsMissing(s)) return std::vector<Element>();
    if (s.sys_errno() != EAGAIN && s.sys_errno() != EINTR) return s;
  }
  return s;
}

namespace {
// nft(8) keeps a comment's final NUL.
std::string TagOf(const nlattr* userdata) {
  if (!userdata) return "";
  return FindUser(Bytes(userdata), kComment).value_or("").c_str();
}
}  // namespace

cni::Or<std::vector<std::string>> Nft::RuleTags(int family, const std::string& table) {
  Attrs attrs;
  attrs.Text(NFTA_RULE_TABLE, table);
  Status s;
  for (int i = 0; i < kDumpTries; ++i) {
    std::vector<std::string> tags;
    s = Query(family, NFT_MSG_GETRULE, NLM_F_DUMP, attrs, "list rules of " + table,
              [&](const Answer& a) {
                if (TextOf(a.Get(NFTA_RULE_TABLE)) != table) return;
                tags.push_back(TagOf(a.Get(NFTA_RULE_USERDATA)));
              });
    if (s.ok()) return tags;
    if (IsMissing(s)) return std::vector<std::string>();
    if (s.sys_errno() != EAGAIN && s.sys_errno() != EINTR) return s;
  }
  return s;
}

cni::Or<std::vector<std::string>> Nft::Names(int family, uint16_t type, const std::string& table,
                                             int table_attr, int name_attr) {
  Status s;
  for (int i = 0; i < kDumpTries; ++i) {
    std::vector<std::string> names;
    s = Query(family, type, NLM_F_DUMP, {}, "list " + table, [&](const Answer& a) {
      if (TextOf(a.Get(table_attr)) == table) names.push_back(TextOf(a.Get(name_attr)));
    });
    if (s.ok()) return names;
    if (s.sys_errno() != EAGAIN && s.sys_errno() != EINTR) return s;
  }
  return s;
}

cni::Or<std::vector<std::string>> Nft::Chains(int family, const std::string& table) {
  return Names(family, NFT_MSG_GETCHAIN, table, NFTA_CHAIN_TABLE, NFTA_CHAIN_NAME);
}

cni::Or<std::vector<std::string>> Nft::Sets(int family, const std::string& table) {
  return Names(family, NFT_MSG_GETSET, table, NFTA_SET_TABLE, NFTA_SET_NAME);
}

namespace {

uint32_t Number(const nlattr* a) {
  return a && nla_len(a) >= 4 ? ntohl(nla_get_u32(a)) : UINT32_MAX;
}

const char* FamilyName(int family) {
  switch (family) {
    case NFPROTO_INET:
      return "inet";
    case NFPROTO_IPV4:
      return "ip";
    case NFPROTO_IPV6:
      return "ip6";
    default:
      return nullptr;
  }
}

}  // namespace

cni::Or<std::vector<std::string>> Nft::DroppingForwardChains() {
  Status s;
  for (int i = 0; i < kDumpTries; ++i) {
    std::vector<std::string> chains;
    s = Query(AF_UNSPEC, NFT_MSG_GETCHAIN, NLM_F_DUMP, {}, "list chains", [&](const Answer& a) {
      const char* const family = FamilyName(a.family());
      const nlattr* const hook = Child(a.Get(NFTA_CHAIN_HOOK), NFTA_HOOK_HOOKNUM);
      if (!family || Number(hook) != NF_INET_FORWARD) return;
      if (Number(a.Get(NFTA_CHAIN_POLICY)) != NF_DROP) return;
      chains.push_back(std::string(family) + " " + TextOf(a.Get(NFTA_CHAIN_TABLE)) + " " +
                       TextOf(a.Get(NFTA_CHAIN_NAME)));
    });
    if (s.ok()) return chains;
    if (s.sys_errno() != EAGAIN && s.sys_errno() != EINTR) return s;
  }
  return s;
}

}  // namespace keelson::cni::nft
