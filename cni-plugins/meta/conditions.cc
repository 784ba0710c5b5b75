// SPDX-License-Identifier: Apache-2.0
#include "cni-plugins/meta/conditions.h"

#include <arpa/inet.h>
#include <linux/netfilter/nf_tables.h>

#include <algorithm>
#include <charconv>

namespace keelson::cni {

ConditionStyle StyleOf(const std::vector<std::string>& words) {
  if (words.empty() || words[0].empty()) return ConditionStyle::kNone;
  const char c = words[0][0];
  return c == '-' || c == '!' ? ConditionStyle::kIptables : ConditionStyle::kNftables;
}

namespace {

// Words one after another, with whole-phrase strings split at blanks.
class Words {
 public:
  explicit Words(const std::vector<std::string>& phrases) {
    for (const std::string& phrase : phrases) {
      size_t at = 0;
      while ((at = phrase.find_first_not_of(" \t", at)) != std::string::npos) {
        const size_t end = std::min(phrase.find_first_of(" \t", at), phrase.size());
        words_.push_back(phrase.substr(at, end - at));
        at = end;
      }
    }
  }
  bool done() const { return next_ == words_.size(); }
  std::string Next() { return done() ? "" : words_[next_++]; }
  bool Take(std::string_view word) {
    if (done() || words_[next_] != word) return false;
    ++next_;
    return true;
  }

 private:
  std::vector<std::string> words_;
  size_t next_ = 0;
};

Status Unknown(const std::string& word) {
  return Status::Invalid("condition \"" + word + "\" is not one this plugin knows");
}

Or<Cidr> Network(const std::string& word, bool v4) {
  Or<Cidr> cidr = Cidr::Parse(word);
  if (!cidr.ok()) {
    if (const Or<Ip> ip = Ip::Parse(word); ip.ok()) cidr = Cidr{*ip, ip->bits()};
  }
  if (!cidr.ok() || cidr->ip.v4() != v4) {
    return Status::Invalid("condition \"" + word + "\" is not an " + (v4 ? "IPv4" : "IPv6") +
                           " network");
  }
  return Cidr{cidr->Network(), cidr->prefix};
}

Or<uint32_t> Number(std::string_view word) {
  const bool hex = word.starts_with("0x") || word.starts_with("0X");
  const std::string_view digits = hex ? word.substr(2) : word;
  uint32_t value = 0;
  const auto [end, error] =
      std::from_chars(digits.data(), digits.data() + digits.size(), value, hex ? 16 : 10);
  if (error != std::errc() || end != digits.data() + digits.size()) {
    return Status::Invalid("condition \"" + std::string(word) + "\" is not a 32-bit number");
  }
  return value;
}

Status ParseMark(const std::string& word, Condition* c) {
  const size_t slash = word.find('/');
  CNI_LET(c->mark, Number(std::string_view(word).substr(0, slash)));
  if (slash != std::string::npos) {
    CNI_LET(c->mask, Number(std::string_view(word).substr(slash + 1)));
  }
  c->mark &= c->mask;
  return {};
}

Or<std::string> InterfacePattern(std::string name, char wildcard) {
  if (!name.empty() && name.back() == wildcard) name.back() = '*';
  const std::string_view stem = std::string_view(name).substr(0, name.find('*'));
  if (name.empty() || stem.size() > 15 || name.find('*') + 1 < name.size() ||
      name.find('/') != std::string::npos) {
    return Status::Invalid("condition \"" + name + "\" is not an interface name");
  }
  return name;
}

// One iptables match; module names and comments produce no condition.
Status ParseIptablesMatch(Words* words, bool v4, std::vector<Condition>* out) {
  Condition c{};
  c.negated = words->Take("!");
  const std::string word = words->Next();
  if (word == "-m" || word == "--match") {
    const std::string module = words->Next();
    if (c.negated || (module != "mark" && module != "comment")) return Unknown("-m " + module);
    return {};
  }
  c.negated |= words->Take("!");  // the old place of the exclamation mark
  const std::string value = words->Next();
  if (value.empty()) return Unknown(word);
  if (word == "--comment") return {};
  if (word == "-s" || word == "--source" || word == "--src") {
    c.what = Condition::What::kSource;
    CNI_LET(c.network, Network(value, v4));
  } else if (word == "-d" || word == "--destination" || word == "--dst") {
    c.what = Condition::What::kDestination;
    CNI_LET(c.network, Network(value, v4));
  } else if (word == "-i" || word == "--in-interface") {
    c.what = Condition::What::kInInterface;
    CNI_LET(c.interface, InterfacePattern(value, '+'));
  } else if (word == "--mark") {
    c.what = Condition::What::kMark;
    CNI_TRY(ParseMark(value, &c));
  } else {
    return Unknown(word);
  }
  out->push_back(std::move(c));
  return {};
}

Status ParseNftablesMatch(Words* words, bool v4, std::vector<Condition>* out) {
  Condition c{};
  const std::string word = words->Next();
  std::string key = word;
  if (word == "ip" || word == "ip6" || word == "meta") key = words->Next();
  if (word == (v4 ? "ip6" : "ip")) return Unknown(word + " " + key);
  const bool address = word == "ip" || word == "ip6";
  if (address && key == "saddr") {
    c.what = Condition::What::kSource;
  } else if (address && key == "daddr") {
    c.what = Condition::What::kDestination;
  } else if (!address && key == "iifname") {
    c.what = Condition::What::kInInterface;
  } else if (word == "meta" && key == "mark") {
    c.what = Condition::What::kMark;
  } else {
    return Unknown(word == key ? word : word + " " + key);
  }
  c.negated = words->Take("!=");
  if (!c.negated) words->Take("==");
  std::string value = words->Next();
  if (value.size() >= 2 && value.front() == '"' && value.back() == '"') {
    value = value.substr(1, value.size() - 2);
  }
  if (address) {
    CNI_LET(c.network, Network(value, v4));
  }
  if (c.what == Condition::What::kInInterface) {
    CNI_LET(c.interface, InterfacePattern(value, '*'));
  }
  if (c.what == Condition::What::kMark) {
    CNI_LET(c.mark, Number(value));
  }
  out->push_back(std::move(c));
  return {};
}

}  // namespace

Or<std::vector<Condition>> ParseConditions(const std::vector<std::string>& phrases, bool v4) {
  std::vector<Condition> conditions;
  const ConditionStyle style = StyleOf(phrases);
  if (style == ConditionStyle::kNone) return conditions;
  Words words(phrases);
  while (!words.done()) {
    if (style == ConditionStyle::kIptables) {
      CNI_TRY(ParseIptablesMatch(&words, v4, &conditions));
    } else {
      CNI_TRY(ParseNftablesMatch(&words, v4, &conditions));
    }
  }
  return conditions;
}

namespace {

void Compare(bool negated, nft::Reg reg, std::string_view bytes, nft::Exprs* e) {
  if (negated) e->Differs(reg, bytes);
  if (!negated) e->Equal(reg, bytes);
}

void MatchOne(const Condition& c, const nft::Family& f, nft::Exprs* e) {
  switch (c.what) {
    case Condition::What::kSource:
    case Condition::What::kDestination:
      e->Payload(NFT_PAYLOAD_NETWORK_HEADER, c.what == Condition::What::kSource ? f.saddr : f.daddr,
                 f.bytes, 0);
      e->And(0, nft::PrefixMask(c.network.prefix, static_cast<int>(f.bytes)));
      return Compare(c.negated, 0, nft::Bytes(c.network.ip), e);
    case Condition::What::kInInterface: {
      e->Meta(NFT_META_IIFNAME, 0);
      // A prefix is compared without the final NUL.
      if (c.interface.back() != '*') return Compare(c.negated, 0, nft::Ifname(c.interface), e);
      const std::string stem = c.interface.substr(0, c.interface.size() - 1);
      if (!stem.empty()) Compare(c.negated, 0, stem, e);
      return;
    }
    case Condition::What::kMark:
      e->Meta(NFT_META_MARK, 0).And(0, nft::HostU32(c.mask));
      return Compare(c.negated, 0, nft::HostU32(c.mark), e);
  }
}

}  // namespace

void Match(const std::vector<Condition>& conditions, const nft::Family& f, nft::Exprs* exprs) {
  for (const Condition& c : conditions) MatchOne(c, f, exprs);
}

std::string Fingerprint(const std::vector<Condition>& conditions) {
  std::string text;
  for (const Condition& c : conditions) {
    text += std::to_string(static_cast<int>(c.what)) + (c.negated ? "!" : "=") +
            c.network.ToString() + " " + c.interface + " " + std::to_string(c.mark) + "/" +
            std::to_string(c.mask) + ";";
  }
  return text;
}

}  // namespace keelson::cni
