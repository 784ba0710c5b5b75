// SPDX-License-Identifier: Apache-2.0
#include <openssl/ssl.h>

#include <map>

#include "base/errno_status.h"
#include "base/openssl.h"
#include "base/strings.h"
#include "kubelet/server/tls.h"

namespace keelson::kubelet {
namespace {

using base::BioOf;
using base::OpensslError;
using base::TextOf;
using BioPtr = base::OpensslPtr<BIO>;
using KeyPtr = base::OpensslPtr<EVP_PKEY>;
using X509Ptr = base::OpensslPtr<X509>;

absl::Status UsePair(SSL_CTX* ctx, const CertificatePair& pair) {
  BioPtr in = BioOf(pair.certificate_pem);
  X509Ptr leaf(PEM_read_bio_X509_AUX(in.get(), nullptr, nullptr, nullptr));
  if (!leaf || SSL_CTX_use_certificate(ctx, leaf.get()) != 1)
    return OpensslError("no certificate in the serving certificate's PEM");
  while (X509* more = PEM_read_bio_X509(in.get(), nullptr, nullptr, nullptr))
    if (SSL_CTX_add0_chain_cert(ctx, more) != 1) {
      X509_free(more);
      return OpensslError("the serving certificate's chain");
    }
  ERR_clear_error();  // the end of the file is no error
  const KeyPtr key = base::ReadPrivateKey(pair.key_pem);
  if (!key)
    return absl::InvalidArgumentError(
        "no unencrypted PEM private key for the serving certificate");
  if (SSL_CTX_use_PrivateKey(ctx, key.get()) != 1 || SSL_CTX_check_private_key(ctx) != 1)
    return OpensslError("the serving certificate's key");
  return absl::OkStatus();
}

absl::Status SetMinVersion(SSL_CTX* ctx, const std::string& name) {
  static const std::map<std::string, int> kVersions = {{"", TLS1_2_VERSION},
                                                       {"VersionTLS10", TLS1_VERSION},
                                                       {"VersionTLS11", TLS1_1_VERSION},
                                                       {"VersionTLS12", TLS1_2_VERSION},
                                                       {"VersionTLS13", TLS1_3_VERSION}};
  auto found = kVersions.find(name);
  if (found == kVersions.end())
    return absl::InvalidArgumentError(base::StrCat("tlsMinVersion: unknown version ", name));
  // Signatures of the old versions are below OpenSSL's usual level.
  if (found->second < TLS1_2_VERSION) SSL_CTX_set_security_level(ctx, 0);
  SSL_CTX_set_min_proto_version(ctx, found->second);
  return absl::OkStatus();
}

// OpenSSL's name of every suite this build has, by its IANA name.
std::map<std::string, std::string> SuitesByName() {
  std::map<std::string, std::string> names;
  const TlsContextPtr all(SSL_CTX_new(TLS_method()), SSL_CTX_free);
  SSL_CTX_set_cipher_list(all.get(), "ALL:@SECLEVEL=0");
  STACK_OF(SSL_CIPHER)* ciphers = SSL_CTX_get_ciphers(all.get());
  for (int i = 0; i < sk_SSL_CIPHER_num(ciphers); ++i) {
    const SSL_CIPHER* cipher = sk_SSL_CIPHER_value(ciphers, i);
    names[SSL_CIPHER_standard_name(cipher)] = SSL_CIPHER_get_name(cipher);
  }
  // Names Go had before the suites' hash was part of them.
  for (const char* old : {"TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305",
                          "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305"})
    names[old] = names[base::StrCat(old, "_SHA256")];
  return names;
}

absl::Status SetSuites(SSL_CTX* ctx, const std::vector<std::string>& wanted) {
  if (wanted.empty()) return absl::OkStatus();
  const auto known = SuitesByName();
  std::string list;
  bool any_older = false;
  for (const std::string& name : wanted) {
    auto found = known.find(name);
    if (found == known.end())
      return absl::InvalidArgumentError(
          base::StrCat("tlsCipherSuites: cipher suite ", name, " is unknown or not in this OpenSSL"));
    if (name.find("_WITH_") == name.npos) continue;  // TLS 1.3 has its own, all of them good
    any_older = true;
    base::StrAppend(&list, list.empty() ? "" : ":", found->second);
  }
  if (any_older && SSL_CTX_set_cipher_list(ctx, list.c_str()) != 1)
    return OpensslError(base::StrCat("tlsCipherSuites ", list));
  return absl::OkStatus();
}

absl::Status SetCurves(SSL_CTX* ctx, const std::vector<int>& wanted) {
  if (wanted.empty()) return absl::OkStatus();
  static const std::map<int, const char*> kCurves = {
      {23, "P-256"}, {24, "P-384"}, {25, "P-521"}, {29, "X25519"}, {4588, "X25519MLKEM768"}};
  std::string list;
  for (int id : wanted) {
    auto found = kCurves.find(id);
    if (found == kCurves.end())
      return absl::InvalidArgumentError(base::StrCat("tlsCurvePreferences: unknown curve ", id));
    base::StrAppend(&list, list.empty() ? "" : ":", found->second);
  }
  if (SSL_CTX_set1_groups_list(ctx, list.c_str()) != 1)
    return OpensslError(base::StrCat("tlsCurvePreferences: this OpenSSL lacks one of ", list));
  return absl::OkStatus();
}

int ChooseProtocol(SSL*, const unsigned char** out, unsigned char* out_size,
                   const unsigned char* in, unsigned in_size, void*) {
  static const unsigned char kOurs[] = "\x08http/1.1";
  unsigned char* chosen = nullptr;
  if (SSL_select_next_proto(&chosen, out_size, kOurs, sizeof(kOurs) - 1, in, in_size) !=
      OPENSSL_NPN_NEGOTIATED)
    return SSL_TLSEXT_ERR_NOACK;
  *out = chosen;
  return SSL_TLSEXT_ERR_OK;
}

// Who may do what is decided for each request, with the authorities of that moment.
int AcceptAnyCertificate(int, X509_STORE_CTX*) { return 1; }

void SetManners(SSL_CTX* ctx, bool ask) {
  SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_NO_TICKET);
  // A resumed session would come without the client's chain.
  SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_num_tickets(ctx, 0);
  SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                            SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_alpn_select_cb(ctx, ChooseProtocol, nullptr);
  if (ask) SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, AcceptAnyCertificate);
}

absl::Status AddExtension(X509* cert, X509* issuer, int nid, const std::string& value) {
  X509V3_CTX ctx;
  X509V3_set_ctx(&ctx, issuer, cert, nullptr, nullptr, 0);
  base::OpensslPtr<X509_EXTENSION> extension(
      X509V3_EXT_conf_nid(nullptr, &ctx, nid, value.c_str()));
  if (!extension || X509_add_ext(cert, extension.get(), -1) != 1)
    return OpensslError(base::StrCat("certificate extension ", value));
  return absl::OkStatus();
}

struct NewCertificate {
  std::string common_name;
  bool authority = false;
  std::string alt_names;  // openssl.cnf's notation
};

absl::StatusOr<X509Ptr> Sign(const NewCertificate& want, base::WallTime now, EVP_PKEY* key,
                             X509* issuer, EVP_PKEY* issuer_key) {
  X509Ptr cert(X509_new());
  X509_set_version(cert.get(), X509_VERSION_3);
  const auto seconds =
      std::chrono::duration_cast<std::chrono::seconds>(now.time_since_epoch()).count();
  // The leaf's differs from its issuer's.
  ASN1_INTEGER_set_int64(X509_get_serialNumber(cert.get()), seconds * 2 + (issuer ? 1 : 0));
  ASN1_TIME_set(X509_getm_notBefore(cert.get()), seconds - 3600);  // for clocks behind ours
  ASN1_TIME_set(X509_getm_notAfter(cert.get()), seconds + 365 * 24 * 3600);
  X509_NAME_add_entry_by_txt(X509_get_subject_name(cert.get()), "CN", MBSTRING_UTF8,
                             reinterpret_cast<const unsigned char*>(want.common_name.c_str()), -1,
                             -1, 0);
  X509* signer = issuer ? issuer : cert.get();
  X509_set_issuer_name(cert.get(), X509_get_subject_name(signer));
  X509_set_pubkey(cert.get(), key);
  RETURN_IF_ERROR(AddExtension(cert.get(), signer, NID_basic_constraints,
                               want.authority ? "critical,CA:TRUE" : "critical,CA:FALSE"));
  RETURN_IF_ERROR(AddExtension(
      cert.get(), signer, NID_key_usage,
      want.authority ? "critical,digitalSignature,keyEncipherment,keyCertSign"
                     : "critical,digitalSignature,keyEncipherment"));
  if (!want.authority)
    RETURN_IF_ERROR(AddExtension(cert.get(), signer, NID_ext_key_usage, "serverAuth"));
  if (!want.alt_names.empty())
    RETURN_IF_ERROR(AddExtension(cert.get(), signer, NID_subject_alt_name, want.alt_names));
  if (X509_sign(cert.get(), issuer_key, EVP_sha256()) == 0) return OpensslError("sign a certificate");
  return cert;
}

}  // namespace

absl::StatusOr<TlsContextPtr> MakeTlsContext(const TlsOptions& options,
                                             const CertificatePair& pair) {
  TlsContextPtr ctx(SSL_CTX_new(TLS_server_method()), SSL_CTX_free);
  if (!ctx) return OpensslError("make a TLS context");
  SetManners(ctx.get(), options.ask_for_client_certificate);
  RETURN_IF_ERROR(SetMinVersion(ctx.get(), options.min_version));
  RETURN_IF_ERROR(SetSuites(ctx.get(), options.cipher_suites));
  RETURN_IF_ERROR(SetCurves(ctx.get(), options.curves));
  RETURN_IF_ERROR(UsePair(ctx.get(), pair));
  return ctx;
}

absl::StatusOr<CertificatePair> MakeSelfSigned(const std::string& host, base::WallTime now) {
  const auto seconds =
      std::chrono::duration_cast<std::chrono::seconds>(now.time_since_epoch()).count();
  KeyPtr authority_key(EVP_RSA_gen(2048));
  KeyPtr key(EVP_RSA_gen(2048));
  if (!authority_key || !key) return OpensslError("make an RSA key");
  // The name of a certificate has at most 64 bytes (RFC 5280, ub-common-name).
  const std::string short_host = host.substr(0, 40);
  auto authority = Sign({base::StrCat(short_host, "-ca@", seconds), true, ""}, now,
                        authority_key.get(), nullptr, authority_key.get());
  if (!authority.ok()) return authority.status();
  auto leaf = Sign({base::StrCat(short_host, "@", seconds), false, base::StrCat("DNS:", host)}, now,
                   key.get(), authority->get(), authority_key.get());
  if (!leaf.ok()) return leaf.status();
  BioPtr certificates(BIO_new(BIO_s_mem())), keys(BIO_new(BIO_s_mem()));
  if (PEM_write_bio_X509(certificates.get(), leaf->get()) != 1 ||
      PEM_write_bio_X509(certificates.get(), authority->get()) != 1 ||
      PEM_write_bio_PrivateKey_traditional(keys.get(), key.get(), nullptr, nullptr, 0, nullptr,
                                           nullptr) != 1)
    return OpensslError("write a certificate");
  return CertificatePair{TextOf(certificates.get()), TextOf(keys.get())};
}

}  // namespace keelson::kubelet
