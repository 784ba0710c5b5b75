// SPDX-License-Identifier: Apache-2.0
#include "base/strings.h"
#include "kubelet/sources/volume_checks.h"
#include "proto/codec/quantity.h"

namespace keelson::kubelet::sources {
namespace {

using base::StrCat;

void CheckMode(bool present, int32_t mode, const FieldPath& path, FieldErrors* errors) {
  if (!present || (mode >= 0 && mode <= 0777)) return;
  errors->Invalid(path, mode, "must be a number between 0 and 0777 (octal), both inclusive");
}

// A file name below the volume; names starting with `..` are the volume's own.
void CheckVisible(std::string_view value, const FieldPath& path, FieldErrors* errors) {
  CheckDescending(value, path, errors);
  if (value.starts_with("..") && !value.starts_with("../")) {
    errors->Invalid(path, value, "must not start with '..'");
  }
}

using Items = google::protobuf::RepeatedPtrField<v1::KeyToPath>;

void CheckItems(const Items& items, const FieldPath& all, FieldErrors* errors) {
  for (int i = 0; i < items.size(); ++i) {
    const FieldPath path = all.Index(i);
    if (items[i].key().empty()) errors->Required(path.Child("key"));
    if (items[i].path().empty()) errors->Required(path.Child("path"));
    CheckVisible(items[i].path(), path.Child("path"), errors);
    CheckMode(items[i].has_mode(), items[i].mode(), path.Child("mode"), errors);
  }
}

void CheckDownwardFile(const v1::DownwardAPIVolumeFile& file, const FieldPath& path,
                       FieldErrors* errors) {
  if (file.path().empty()) errors->Required(path.Child("path"));
  CheckVisible(file.path(), path.Child("path"), errors);
  if (file.has_fieldref()) {
    CheckFieldRef(file.fieldref(), true, path.Child("fieldRef"), errors);
    if (file.has_resourcefieldref()) {
      errors->Invalid(path, "resource",
                      "fieldRef and resourceFieldRef can not be specified simultaneously");
    }
  } else if (file.has_resourcefieldref()) {
    CheckResourceRef(file.resourcefieldref(), true, path.Child("resourceFieldRef"), errors);
  } else {
    errors->Required(path, "one of fieldRef and resourceFieldRef is required");
  }
  CheckMode(file.has_mode(), file.mode(), path.Child("mode"), errors);
}

// The sources of a projected volume, whose paths must not meet.
class Projection {
 public:
  Projection(const At& at) : at_(at) {}

  void Check(const v1::VolumeProjection& source, int index) {
    const FieldPath path = at_.path.Child("sources").Index(index);
    int count = 0;
    if (source.has_secret()) {
      ++count;
      Keys(source.secret().localobjectreference().name(), source.secret().items(),
           path.Child("secret"));
    }
    if (source.has_configmap()) {
      ++count;
      Keys(source.configmap().localobjectreference().name(), source.configmap().items(),
           path.Child("configMap"));
    }
    if (source.has_downwardapi()) {
      ++count;
      for (const auto& file : source.downwardapi().items()) {
        CheckDownwardFile(file, path.Child("downwardAPI"), at_.errors);
        Take(file.path(), file.path());
      }
    }
    if (source.has_serviceaccounttoken()) {
      ++count;
      Token(source.serviceaccounttoken(), path.Child("serviceAccountToken"));
    }
    if (source.has_clustertrustbundle()) {
      ++count;
      Bundle(source.clustertrustbundle(), path.Child("clusterTrustBundle"));
    }
    if (source.has_podcertificate()) {
      ++count;
      Certificate(source.podcertificate(), path.Child("podCertificate"));
    }
    if (count > 1) {
      at_.errors->Forbidden(path, "may not specify more than 1 volume type per source");
    }
  }

 private:
  void Take(const std::string& path, std::string_view shown) {
    if (path.empty() || taken_.insert(path).second) return;
    at_.errors->Invalid(at_.path, shown, "conflicting duplicate paths");
  }

  void Keys(const std::string& name, const Items& items, const FieldPath& path) {
    if (name.empty()) at_.errors->Required(path.Child("name"));
    CheckItems(items, path.Child("items"), at_.errors);
    for (const auto& item : items) Take(item.path(), name);
  }

  void Token(const v1::ServiceAccountTokenProjection& token, const FieldPath& path) {
    const FieldPath expiration = path.Child("expirationSeconds");
    if (token.expirationseconds() < 600) {
      at_.errors->Invalid(expiration, token.expirationseconds(),
                          "may not specify a duration less than 10 minutes");
    }
    if (token.expirationseconds() > int64_t{1} << 32) {
      at_.errors->Invalid(expiration, token.expirationseconds(),
                          "may not specify a duration larger than 2^32 seconds");
    }
    if (token.path().empty()) at_.errors->Required(at_.path.Child("path"));
    CheckVisible(token.path(), at_.path.Child("path"), at_.errors);
  }

  void Bundle(const v1::ClusterTrustBundleProjection& bundle, const FieldPath& path) {
    if (bundle.has_name() && bundle.has_signername()) {
      at_.errors->Invalid(path, bundle.name(), "only one of name and signerName may be used");
    } else if (!bundle.has_name() && !bundle.has_signername()) {
      at_.errors->Required(path, "either name or signerName must be specified");
    } else if (bundle.has_name() && bundle.has_labelselector()) {
      at_.errors->Invalid(path.Child("labelSelector"), bundle.name(),
                          "labelSelector must be unset if name is specified");
    } else if (bundle.has_labelselector()) {
      CheckLabelSelector(bundle.labelselector(), path.Child("labelSelector"), at_.errors);
    }
    if (bundle.path().empty()) at_.errors->Required(path.Child("path"));
    CheckVisible(bundle.path(), path.Child("path"), at_.errors);
    Take(bundle.path(), bundle.path());
  }

  void Certificate(const v1::PodCertificateProjection& cert, const FieldPath& path) {
    if (!OneOf(cert.keytype(),
               {"RSA3072", "RSA4096", "ECDSAP256", "ECDSAP384", "ECDSAP521", "ED25519"})) {
      at_.errors->NotSupported(
          path.Child("keyType"), cert.keytype(),
          {"RSA3072", "RSA4096", "ECDSAP256", "ECDSAP384", "ECDSAP521", "ED25519"});
    }
    if (cert.has_maxexpirationseconds() && cert.maxexpirationseconds() < 3600) {
      at_.errors->Invalid(path.Child("maxExpirationSeconds"), cert.maxexpirationseconds(),
                          "if provided, maxExpirationSeconds must be >= 3600");
    }
    int paths = 0;
    const auto file = [&](const std::string& value, std::string_view field) {
      if (value.empty()) return;
      ++paths;
      CheckVisible(value, path.Child(field), at_.errors);
      Take(value, value);
    };
    file(cert.credentialbundlepath(), "credentialBundlePath");
    file(cert.keypath(), "keyPath");
    file(cert.certificatechainpath(), "certificateChainPath");
    if (paths > 0) return;
    at_.errors->Required(
        path, "specify at least one of credentialBundlePath, keyPath, and certificateChainPath");
  }

  const At& at_;
  std::set<std::string> taken_;
};

void CheckProjected(const v1::ProjectedVolumeSource& projected, const At& at) {
  CheckMode(projected.has_defaultmode(), projected.defaultmode(), at.path.Child("defaultMode"),
            at.errors);
  Projection projection(at);
  for (int i = 0; i < projected.sources_size(); ++i) projection.Check(projected.sources(i), i);
}

void CheckHostPath(const v1::HostPathVolumeSource& host, const At& at) {
  if (host.path().empty()) return at.errors->Required(at.path.Child("path"));
  CheckNoBacksteps(host.path(), at.path.Child("path"), at.errors);
  if (!OneOf(host.type(), {"", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate",
                           "File", "FileOrCreate", "Socket"})) {
    at.errors->NotSupported(at.path.Child("type"), host.type(),
                            {"", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate",
                             "File", "FileOrCreate", "Socket"});
  }
}

void CheckCsi(const v1::CSIVolumeSource& csi, const At& at) {
  if (csi.driver().empty()) {
    at.errors->Required(at.path.Child("driver"));
  } else {
    if (csi.driver().size() > 63) at.errors->TooLong(at.path.Child("driver"), 63);
    at.errors->InvalidAll(at.path.Child("driver"), csi.driver(),
                          Dns1123Subdomain(Lower(csi.driver())));
  }
  if (!csi.has_nodepublishsecretref()) return;
  const std::string& secret = csi.nodepublishsecretref().name();
  if (secret.empty()) {
    at.errors->Required(at.path.Child("nodePublishSecretRef").Child("name"));
  } else {
    CheckSubdomain(secret, at.path.Child("name"), at.errors);
  }
}

void CheckEphemeral(const v1::EphemeralVolumeSource& ephemeral, const std::string& pod,
                    const std::string& volume, const At& at, const FieldPath& volume_path) {
  const FieldPath path = at.path.Child("volumeClaimTemplate");
  if (!ephemeral.has_volumeclaimtemplate()) {
    at.errors->Required(path);
  } else {
    const auto& spec = ephemeral.volumeclaimtemplate().spec();
    if (spec.accessmodes().empty()) {
      at.errors->Required(path.Child("spec").Child("accessModes"),
                          "at least 1 access mode is required");
    }
    if (!spec.resources().requests().contains("storage")) {
      at.errors->Required(path.Child("spec").Child("resources").Key("storage"));
    }
    CheckLabels(ephemeral.volumeclaimtemplate().metadata().labels(),
                path.Child("metadata").Child("labels"), at.errors);
  }
  if (pod.empty() || volume.empty()) return;
  const std::string claim = StrCat(pod, "-", volume);
  for (const auto& text : Dns1123Subdomain(claim)) {
    at.errors->Invalid(volume_path.Child("name"), volume,
                       StrCat("PVC name ", Quoted(claim), ": ", text));
  }
}

void CheckImage(const v1::ImageVolumeSource& image, const At& at) {
  CheckEnum(image.pullpolicy(), {"Always", "IfNotPresent", "Never"}, at.path.Child("pullPolicy"),
            at.errors);
}

void CheckEmptyDir(const v1::EmptyDirVolumeSource& dir, const At& at) {
  const auto limit = proto::Quantity::From(dir.sizelimit());
  if (limit.ok() && limit->Sign() >= 0) return;
  at.errors->Forbidden(at.path.Child("sizeLimit"),
                       "SizeLimit field must be a valid resource quantity");
}

template <typename Source>
void CheckKeyed(const Source& source, const At& at) {
  CheckMode(source.has_defaultmode(), source.defaultmode(), at.path.Child("defaultMode"),
            at.errors);
  CheckItems(source.items(), at.path.Child("items"), at.errors);
}

void CheckDownward(const v1::DownwardAPIVolumeSource& downward, const At& at) {
  CheckMode(downward.has_defaultmode(), downward.defaultmode(), at.path.Child("defaultMode"),
            at.errors);
  for (const auto& file : downward.items()) CheckDownwardFile(file, at.path, at.errors);
}

void CheckSource(const v1::Volume& volume, const std::string& pod, const FieldPath& path,
                 FieldErrors* errors) {
  const v1::VolumeSource& s = volume.volumesource();
  const At here{path, errors};
  OneSource one(here);
  one.Take(s.has_emptydir(), "emptyDir", [&](const At& at) { CheckEmptyDir(s.emptydir(), at); });
  one.Take(s.has_hostpath(), "hostPath", [&](const At& at) { CheckHostPath(s.hostpath(), at); });
  one.Take(s.has_secret(), "secret", [&](const At& at) {
    at.Require(s.secret().secretname(), "secretName");
    CheckKeyed(s.secret(), at);
  });
  one.Take(s.has_iscsi(), "iscsi",
           [&](const At& at) { CheckIscsi(s.iscsi(), volume.name(), at, path); });
  one.Take(s.has_persistentvolumeclaim(), "persistentVolumeClaim",
           [&](const At& at) { at.Require(s.persistentvolumeclaim().claimname(), "claimName"); });
  one.Take(s.has_downwardapi(), "downwardAPI",
           [&](const At& at) { CheckDownward(s.downwardapi(), at); });
  one.Take(s.has_configmap(), "configMap", [&](const At& at) {
    at.Require(s.configmap().localobjectreference().name(), "name");
    CheckKeyed(s.configmap(), at);
  });
  CheckStorage(s, &one);
  one.Take(s.has_projected(), "projected",
           [&](const At& at) { CheckProjected(s.projected(), at); });
  one.Take(s.has_csi(), "csi", [&](const At& at) { CheckCsi(s.csi(), at); });
  one.Take(s.has_ephemeral(), "ephemeral",
           [&](const At& at) { CheckEphemeral(s.ephemeral(), pod, volume.name(), at, path); });
  one.Take(s.has_image(), "image", [&](const At& at) { CheckImage(s.image(), at); });
  if (one.count() == 0) errors->Required(path, "must specify a volume type");
}

}  // namespace

std::map<std::string, const v1::VolumeSource*> CheckVolumes(const v1::Pod& pod,
                                                            const FieldPath& all,
                                                            FieldErrors* errors) {
  std::map<std::string, const v1::VolumeSource*> good;
  std::set<std::string> created;
  const std::string& pod_name = pod.metadata().name();
  for (const auto& volume : pod.spec().volumes()) {
    if (volume.volumesource().has_ephemeral()) created.insert(StrCat(pod_name, "-", volume.name()));
  }
  for (int i = 0; i < pod.spec().volumes_size(); ++i) {
    const auto& volume = pod.spec().volumes(i);
    const FieldPath path = all.Index(i);
    const size_t before = errors->size();
    CheckSource(volume, pod_name, path, errors);
    if (volume.name().empty()) {
      errors->Required(path.Child("name"));
    } else {
      CheckLabel(volume.name(), path.Child("name"), errors);
    }
    if (good.contains(volume.name())) errors->Duplicate(path.Child("name"), volume.name());
    if (errors->size() == before) good[volume.name()] = &volume.volumesource();
    const auto& claim = volume.volumesource().persistentvolumeclaim();
    if (created.contains(claim.claimname())) {
      errors->Invalid(path.Child("persistentVolumeClaim").Child("claimName"), claim.claimname(),
                      "must not reference a PVC that gets created for an ephemeral volume");
    }
  }
  return good;
}

}  // namespace keelson::kubelet::sources
