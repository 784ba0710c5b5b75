// SPDX-License-Identifier: Apache-2.0
#include "cni-plugins/lib/owned_table.h"

#include <algorithm>
#include <cstring>
#include <set>

namespace keelson::cni {

namespace {

using nft::Element;

constexpr const char* kOwners = "owners";
constexpr uint8_t kOwnerId = 0x6b;    // userdata: owner hash (16 bytes), network hash (16 bytes)
constexpr uint8_t kReference = 0x6c;  // userdata in "owners": set name, NUL, key
// Each lost race means that somebody else's change went through, so this is not reached in
// practice.
constexpr int kMaxRaces = 10000;

// FNV-1a, 128 bits: names are the administrator's and the runtime's, nobody gains by a collision.
std::string Hash(std::string_view text) {
  __extension__ using U128 = unsigned __int128;
  constexpr U128 kPrime = (U128{1} << 88) + 0x13b;
  U128 h = (U128{0x6c62272e07bb0142} << 64) + 0x62b821756295c58d;
  for (const char c : text) h = (h ^ static_cast<uint8_t>(c)) * kPrime;
  return {reinterpret_cast<const char*>(&h), sizeof h};
}

std::string OwnerId(const NftOwner& o) {
  const std::string nul(1, '\0');
  return Hash(o.network + nul + o.container_id + nul + o.ifname);
}

std::string CommentFor(const NftOwner& o) {
  return nft::CommentText(o.container_id + " " + o.ifname + " " + o.network);
}

std::string UserdataFor(const NftOwner& o) {
  std::string user;
  std::string comment = CommentFor(o);
  comment.push_back('\0');
  nft::PutUser(&user, nft::kComment, comment);
  nft::PutUser(&user, kOwnerId, OwnerId(o) + Hash(o.network));
  return user;
}

std::string OwnerOf(const Element& e) {
  return nft::FindUser(e.user, kOwnerId).value_or("").substr(0, 16);
}

// The nth entry of an owner in "owners".
std::string LedgerKey(const std::string& owner_id, uint32_t n) {
  return owner_id + nft::HostU32(n);
}

Element LedgerEntry(const std::string& owner_id, uint32_t n, const Element& of) {
  Element entry{kOwners, LedgerKey(owner_id, n), "", of.user};
  nft::PutUser(&entry.user, kReference, of.set + std::string(1, '\0') + of.key);
  return entry;
}

std::optional<Element> Referred(const Element& entry) {
  const auto reference = nft::FindUser(entry.user, kReference);
  if (!reference) return std::nullopt;
  const size_t nul = reference->find('\0');
  if (nul == std::string::npos) return std::nullopt;
  return Element{reference->substr(0, nul), reference->substr(nul + 1), "", ""};
}

nft::Set OwnersSet() {
  using enum nft::Type;
  return {kOwners, nft::Concat({kMark, kMark, kMark, kMark, kMark}), {}};
}

}  // namespace

// Entries n = 0, 1, ... of an owner, without gaps.
struct OwnedTable::Ledger {
  std::vector<Element> entries;
};

Or<OwnedTable> OwnedTable::Open(const TableLayout& layout) {
  CNI_LET(nft::Nft nft, nft::Nft::Open());
  return OwnedTable(layout, std::move(nft));
}

template <typename F>
Status OwnedTable::Retry(F&& attempt) {
  Status s;
  for (int i = 0; i < kMaxRaces; ++i) {
    s = attempt();
    if (s.sys_errno() != ERESTART && s.sys_errno() != EINTR) return s;
  }
  return {Code::kTryAgainLater, s.message()};
}

Or<OwnedTable::Ledger> OwnedTable::ReadLedger(const std::string& owner_id) {
  Ledger ledger;
  for (uint32_t n = 0;; ++n) {
    CNI_LET(std::optional<Element> entry,
            nft_.Get(layout_->family, layout_->name, kOwners, LedgerKey(owner_id, n)));
    if (!entry) return ledger;
    ledger.entries.push_back(std::move(*entry));
  }
}

Status OwnedTable::Put(const NftOwner& owner, const OwnedElements& want) {
  const std::string id = OwnerId(owner);
  OwnedElements tagged = want;
  std::vector<Element> ledger;
  for (Element& e : tagged.elements) {
    e.user = UserdataFor(owner);
    ledger.push_back(LedgerEntry(id, static_cast<uint32_t>(ledger.size()), e));
  }
  if (tagged.elements.empty()) return Remove(owner);
  // Nearly always everything is in place and the keys are free: one message, no questions. A set
  // nothing is put into would not be missed, so it is asked for.
  for (const ExtraSet& extra : tagged.extra) {
    const bool used = std::ranges::any_of(
        tagged.elements, [&](const Element& e) { return e.set == extra.set.name; });
    if (used) continue;
    CNI_LET(const bool there, nft_.HasSet(layout_->family, layout_->name, extra.set.name));
    if (!there) return Retry([&] { return PutSlowly(id, tagged, ledger); });
  }
  nft::Batch batch(layout_->family, layout_->name);
  for (const Element& e : tagged.elements) batch.AddElement(e);
  for (const Element& e : ledger) batch.AddElement(e);
  const Status s = nft_.Run(batch);
  if (s.ok() || (s.sys_errno() != ENOENT && s.sys_errno() != EEXIST)) return s;
  return Retry([&] { return PutSlowly(id, tagged, ledger); });
}

Status OwnedTable::PutSlowly(const std::string& owner_id, const OwnedElements& tagged,
                             const std::vector<Element>& ledger) {
  CNI_LET(const uint32_t generation, nft_.Generation());
  nft::Batch batch(layout_->family, layout_->name, generation);
  CNI_TRY(AddMissingLayout(tagged, &batch));
  std::vector<Element> dropped;
  CNI_TRY(DropLedger(owner_id, &batch, &dropped));
  for (const Element& e : tagged.elements) {
    CNI_LET(const auto there, nft_.Get(layout_->family, layout_->name, e.set, e.key));
    const bool gone = std::ranges::any_of(
        dropped, [&](const Element& d) { return d.set == e.set && d.key == e.key; });
    if (there && !gone) batch.DeleteElement(e.set, e.key);  // another's: last one wins
  }
  for (const Element& e : tagged.elements) batch.AddElement(e);
  for (const Element& e : ledger) batch.AddElement(e);
  return nft_.Run(batch);
}

// The whole table, or those extra sets that are not there yet.
Status OwnedTable::AddMissingLayout(const OwnedElements& want, nft::Batch* batch) {
  CNI_LET(const bool has_table, nft_.HasTable(layout_->family, layout_->name));
  if (!has_table) {
    batch->AddTable(layout_->comment, /*exclusive=*/true);
    for (const nft::Chain& c : layout_->chains) batch->AddChain(c);
    batch->AddSet(OwnersSet());
    for (const nft::Set& s : layout_->sets) batch->AddSet(s);
    for (const nft::Rule& r : layout_->rules) batch->AddRule(r);
  }
  std::set<std::string> seen;
  for (const ExtraSet& extra : want.extra) {
    if (!seen.insert(extra.set.name).second) continue;
    bool has_set = false;
    if (has_table) {
      CNI_LET(has_set, nft_.HasSet(layout_->family, layout_->name, extra.set.name));
    }
    if (has_set) continue;
    batch->AddSet(extra.set);
    for (const nft::Chain& c : extra.chains) batch->AddChain(c);
    for (const nft::Rule& r : extra.rules) batch->AddRule(r);
  }
  return {};
}

// Deletes the owner's entries and those elements they name that are still its own.
Status OwnedTable::DropLedger(const std::string& owner_id, nft::Batch* batch,
                              std::vector<Element>* dropped) {
  CNI_LET(const Ledger ledger, ReadLedger(owner_id));
  for (const Element& entry : ledger.entries) {
    batch->DeleteElement(kOwners, entry.key);
    const std::optional<Element> e = Referred(entry);
    if (!e) continue;
    CNI_LET(const auto there, nft_.Get(layout_->family, layout_->name, e->set, e->key));
    if (!there || OwnerOf(*there) != owner_id) continue;
    batch->DeleteElement(e->set, e->key);
    dropped->push_back(*e);
  }
  return {};
}

Status OwnedTable::Remove(const NftOwner& owner, std::vector<Element>* removed) {
  const std::string id = OwnerId(owner);
  return Retry([&]() -> Status {
    CNI_LET(const uint32_t generation, nft_.Generation());
    nft::Batch batch(layout_->family, layout_->name, generation);
    std::vector<Element> dropped;
    CNI_TRY(DropLedger(id, &batch, &dropped));
    if (!batch.empty()) CNI_TRY(nft_.Run(batch));
    if (removed) *removed = std::move(dropped);
    return {};
  });
}

Status OwnedTable::Has(const NftOwner& owner, const OwnedElements& want) {
  const std::string id = OwnerId(owner);
  for (const Element& e : want.elements) {
    CNI_LET(const auto there, nft_.Get(layout_->family, layout_->name, e.set, e.key));
    const std::string where = "nftables: element of " + e.set + " in table " + layout_->name;
    if (!there) return Status::Internal(where + " is missing for " + CommentFor(owner));
    if (OwnerOf(*there) != id) {
      const std::string by = nft::FindUser(there->user, nft::kComment).value_or("somebody");
      return Status::Internal(where + " was taken over by " + std::string(by.c_str()));
    }
    if (there->data != e.data) return Status::Internal(where + " points elsewhere");
  }
  return {};
}

Status OwnedTable::Verify(const NftOwner& owner, const OwnedElements& want) {
  CNI_LET(const std::vector<std::string> chains, nft_.Chains(layout_->family, layout_->name));
  for (const nft::Chain& c : layout_->chains) {
    if (std::ranges::find(chains, c.name) == chains.end()) {
      return Status::Internal("nftables: chain " + c.name + " of table " + layout_->name +
                              " is missing");
    }
  }
  CNI_LET(const std::vector<std::string> tags, nft_.RuleTags(layout_->family, layout_->name));
  std::vector<nft::Rule> rules = layout_->rules;
  for (const ExtraSet& x : want.extra) rules.insert(rules.end(), x.rules.begin(), x.rules.end());
  for (const nft::Rule& r : rules) {
    if (std::ranges::find(tags, r.tag) == tags.end()) {
      return Status::Internal("nftables: rule \"" + r.tag + "\" of table " + layout_->name +
                              " is missing");
    }
  }
  return Has(owner, want);
}

Status OwnedTable::Gc(const std::string& network, std::span<const Attachment> valid) {
  std::set<std::string> keep;
  for (const Attachment& a : valid) keep.insert(OwnerId({network, a.container_id, a.ifname}));
  const std::string network_id = Hash(network);
  return Retry([&]() -> Status {
    CNI_LET(const uint32_t generation, nft_.Generation());
    CNI_LET(const auto entries, nft_.List(layout_->family, layout_->name, kOwners));
    std::set<std::string> stale;
    for (const Element& e : entries) {
      const std::string ids = nft::FindUser(e.user, kOwnerId).value_or("");
      if (ids.size() != 32 || ids.substr(16) != network_id) continue;
      if (!keep.contains(ids.substr(0, 16))) stale.insert(ids.substr(0, 16));
    }
    nft::Batch batch(layout_->family, layout_->name, generation);
    std::vector<Element> dropped;
    for (const std::string& id : stale) CNI_TRY(DropLedger(id, &batch, &dropped));
    return batch.empty() ? Status() : nft_.Run(batch);
  });
}

}  // namespace keelson::cni
