// SPDX-License-Identifier: Apache-2.0
// nftables objects as netlink bytes. Pure: nothing here talks to the kernel.
#include <arpa/inet.h>
#include <endian.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>

#include "cni-plugins/lib/nft.h"

namespace keelson::cni::nft {

// ---- attributes ---------------------------------------------------------------------------------

void Attrs::Put(uint16_t type, const void* data, size_t size) {
  const nlattr head{static_cast<uint16_t>(NLA_HDRLEN + size), type};
  bytes_.append(reinterpret_cast<const char*>(&head), sizeof head);
  bytes_.append(static_cast<const char*>(data), size);
  bytes_.resize(NLA_ALIGN(bytes_.size()), '\0');
}

void Attrs::Text(uint16_t type, std::string_view text) {
  const std::string copy(text);
  Put(type, copy.c_str(), copy.size() + 1);
}

void Attrs::U32(uint16_t type, uint32_t v) {
  v = htonl(v);
  Put(type, &v, sizeof v);
}

void Attrs::U64(uint16_t type, uint64_t v) {
  v = htobe64(v);
  Put(type, &v, sizeof v);
}

size_t Attrs::Open(uint16_t type) {
  const size_t start = bytes_.size();
  Put(type | NLA_F_NESTED, nullptr, 0);
  return start;
}

void Attrs::Close(size_t start) {
  const auto size = static_cast<uint16_t>(bytes_.size() - start);
  std::memcpy(bytes_.data() + start, &size, sizeof size);
}

// ---- expressions --------------------------------------------------------------------------------

namespace {
uint32_t R(Reg reg) { return NFT_REG32_00 + static_cast<uint32_t>(reg); }
}  // namespace

template <typename F>
Exprs& Exprs::Add(std::string_view name, F&& f) {
  attrs_.Nest(NFTA_LIST_ELEM, [&] {
    attrs_.Text(NFTA_EXPR_NAME, name);
    attrs_.Nest(NFTA_EXPR_DATA, f);
  });
  return *this;
}

Exprs& Exprs::Meta(uint32_t key, Reg to) {
  return Add("meta", [&] {
    attrs_.U32(NFTA_META_KEY, key);
    attrs_.U32(NFTA_META_DREG, R(to));
  });
}

Exprs& Exprs::MetaSet(uint32_t key, Reg from) {
  return Add("meta", [&] {
    attrs_.U32(NFTA_META_KEY, key);
    attrs_.U32(NFTA_META_SREG, R(from));
  });
}

Exprs& Exprs::Payload(uint32_t base, uint32_t offset, uint32_t size, Reg to) {
  return Add("payload", [&] {
    attrs_.U32(NFTA_PAYLOAD_DREG, R(to));
    attrs_.U32(NFTA_PAYLOAD_BASE, base);
    attrs_.U32(NFTA_PAYLOAD_OFFSET, offset);
    attrs_.U32(NFTA_PAYLOAD_LEN, size);
  });
}

Exprs& Exprs::NetworkHeaderSet(uint32_t offset, uint32_t size, Reg from,
                               std::optional<int> csum_offset) {
  return Add("payload", [&] {
    attrs_.U32(NFTA_PAYLOAD_SREG, R(from));
    attrs_.U32(NFTA_PAYLOAD_BASE, NFT_PAYLOAD_NETWORK_HEADER);
    attrs_.U32(NFTA_PAYLOAD_OFFSET, offset);
    attrs_.U32(NFTA_PAYLOAD_LEN, size);
    attrs_.U32(NFTA_PAYLOAD_CSUM_TYPE, csum_offset ? NFT_PAYLOAD_CSUM_INET : NFT_PAYLOAD_CSUM_NONE);
    if (csum_offset) attrs_.U32(NFTA_PAYLOAD_CSUM_OFFSET, static_cast<uint32_t>(*csum_offset));
    attrs_.U32(NFTA_PAYLOAD_CSUM_FLAGS, NFT_PAYLOAD_L4CSUM_PSEUDOHDR);
  });
}

Exprs& Exprs::Ct(uint32_t key, Reg to, std::optional<uint8_t> direction) {
  return Add("ct", [&] {
    attrs_.U32(NFTA_CT_KEY, key);
    attrs_.U32(NFTA_CT_DREG, R(to));
    if (direction) attrs_.U8(NFTA_CT_DIRECTION, *direction);
  });
}

Exprs& Exprs::FibDaddrType(Reg to) {
  return Add("fib", [&] {
    attrs_.U32(NFTA_FIB_DREG, R(to));
    attrs_.U32(NFTA_FIB_RESULT, NFT_FIB_RESULT_ADDRTYPE);
    attrs_.U32(NFTA_FIB_FLAGS, NFTA_FIB_F_DADDR);
  });
}

Exprs& Exprs::And(Reg reg, std::string_view mask) {
  return Add("bitwise", [&] {
    attrs_.U32(NFTA_BITWISE_SREG, R(reg));
    attrs_.U32(NFTA_BITWISE_DREG, R(reg));
    attrs_.U32(NFTA_BITWISE_LEN, static_cast<uint32_t>(mask.size()));
    attrs_.Nest(NFTA_BITWISE_MASK, [&] { attrs_.Put(NFTA_DATA_VALUE, mask); });
    attrs_.Nest(NFTA_BITWISE_XOR,
                [&] { attrs_.Put(NFTA_DATA_VALUE, std::string(mask.size(), '\0')); });
  });
}

Exprs& Exprs::Or(Reg reg, uint32_t bits) {
  // The machine computes (reg & mask) ^ xor: clear the bits, then flip them on.
  return Add("bitwise", [&] {
    attrs_.U32(NFTA_BITWISE_SREG, R(reg));
    attrs_.U32(NFTA_BITWISE_DREG, R(reg));
    attrs_.U32(NFTA_BITWISE_LEN, 4);
    attrs_.Nest(NFTA_BITWISE_MASK, [&] { attrs_.Put(NFTA_DATA_VALUE, HostU32(~bits)); });
    attrs_.Nest(NFTA_BITWISE_XOR, [&] { attrs_.Put(NFTA_DATA_VALUE, HostU32(bits)); });
  });
}

Exprs& Exprs::Cmp(bool equal, Reg reg, std::string_view bytes) {
  return Add("cmp", [&] {
    attrs_.U32(NFTA_CMP_SREG, R(reg));
    attrs_.U32(NFTA_CMP_OP, equal ? NFT_CMP_EQ : NFT_CMP_NEQ);
    attrs_.Nest(NFTA_CMP_DATA, [&] { attrs_.Put(NFTA_DATA_VALUE, bytes); });
  });
}

Exprs& Exprs::Lookup(std::string_view set, Reg key, std::optional<Reg> to, bool invert) {
  return Add("lookup", [&] {
    attrs_.Text(NFTA_LOOKUP_SET, set);
    attrs_.U32(NFTA_LOOKUP_SREG, R(key));
    if (to) attrs_.U32(NFTA_LOOKUP_DREG, R(*to));
    if (invert) attrs_.U32(NFTA_LOOKUP_FLAGS, NFT_LOOKUP_F_INV);
  });
}

Exprs& Exprs::Dnat(int family, Reg address, Reg port) {
  return Add("nat", [&] {
    attrs_.U32(NFTA_NAT_TYPE, NFT_NAT_DNAT);
    attrs_.U32(NFTA_NAT_FAMILY, family == AF_INET ? NFPROTO_IPV4 : NFPROTO_IPV6);
    attrs_.U32(NFTA_NAT_REG_ADDR_MIN, R(address));
    attrs_.U32(NFTA_NAT_REG_PROTO_MIN, R(port));
  });
}

Exprs& Exprs::Masquerade() {
  return Add("masq", [] {});
}

Exprs& Exprs::Counter() {
  return Add("counter", [] {});
}

Exprs& Exprs::Immediate(Reg to, std::string_view bytes) {
  return Add("immediate", [&] {
    attrs_.U32(NFTA_IMMEDIATE_DREG, R(to));
    attrs_.Nest(NFTA_IMMEDIATE_DATA, [&] { attrs_.Put(NFTA_DATA_VALUE, bytes); });
  });
}

Exprs& Exprs::Verdict(int32_t code, std::string_view chain) {
  return Add("immediate", [&] {
    attrs_.U32(NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT);
    attrs_.Nest(NFTA_IMMEDIATE_DATA, [&] {
      attrs_.Nest(NFTA_DATA_VERDICT, [&] {
        attrs_.U32(NFTA_VERDICT_CODE, static_cast<uint32_t>(code));
        if (!chain.empty()) attrs_.Text(NFTA_VERDICT_CHAIN, chain);
      });
    });
  });
}

// ---- types and values ---------------------------------------------------------------------------

TypeOf Concat(std::initializer_list<Type> parts) {
  TypeOf type;
  for (const Type part : parts) {
    type.id = type.id << 6 | static_cast<uint32_t>(part);
    switch (part) {
      case Type::kIp6:
      case Type::kIfname:
        type.size += 16;
        break;
      case Type::kEther:
        type.size += 8;
        break;
      case Type::kIp4:
      case Type::kProtocol:
      case Type::kPort:
      case Type::kMark:
        type.size += 4;
        break;
    }
  }
  return type;
}

std::string Pad(std::string_view bytes) {
  std::string padded(bytes);
  padded.resize((padded.size() + 3) / 4 * 4, '\0');
  return padded;
}

std::string Port(uint16_t port) {
  port = htons(port);
  return Pad({reinterpret_cast<const char*>(&port), 2});
}

std::string Proto(uint8_t protocol) { return Pad({reinterpret_cast<const char*>(&protocol), 1}); }

std::string HostU32(uint32_t v) { return {reinterpret_cast<const char*>(&v), sizeof v}; }

std::string Ifname(std::string_view name) {
  std::string padded(name.substr(0, 15));
  padded.resize(16, '\0');
  return padded;
}

std::string PrefixMask(int prefix, int bytes) {
  std::string mask(static_cast<size_t>(bytes), '\0');
  for (int i = 0; i < bytes; ++i) {
    const int bits = std::clamp(prefix - 8 * i, 0, 8);
    mask[static_cast<size_t>(i)] = static_cast<char>(0xff00 >> bits);
  }
  return mask;
}

void PutUser(std::string* user, uint8_t type, std::string_view value) {
  user->push_back(static_cast<char>(type));
  user->push_back(static_cast<char>(value.size()));
  user->append(value);
}

std::optional<std::string> FindUser(std::string_view user, uint8_t type) {
  while (user.size() >= 2) {
    const auto size = static_cast<uint8_t>(user[1]);
    if (user.size() < 2u + size) return std::nullopt;
    if (static_cast<uint8_t>(user[0]) == type) return std::string(user.substr(2, size));
    user.remove_prefix(2u + size);
  }
  return std::nullopt;
}

std::string CommentText(std::string_view text) {
  std::string comment(text.substr(0, 127));
  for (char& c : comment) {
    if (c < ' ' || c > '~' || c == '"' || c == '\\') c = '_';
  }
  return comment;
}

// ---- messages -----------------------------------------------------------------------------------

namespace {

std::string Comment(std::string_view text) {
  std::string user;
  std::string value = CommentText(text);
  value.push_back('\0');
  PutUser(&user, kComment, value);
  return user;
}

void AppendHeader(std::string* out, uint16_t type, uint16_t flags, uint32_t seq, uint8_t family,
                  uint16_t res_id, std::string_view body) {
  nlmsghdr head{};
  head.nlmsg_len = static_cast<uint32_t>(NLMSG_HDRLEN + sizeof(nfgenmsg) + body.size());
  head.nlmsg_type = type;
  head.nlmsg_flags = static_cast<uint16_t>(NLM_F_REQUEST | flags);
  head.nlmsg_seq = seq;
  const nfgenmsg gen{family, NFNETLINK_V0, htons(res_id)};
  out->append(reinterpret_cast<const char*>(&head), sizeof head);
  out->append(reinterpret_cast<const char*>(&gen), sizeof gen);
  out->append(body);
}

constexpr uint16_t NftType(int message) {
  return static_cast<uint16_t>(NFNL_SUBSYS_NFTABLES << 8 | message);
}

}  // namespace

Batch::Batch(int family, std::string table, std::optional<uint32_t> generation)
    : family_(family), table_(std::move(table)) {
  Attrs attrs;
  if (generation) attrs.U32(NFNL_BATCH_GENID, *generation);
  AppendHeader(&bytes_, NFNL_MSG_BATCH_BEGIN, 0, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES, attrs.bytes());
}

template <typename F>
void Batch::Message(uint16_t type, uint16_t flags, std::string what, F&& f) {
  what_.push_back(std::move(what));
  Attrs attrs;
  f(attrs);
  AppendHeader(&bytes_, NftType(type), flags, static_cast<uint32_t>(what_.size()),
               static_cast<uint8_t>(family_), 0, attrs.bytes());
}

void Batch::AddTable(std::string_view comment, bool exclusive) {
  const uint16_t flags = NLM_F_CREATE | (exclusive ? NLM_F_EXCL : 0);
  Message(NFT_MSG_NEWTABLE, flags, "add table " + table_, [&](Attrs& a) {
    a.Text(NFTA_TABLE_NAME, table_);
    a.Put(NFTA_TABLE_USERDATA, Comment(comment));
  });
}

void Batch::AddChain(const Chain& chain) {
  Message(NFT_MSG_NEWCHAIN, NLM_F_CREATE, "add chain " + chain.name, [&](Attrs& a) {
    a.Text(NFTA_CHAIN_TABLE, table_);
    a.Text(NFTA_CHAIN_NAME, chain.name);
    if (!chain.hook) return;
    a.Text(NFTA_CHAIN_TYPE, chain.hook->type);
    a.Nest(NFTA_CHAIN_HOOK, [&] {
      a.U32(NFTA_HOOK_HOOKNUM, chain.hook->hook);
      a.U32(NFTA_HOOK_PRIORITY, static_cast<uint32_t>(chain.hook->priority));
    });
    a.U32(NFTA_CHAIN_POLICY, NF_ACCEPT);
  });
}

void Batch::AddSet(const Set& set) {
  Message(NFT_MSG_NEWSET, NLM_F_CREATE, "add set " + set.name, [&](Attrs& a) {
    a.Text(NFTA_SET_TABLE, table_);
    a.Text(NFTA_SET_NAME, set.name);
    a.U32(NFTA_SET_ID, next_set_id_++);
    a.U32(NFTA_SET_KEY_TYPE, set.key.id);
    a.U32(NFTA_SET_KEY_LEN, set.key.size);
    a.U32(NFTA_SET_FLAGS, set.data.size ? NFT_SET_MAP : 0);
    // nft(8) reads single keys of these types backwards unless told (NFTNL_UDATA_SET_KEYBYTEORDER).
    if (set.key.id == static_cast<uint32_t>(Type::kIfname)) {
      std::string user;
      PutUser(&user, 0, HostU32(1));
      a.Put(NFTA_SET_USERDATA, user);
    }
    if (!set.data.size) return;
    a.U32(NFTA_SET_DATA_TYPE, set.data.id);
    a.U32(NFTA_SET_DATA_LEN, set.data.size);
  });
}

void Batch::AddRule(const Rule& rule) {
  const uint16_t flags = NLM_F_CREATE | (rule.first ? 0 : NLM_F_APPEND);
  Message(NFT_MSG_NEWRULE, flags, "add rule \"" + rule.tag + "\"", [&](Attrs& a) {
    a.Text(NFTA_RULE_TABLE, table_);
    a.Text(NFTA_RULE_CHAIN, rule.chain);
    a.Put(NFTA_RULE_EXPRESSIONS | NLA_F_NESTED, rule.exprs.bytes());
    a.Put(NFTA_RULE_USERDATA, Comment(rule.tag));
  });
}

void Batch::AddElement(const Element& element) {
  Message(NFT_MSG_NEWSETELEM, NLM_F_CREATE | NLM_F_EXCL, "add element to " + element.set,
          [&](Attrs& a) {
            a.Text(NFTA_SET_ELEM_LIST_TABLE, table_);
            a.Text(NFTA_SET_ELEM_LIST_SET, element.set);
            a.Nest(NFTA_SET_ELEM_LIST_ELEMENTS, [&] {
              a.Nest(NFTA_LIST_ELEM, [&] {
                a.Nest(NFTA_SET_ELEM_KEY, [&] { a.Put(NFTA_DATA_VALUE, element.key); });
                if (!element.data.empty()) {
                  a.Nest(NFTA_SET_ELEM_DATA, [&] { a.Put(NFTA_DATA_VALUE, element.data); });
                }
                if (!element.user.empty()) a.Put(NFTA_SET_ELEM_USERDATA, element.user);
              });
            });
          });
}

void Batch::DeleteElement(const std::string& set, std::string_view key) {
  Message(NFT_MSG_DELSETELEM, 0, "delete element of " + set, [&](Attrs& a) {
    a.Text(NFTA_SET_ELEM_LIST_TABLE, table_);
    a.Text(NFTA_SET_ELEM_LIST_SET, set);
    a.Nest(NFTA_SET_ELEM_LIST_ELEMENTS, [&] {
      a.Nest(NFTA_LIST_ELEM,
             [&] { a.Nest(NFTA_SET_ELEM_KEY, [&] { a.Put(NFTA_DATA_VALUE, key); }); });
    });
  });
}

void Batch::DeleteTable() {
  Message(NFT_MSG_DELTABLE, 0, "delete table " + table_,
          [&](Attrs& a) { a.Text(NFTA_TABLE_NAME, table_); });
}

std::string Batch::Finish() {
  AppendHeader(&bytes_, NFNL_MSG_BATCH_END, 0, static_cast<uint32_t>(what_.size() + 1), AF_UNSPEC,
               NFNL_SUBSYS_NFTABLES, {});
  return std::move(bytes_);
}

std::string Batch::What(uint32_t seq) const {
  if (seq == 0 || seq > what_.size()) return "commit to table " + table_;
  return what_[seq - 1] + " (table " + table_ + ")";
}

}  // namespace keelson::cni::nft
