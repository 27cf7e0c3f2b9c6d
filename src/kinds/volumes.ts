/** Volumes of pods: defaults and validation of every source, and of the paths that they project. */
import type {
  ConfigMapProjection,
  ConfigMapVolumeSource,
  DownwardAPIVolumeFile,
  KeyToPath,
  ProjectedVolumeSource,
  SecretProjection,
  ServiceAccountTokenProjection,
  Volume,
} from "kubernetes-types/core/v1.d.ts";
import { validateFieldRef, validateResourceFieldRef } from "./environment.ts";
import { type FieldError, duplicate, forbidden, invalid, notSupported, required } from "./field-error.ts";
import { dnsLabelErrors, dnsSubdomainErrors } from "./names.ts";
import { networkVolumeValidators } from "./network-volumes.ts";
import { localNonReservedPathErrors, localPathErrors, noBackstepsErrors } from "./paths.ts";
import { requiredFields, textOf } from "./volume-fields.ts";
import { validateClaimSpec } from "./persistent-volume-claim-spec.ts";
import { compareQuantities } from "./quantity.ts";

const modeRange = "must be a number between 0 and 0777 (octal), both inclusive";
const downwardFields = [
  "metadata.annotations",
  "metadata.labels",
  "metadata.name",
  "metadata.namespace",
  "metadata.uid",
];
const hostPathTypes = [
  "",
  "BlockDevice",
  "CharDevice",
  "Directory",
  "DirectoryOrCreate",
  "File",
  "FileOrCreate",
  "Socket",
];

export function defaultVolume(volume: Volume): void {
  const sources = Object.keys(volume).filter((key) => key !== "name");
  if (sources.length === 0) volume.emptyDir = {};
  if (volume.configMap !== undefined) volume.configMap.defaultMode ??= 0o644;
  if (volume.secret !== undefined) volume.secret.defaultMode ??= 0o644;
  if (volume.downwardAPI !== undefined) {
    volume.downwardAPI.defaultMode ??= 0o644;
    defaultDownwardFiles(volume.downwardAPI.items);
  }
  if (volume.hostPath !== undefined) volume.hostPath.type ??= "";
  if (volume.iscsi !== undefined) volume.iscsi.iscsiInterface ||= "default";
  if (volume.rbd !== undefined) {
    volume.rbd.pool ||= "rbd";
    volume.rbd.user ||= "admin";
    volume.rbd.keyring ||= "/etc/ceph/keyring";
  }
  if (volume.azureDisk !== undefined) {
    volume.azureDisk.cachingMode ??= "ReadWrite";
    volume.azureDisk.kind ??= "Shared";
    volume.azureDisk.fsType ??= "ext4";
    volume.azureDisk.readOnly ??= false;
  }
  if (volume.scaleIO !== undefined) {
    volume.scaleIO.storageMode ||= "ThinProvisioned";
    volume.scaleIO.fsType ||= "xfs";
  }
  if (volume.projected !== undefined) {
    volume.projected.defaultMode ??= 0o644;
    for (const source of volume.projected.sources ?? []) {
      if (source.serviceAccountToken !== undefined) source.serviceAccountToken.expirationSeconds ??= 3600;
      defaultDownwardFiles(source.downwardAPI?.items);
    }
  }
  const claim = volume.ephemeral?.volumeClaimTemplate?.spec;
  if (claim !== undefined) claim.volumeMode ??= "Filesystem";
}

/** Always for the tag "latest" or none, IfNotPresent otherwise. */
export function defaultPullPolicy(image: string): string {
  const [reference = "", digest] = image.split("@");
  const last = reference.slice(reference.lastIndexOf("/") + 1);
  const tag = last.includes(":") ? last.slice(last.indexOf(":") + 1) : "";
  if (digest !== undefined && tag === "") return "IfNotPresent";
  return tag === "" || tag === "latest" ? "Always" : "IfNotPresent";
}

function defaultDownwardFiles(files: readonly DownwardAPIVolumeFile[] | undefined): void {
  for (const file of files ?? []) {
    if (file.fieldRef !== undefined) file.fieldRef.apiVersion ||= "v1";
    if (file.resourceFieldRef !== undefined) file.resourceFieldRef.divisor ??= "0";
  }
}

/** Validates all volumes. Adds the names of valid ones to `known`, by name. */
export function validateVolumes(
  volumes: readonly Volume[] | undefined,
  podName: string,
  path: string,
  known: Map<string, Volume>,
): FieldError[] {
  const errors: FieldError[] = [];
  const claims = new Map<string, string>();
  for (const [index, volume] of (volumes ?? []).entries())
    if (volume.persistentVolumeClaim !== undefined)
      claims.set(volume.persistentVolumeClaim.claimName, `${path}[${index}].persistentVolumeClaim.claimName`);
  for (const [index, volume] of (volumes ?? []).entries()) {
    const at = `${path}[${index}]`;
    const found = validateVolumeSource(volume, podName, at);
    if (!volume.name) found.push(required(`${at}.name`));
    else {
      found.push(...dnsLabelErrors(volume.name).map((each) => invalid(`${at}.name`, volume.name, each)));
      if (known.has(volume.name)) found.push(duplicate(`${at}.name`, volume.name));
    }
    if (found.length === 0) known.set(volume.name, volume);
    else errors.push(...found);
    if (volume.ephemeral !== undefined && claims.has(`${podName}-${volume.name}`))
      errors.push(
        invalid(
          claims.get(`${podName}-${volume.name}`) ?? at,
          `${podName}-${volume.name}`,
          "must not reference a PVC that gets created for an ephemeral volume",
        ),
      );
  }
  return errors;
}

type Source = Record<string, unknown>;

function validateVolumeSource(volume: Volume, podName: string, path: string): FieldError[] {
  const errors: FieldError[] = [];
  let count = 0;
  for (const name of sourceOrder) {
    const source = (volume as unknown as Source)[name];
    if (source === undefined) continue;
    count += 1;
    const at = `${path}.${name === "gcePersistentDisk" ? "persistentDisk" : name}`;
    if (count > 1) errors.push(forbidden(at, "may not specify more than 1 volume type"));
    else errors.push(...(validators[name]?.(source as Source, at, volume) ?? []));
    if (name === "ephemeral" && volume.name && podName !== "") {
      const claim = `${podName}-${volume.name}`;
      errors.push(
        ...dnsSubdomainErrors(claim).map((each) =>
          invalid(`${path}.name`, volume.name, `PVC name ${JSON.stringify(claim)}: ${each}`),
        ),
      );
    }
  }
  if (count === 0) errors.push(required(path, "must specify a volume type"));
  return errors;
}

const sourceOrder = [
  "emptyDir",
  "hostPath",
  "gitRepo",
  "gcePersistentDisk",
  "awsElasticBlockStore",
  "secret",
  "nfs",
  "iscsi",
  "glusterfs",
  "flocker",
  "persistentVolumeClaim",
  "rbd",
  "cinder",
  "cephfs",
  "quobyte",
  "downwardAPI",
  "fc",
  "flexVolume",
  "configMap",
  "azureFile",
  "vsphereVolume",
  "photonPersistentDisk",
  "portworxVolume",
  "azureDisk",
  "storageos",
  "projected",
  "scaleIO",
  "csi",
  "ephemeral",
  "image",
];

type Validator = (source: Source, path: string, volume: Volume) => FieldError[];

const validators: Readonly<Record<string, Validator>> = {
  ...networkVolumeValidators,
  emptyDir: (source, path) => {
    const limit = source["sizeLimit"] as string | undefined;
    return limit !== undefined && compareQuantities(limit, "0") < 0
      ? [forbidden(`${path}.sizeLimit`, "SizeLimit field must be a valid resource quantity")]
      : [];
  },
  hostPath: (source, path) => {
    const value = textOf(source["path"]);
    const type = source["type"] as string | undefined;
    const errors = value === "" ? [required(`${path}.path`)] : noBackstepsErrors(value, `${path}.path`);
    if (type !== undefined && !hostPathTypes.includes(type))
      errors.push(notSupported(`${path}.type`, type, hostPathTypes));
    return errors;
  },
  gitRepo: (source, path) => [
    ...requiredFields(source, ["repository"], path),
    ...localPathErrors(textOf(source["directory"]), `${path}.directory`),
  ],
  gcePersistentDisk: (source, path) => [
    ...requiredFields(source, ["pdName"], path),
    ...partitionErrors(source["partition"], path),
  ],
  awsElasticBlockStore: (source, path) => [
    ...requiredFields(source, ["volumeID"], path),
    ...partitionErrors(source["partition"], path),
  ],
  secret: (source, path) => [
    ...requiredFields(source, ["secretName"], path),
    ...modeErrors(source["defaultMode"], `${path}.defaultMode`),
    ...keysToPathsErrors(source["items"] as KeyToPath[], path),
  ],
  nfs: (source, path) => {
    const errors = requiredFields(source, ["server", "path"], path);
    if (!textOf(source["path"]).startsWith("/"))
      errors.push(invalid(`${path}.path`, source["path"] ?? "", "must be an absolute path"));
    return errors;
  },
  persistentVolumeClaim: (source, path) => requiredFields(source, ["claimName"], path),
  downwardAPI: (source, path) => [
    ...modeErrors(source["defaultMode"], `${path}.defaultMode`),
    ...((source["items"] as DownwardAPIVolumeFile[] | undefined) ?? []).flatMap((file) =>
      downwardFileErrors(file, path),
    ),
  ],
  configMap: (source, path) => configMapErrors(source as unknown as ConfigMapVolumeSource, path),
  projected: (source, path) => projectedErrors(source as unknown as ProjectedVolumeSource, path),
  csi: (source, path) => {
    const driver = textOf(source["driver"]);
    const errors = driverNameErrors(driver, `${path}.driver`);
    const secret = source["nodePublishSecretRef"] as { name?: string } | undefined;
    if (secret !== undefined && !secret.name) errors.push(required(`${path}.nodePublishSecretRef.name`));
    return errors;
  },
  ephemeral: (source, path) => {
    const template = source["volumeClaimTemplate"] as
      | { metadata?: Record<string, unknown>; spec: Parameters<typeof validateClaimSpec>[0] }
      | undefined;
    if (template === undefined) return [required(`${path}.volumeClaimTemplate`)];
    const errors: FieldError[] = [];
    for (const [field, value] of Object.entries(template.metadata ?? {}))
      if (!["labels", "annotations", "creationTimestamp"].includes(field) && value !== undefined)
        errors.push(forbidden(`${path}.volumeClaimTemplate.metadata.${field}`, "cannot be set"));
    return [...errors, ...validateClaimSpec(template.spec, `${path}.volumeClaimTemplate.spec`)];
  },
};

export function driverNameErrors(driver: string, path: string): FieldError[] {
  const errors: FieldError[] = driver === "" ? [required(path)] : [];
  if (driver.length > 63)
    errors.push({
      reason: "FieldValueTooLong",
      field: path,
      message: "Too long: may not be more than 63 bytes",
    });
  return [...errors, ...dnsSubdomainErrors(driver.toLowerCase()).map((each) => invalid(path, driver, each))];
}

function configMapErrors(source: ConfigMapVolumeSource, path: string): FieldError[] {
  return [
    ...(source.name ? [] : [required(`${path}.name`)]),
    ...modeErrors(source.defaultMode, `${path}.defaultMode`),
    ...keysToPathsErrors(source.items, path),
  ];
}

function projectedErrors(source: ProjectedVolumeSource, path: string): FieldError[] {
  const errors = modeErrors(source.defaultMode, `${path}.defaultMode`);
  const paths = new Set<string>();
  for (const [index, each] of (source.sources ?? []).entries()) {
    const at = `${path}.sources[${index}]`;
    let count = 0;
    const another = (found: () => FieldError[]): void => {
      count += 1;
      if (count > 1) errors.push(forbidden(at, "may not specify more than 1 volume type per source"));
      else errors.push(...found());
    };
    // Explicit paths of files may not clash; those of whole maps are not known.
    const note = (value: string | undefined, shown = value): void => {
      if (!value) return;
      if (paths.has(value)) errors.push(invalid(path, shown, "conflicting duplicate paths"));
      paths.add(value);
    };
    if (each.secret !== undefined) {
      const secret: SecretProjection = each.secret;
      another(() => [
        ...(secret.name ? [] : [required(`${at}.secret.name`)]),
        ...keysToPathsErrors(secret.items, `${at}.secret`),
      ]);
      for (const item of secret.items ?? []) note(item.path, secret.name);
    }
    if (each.configMap !== undefined) {
      const map: ConfigMapProjection = each.configMap;
      another(() => [
        ...(map.name ? [] : [required(`${at}.configMap.name`)]),
        ...keysToPathsErrors(map.items, `${at}.configMap`),
      ]);
      for (const item of map.items ?? []) note(item.path, map.name);
    }
    if (each.downwardAPI !== undefined) {
      const files = each.downwardAPI.items ?? [];
      another(() => files.flatMap((file) => downwardFileErrors(file, `${at}.downwardAPI`)));
      for (const file of files) note(file.path);
    }
    if (each.serviceAccountToken !== undefined) {
      const token = each.serviceAccountToken;
      another(() => tokenErrors(token, at, path));
      note(token.path);
    }
  }
  return errors;
}

function tokenErrors(token: ServiceAccountTokenProjection, at: string, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const seconds = token.expirationSeconds ?? 3600;
  if (seconds < 600)
    errors.push(
      invalid(
        `${at}.serviceAccountToken.expirationSeconds`,
        seconds,
        "may not specify a duration less than 10 minutes",
      ),
    );
  if (seconds > 2 ** 32)
    errors.push(
      invalid(
        `${at}.serviceAccountToken.expirationSeconds`,
        seconds,
        "may not specify a duration larger than 2^32 seconds",
      ),
    );
  // Upstream names the field of the volume here, not of the source.
  if (!token.path) errors.push(required(`${path}.path`));
  else errors.push(...localNonReservedPathErrors(token.path, `${path}.path`));
  return errors;
}

function downwardFileErrors(file: DownwardAPIVolumeFile, path: string): FieldError[] {
  const errors: FieldError[] = [];
  if (!file.path) errors.push(required(`${path}.path`));
  errors.push(...localNonReservedPathErrors(file.path ?? "", `${path}.path`));
  if (file.fieldRef !== undefined) {
    errors.push(...validateFieldRef(file.fieldRef, downwardFields, `${path}.fieldRef`));
    if (file.resourceFieldRef !== undefined)
      errors.push(
        invalid(path, "resource", "fieldRef and resourceFieldRef can not be specified simultaneously"),
      );
  } else if (file.resourceFieldRef !== undefined)
    errors.push(...validateResourceFieldRef(file.resourceFieldRef, `${path}.resourceFieldRef`, true));
  else errors.push(required(path, "one of fieldRef and resourceFieldRef is required"));
  errors.push(...modeErrors(file.mode, `${path}.mode`));
  return errors;
}

function keysToPathsErrors(items: readonly KeyToPath[] | undefined, path: string): FieldError[] {
  return (items ?? []).flatMap((item, index) => {
    const at = `${path}.items[${index}]`;
    const errors: FieldError[] = [];
    if (!item.key) errors.push(required(`${at}.key`));
    if (!item.path) errors.push(required(`${at}.path`));
    return [
      ...errors,
      ...localNonReservedPathErrors(item.path ?? "", `${at}.path`),
      ...modeErrors(item.mode, `${at}.mode`),
    ];
  });
}

function modeErrors(mode: unknown, path: string): FieldError[] {
  return typeof mode === "number" && (mode < 0 || mode > 0o777) ? [invalid(path, mode, modeRange)] : [];
}

function partitionErrors(partition: unknown, path: string): FieldError[] {
  const value = Number(partition ?? 0);
  return value < 0 || value > 255
    ? [invalid(`${path}.partition`, value, "must be between 0 and 255, inclusive")]
    : [];
}
