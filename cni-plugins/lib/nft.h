// SPDX-License-Identifier: Apache-2.0
#pragma once

// nftables over netlink: the messages and the few expressions the plugins need, encoded here
// (libnftnl is GPL, the project is not). Facts: linux/netfilter/nf_tables.h and its kernel code.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cni-plugins/lib/netlink.h"
#include "cni-plugins/lib/status.h"

namespace keelson::cni::nft {

// Attributes one after another, as netlink lays them out; integers go in network order.
class Attrs {
 public:
  void Put(uint16_t type, const void* data, size_t size);
  void Put(uint16_t type, std::string_view bytes) { Put(type, bytes.data(), bytes.size()); }
  void Text(uint16_t type, std::string_view text);  // with its final NUL
  void U8(uint16_t type, uint8_t v) { Put(type, &v, 1); }
  void U32(uint16_t type, uint32_t v);
  void U64(uint16_t type, uint64_t v);
  // Everything `f` puts goes inside attribute `type`.
  template <typename F>
  void Nest(uint16_t type, F&& f) {
    const size_t start = Open(type);
    f();
    Close(start);
  }
  const std::string& bytes() const { return bytes_; }

 protected:
  size_t Open(uint16_t type);
  void Close(size_t start);
  std::string bytes_;
};

// A 32-bit register of the nftables machine, 0 to 15; longer values take the ones after it.
using Reg = int;

// The expressions of one rule, evaluated left to right until one does not match.
class Exprs {
 public:
  Exprs& Meta(uint32_t key, Reg to);  // NFT_META_*
  Exprs& MetaSet(uint32_t key, Reg from);
  Exprs& Payload(uint32_t base, uint32_t offset, uint32_t size, Reg to);
  // Writes the register into the packet's network header and mends the checksums: `l4` the ones
  // whose pseudo header covers it, `csum_offset` the header's own if it has one (IPv4: 10).
  Exprs& NetworkHeaderSet(uint32_t offset, uint32_t size, Reg from, std::optional<int> csum_offset);
  Exprs& Ct(uint32_t key, Reg to, std::optional<uint8_t> direction = std::nullopt);  // NFT_CT_*
  Exprs& FibDaddrType(Reg to);                 // RTN_* of the destination
  Exprs& And(Reg reg, std::string_view mask);  // in place
  Exprs& Or(Reg reg, uint32_t bits);           // in place, host order
  Exprs& Immediate(Reg to, std::string_view bytes);
  Exprs& Equal(Reg reg, std::string_view bytes) { return Cmp(true, reg, bytes); }
  Exprs& Differs(Reg reg, std::string_view bytes) { return Cmp(false, reg, bytes); }
  Exprs& InSet(std::string_view set, Reg key) { return Lookup(set, key, {}, false); }
  Exprs& NotInSet(std::string_view set, Reg key) { return Lookup(set, key, {}, true); }
  Exprs& Map(std::string_view map, Reg key, Reg to) { return Lookup(map, key, to, false); }
  Exprs& Dnat(int family, Reg address, Reg port);
  Exprs& Masquerade();
  Exprs& Counter();
  Exprs& Verdict(int32_t code, std::string_view chain = "");  // NF_DROP, NFT_JUMP, ...

  const std::string& bytes() const { return attrs_.bytes(); }

 private:
  Exprs& Cmp(bool equal, Reg reg, std::string_view bytes);
  Exprs& Lookup(std::string_view set, Reg key, std::optional<Reg> to, bool invert);
  template <typename F>
  Exprs& Add(std::string_view name, F&& f);
  Attrs attrs_;
};

// nft(8)'s numbers for types of keys and data; without them `nft list ruleset` fails for everybody.
enum class Type : uint32_t {
  kIp4 = 7,
  kIp6 = 8,
  kEther = 9,
  kProtocol = 12,
  kPort = 13,
  kMark = 19,
  kIfname = 41,
};
struct TypeOf {
  uint32_t id = 0;
  uint32_t size = 0;  // bytes; every part of a concatenation fills whole registers
};
TypeOf Concat(std::initializer_list<Type> parts);

// ---- what a plugin wants to be there ----

struct Hook {
  std::string type;  // "nat", "filter"
  uint32_t hook;     // NF_INET_*, NF_BR_*
  int32_t priority;
};
struct Chain {
  std::string name;
  std::optional<Hook> hook;
};
struct Rule {
  std::string chain;
  std::string tag;  // its comment, by which CHECK finds it again; unique in the table
  Exprs exprs;
  bool first = false;  // before the chain's other rules
};
struct Set {
  std::string name;
  TypeOf key;
  TypeOf data;  // size 0: a set and not a map
};
struct Element {
  std::string set;
  std::string key;
  std::string data;
  std::string user;  // userdata: TLVs
};

// Changes that take effect all at once or not at all.
class Batch {
 public:
  // With a generation (from Generation()) the kernel refuses the batch if anything changed since.
  Batch(int family, std::string table, std::optional<uint32_t> generation = std::nullopt);

  void AddTable(std::string_view comment, bool exclusive);
  void AddChain(const Chain& chain);
  void AddSet(const Set& set);
  void AddRule(const Rule& rule);
  // Fails with EEXIST if the key is there.
  void AddElement(const Element& element);
  void DeleteElement(const std::string& set, std::string_view key);
  void DeleteTable();

  bool empty() const { return what_.empty(); }
  // The finished bytes; call once.
  std::string Finish();
  // What message `seq` was to do, for error texts.
  std::string What(uint32_t seq) const;
  const std::string& table() const { return table_; }

 private:
  template <typename F>
  void Message(uint16_t type, uint16_t flags, std::string what, F&& f);
  int family_;
  std::string table_;
  std::string bytes_;
  std::vector<std::string> what_;
  uint32_t next_set_id_ = 1;
};

// A connection to the nftables of the namespace it was opened in. Blocking; one thread.
class Nft {
 public:
  static cni::Or<Nft> Open();

  // Carries `batch` out. sys_errno() of the first message the kernel refused; ERESTART: the
  // generation has moved on, look again.
  Status Run(Batch& batch);
  cni::Or<uint32_t> Generation();
  cni::Or<bool> HasTable(int family, const std::string& table);
  cni::Or<bool> HasSet(int family, const std::string& table, const std::string& set);
  // The element with `key`, if there is one; a missing set has none.
  cni::Or<std::optional<Element>> Get(int family, const std::string& table, const std::string& set,
                                      const std::string& key);
  // All elements of a set. For GC and tests only: costs as much as there are elements.
  cni::Or<std::vector<Element>> List(int family, const std::string& table, const std::string& set);
  // Comments of all rules of `table`; empty without the table.
  cni::Or<std::vector<std::string>> RuleTags(int family, const std::string& table);
  cni::Or<std::vector<std::string>> Chains(int family, const std::string& table);
  cni::Or<std::vector<std::string>> Sets(int family, const std::string& table);
  // "family table chain" of all base chains at the forward hook whose policy is to drop.
  cni::Or<std::vector<std::string>> DroppingForwardChains();

 private:
  explicit Nft(Netlink nl) : nl_(std::move(nl)) {}
  template <typename F>
  Status Query(int family, uint16_t type, uint16_t flags, const Attrs& attrs,
               const std::string& what, F&& each);
  cni::Or<std::vector<std::string>> Names(int family, uint16_t type, const std::string& table,
                                          int table_attr, int name_attr);
  Netlink nl_;
  uint32_t seq_ = 1;
};

// Userdata: (type, length, value) triples.
inline constexpr uint8_t kComment = 0;  // nft(8) prints it
void PutUser(std::string* user, uint8_t type, std::string_view value);
std::optional<std::string> FindUser(std::string_view user, uint8_t type);
// `text` as nft(8) can print and read it back: printable, without quotes, at most 127 bytes.
std::string CommentText(std::string_view text);

// Key material, each part padded to whole registers.
std::string Pad(std::string_view bytes);
std::string Port(uint16_t port);
std::string Proto(uint8_t protocol);
std::string HostU32(uint32_t v);
std::string Ifname(std::string_view name);  // 16 bytes
std::string PrefixMask(int prefix, int bytes);

}  // namespace keelson::cni::nft
