// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string>
#include <vector>

#include "cni-plugins/lib/nft.h"
#include "cni-plugins/lib/types.h"

namespace keelson::cni {

// Whose elements: one attachment of a network.
struct NftOwner {
  std::string network;
  std::string container_id;
  std::string ifname;
};

// A table of ours: fixed chains, sets and rules, whatever the number of containers. What differs
// per container are elements of sets and maps, so that a packet costs a few hash lookups and a call
// a few messages with ten containers as with ten thousand.
struct TableLayout {
  int family;
  std::string name;
  std::string comment;
  std::vector<nft::Chain> chains;
  std::vector<nft::Set> sets;
  std::vector<nft::Rule> rules;
};

// A set that exists once somebody needs it, with the chains and rules that come with it.
struct ExtraSet {
  nft::Set set;
  std::vector<nft::Rule> rules;
  std::vector<nft::Chain> chains = {};
};

struct OwnedElements {
  std::vector<ExtraSet> extra;  // what `elements` need beyond the layout
  std::vector<nft::Element> elements;
};

// Elements with owners. The kernel keeps all state: each element's userdata says whose it is, and
// the set "owners" lists per attachment what it has, so that removal needs neither configuration
// nor prevResult nor a dump, and a reboot or `nft flush` leaves nothing stale behind. Every change
// is one atomic batch. Where it depends on what was read, it carries the generation it was read at
// and starts over if that is past: two containers that claim the same key cannot lose or remove
// each other's.
class OwnedTable {
 public:
  // Borrows `layout`, which outlives it.
  static Or<OwnedTable> Open(const TableLayout& layout);

  // Afterwards the owner has exactly `want`. A key somebody else had is taken over (last one wins).
  // Makes the table, or what of it is missing, first.
  Status Put(const NftOwner& owner, const OwnedElements& want);
  // Afterwards the owner has nothing. OK if it had nothing. `removed`, if given, says what it had
  // (set and key; what others took over is not among it).
  Status Remove(const NftOwner& owner, std::vector<nft::Element>* removed = nullptr);
  // Whether all of `want.elements` are there and belong to the owner. A few messages; does not look
  // at chains and rules.
  Status Has(const NftOwner& owner, const OwnedElements& want);
  // OK if all of `want` is there, belongs to the owner and is looked up by the rules it should be.
  Status Verify(const NftOwner& owner, const OwnedElements& want);
  // Removes what belongs to attachments of `network` not in `valid`.
  Status Gc(const std::string& network, std::span<const Attachment> valid);
  // An error if the kernel would not serve Put.
  Status Ready() { return nft_.Generation().status(); }

 private:
  OwnedTable(const TableLayout& layout, nft::Nft nft) : layout_(&layout), nft_(std::move(nft)) {}
  struct Ledger;  // an owner's entries in "owners"
  Or<Ledger> ReadLedger(const std::string& owner_id);
  Status PutSlowly(const std::string& owner_id, const OwnedElements& tagged,
                   const std::vector<nft::Element>& ledger);
  Status AddMissingLayout(const OwnedElements& want, nft::Batch* batch);
  Status DropLedger(const std::string& owner_id, nft::Batch* batch,
                    std::vector<nft::Element>* dropped);
  template <typename F>
  Status Retry(F&& attempt);

  const TableLayout* layout_;
  nft::Nft nft_;
};

}  // namespace keelson::cni
