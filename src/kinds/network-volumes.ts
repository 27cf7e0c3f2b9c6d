/**
 * Validation of volumes on storage outside of the cluster. No agent mounts them; objects that name them are
 * checked as upstream does, since clients keep such objects.
 */
import { type FieldError, invalid, notSupported, required, tooLong } from "./field-error.ts";
import { goStrings } from "./go-syntax.ts";
import { dnsLabelErrors } from "./names.ts";
import { requiredFields, textOf } from "./volume-fields.ts";

type Source = Record<string, unknown>;

const lunRange = "must be between 0 and 255, inclusive";

export const networkVolumeValidators: Readonly<
  Record<string, (source: Source, path: string) => FieldError[]>
> = {
  azureDisk: (source, path) => [
    ...requiredFields(source, ["diskName", "diskURI"], path),
    ...azureChoiceErrors(source, path),
    ...azureUriErrors(textOf(source["diskURI"]), textOf(source["kind"]), path),
  ],
  azureFile: (source, path) => requiredFields(source, ["secretName", "shareName"], path),
  cephfs: (source, path) => listErrors(source, "monitors", path),
  cinder: (source, path) => [...requiredFields(source, ["volumeID"], path), ...secretErrors(source, path)],
  fc: (source, path) => fibreChannelErrors(source, path),
  flexVolume: (source, path) => requiredFields(source, ["driver"], path),
  flocker: (source, path) => flockerErrors(source, path),
  glusterfs: (source, path) => requiredFields(source, ["endpoints", "path"], path),
  iscsi: (source, path) => iscsiErrors(source, path),
  photonPersistentDisk: (source, path) => requiredFields(source, ["pdID"], path),
  portworxVolume: (source, path) => requiredFields(source, ["volumeID"], path),
  quobyte: (source, path) => quobyteErrors(source, path),
  rbd: (source, path) => [
    ...listErrors(source, "monitors", path),
    ...requiredFields(source, ["image"], path),
  ],
  scaleIO: (source, path) => requiredFields(source, ["gateway", "system", "volumeName"], path),
  storageos: (source, path) => [
    ...requiredFields(source, ["volumeName"], path),
    ...["volumeName", "volumeNamespace"].flatMap((field) => {
      const name = textOf(source[field]);
      return name === "" ? [] : dnsLabelErrors(name).map((each) => invalid(`${path}.${field}`, name, each));
    }),
    ...secretErrors(source, path),
  ],
  vsphereVolume: (source, path) => requiredFields(source, ["volumePath"], path),
};

function listErrors(source: Source, field: string, path: string): FieldError[] {
  return listOf(source[field]).length > 0 ? [] : [required(`${path}.${field}`)];
}

function listOf(value: unknown): string[] {
  return Array.isArray(value) ? (value as string[]) : [];
}

function secretErrors(source: Source, path: string): FieldError[] {
  const secret = source["secretRef"] as { name?: string } | undefined;
  return secret !== undefined && !secret.name ? [required(`${path}.secretRef.name`)] : [];
}

function azureChoiceErrors(source: Source, path: string): FieldError[] {
  const choices = {
    cachingMode: ["None", "ReadOnly", "ReadWrite"],
    kind: ["Dedicated", "Managed", "Shared"],
  };
  return Object.entries(choices).flatMap(([field, allowed]) => {
    const value = source[field];
    return value === undefined || allowed.includes(textOf(value))
      ? []
      : [notSupported(`${path}.${field}`, value, allowed)];
  });
}

function azureUriErrors(uri: string, kind: string, path: string): FieldError[] {
  const managed =
    "/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}";
  const blob = "https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd";
  const [prefix, form] = kind === "Managed" ? ["/subscriptions/", managed] : ["https://", blob];
  return uri.startsWith(prefix) ? [] : [notSupported(`${path}.diskURI`, uri, [form])];
}

function fibreChannelErrors(source: Source, path: string): FieldError[] {
  const targets = listOf(source["targetWWNs"]);
  const ids = listOf(source["wwids"]);
  const errors: FieldError[] = [];
  const at = `${path}.targetWWNs`;
  if (targets.length === 0 && ids.length === 0)
    errors.push(required(at, "must specify either targetWWNs or wwids, but not both"));
  if (targets.length === 0) return errors;
  if (ids.length > 0)
    errors.push(invalid(at, goStrings(targets), "targetWWNs and wwids can not be specified simultaneously"));
  const lun = source["lun"] as number | undefined;
  if (lun === undefined) errors.push(required(`${path}.lun`, "lun is required if targetWWNs is specified"));
  else if (lun < 0 || lun > 255) errors.push(invalid(`${path}.lun`, lun, lunRange));
  return errors;
}

function flockerErrors(source: Source, path: string): FieldError[] {
  const name = textOf(source["datasetName"]);
  const uuid = textOf(source["datasetUUID"]);
  const errors: FieldError[] = [];
  if (name === "" && uuid === "")
    errors.push(required(path, "one of datasetName and datasetUUID is required"));
  if (name !== "" && uuid !== "")
    errors.push(invalid(path, "resource", "datasetName and datasetUUID can not be specified simultaneously"));
  if (name.includes("/")) errors.push(invalid(`${path}.datasetName`, name, "must not contain '/'"));
  return errors;
}

const qualifiedName = /^iqn\.\d{4}-\d{2}\.([a-z0-9]+(\.[a-z0-9-]+)*)(:.*)?$/i;

function iscsiErrors(source: Source, path: string): FieldError[] {
  const errors = requiredFields(source, ["targetPortal"], path);
  const name = textOf(source["iqn"]);
  const at = `${path}.iqn`;
  if (name === "") errors.push(required(at));
  else if (!/^(iqn|eui|naa)/.test(name))
    errors.push(invalid(at, name, "must be valid format starting with iqn, eui, or naa"));
  else if (
    (name.startsWith("iqn") && !qualifiedName.test(name)) ||
    (name.startsWith("eui") && !/^eui\.[0-9a-fA-F]{16}$/.test(name)) ||
    (name.startsWith("naa") && !/^naa\.[0-9a-fA-F]{32}$/.test(name))
  )
    errors.push(invalid(at, name, "must be valid format"));
  const lun = Number(source["lun"] ?? 0);
  if (lun < 0 || lun > 255) errors.push(invalid(`${path}.lun`, lun, lunRange));
  if (
    (source["chapAuthDiscovery"] === true || source["chapAuthSession"] === true) &&
    source["secretRef"] === undefined
  )
    errors.push(required(`${path}.secretRef`));
  return errors;
}

function quobyteErrors(source: Source, path: string): FieldError[] {
  const registry = textOf(source["registry"]);
  const form = "must be a host:port pair or multiple pairs separated by commas";
  const errors: FieldError[] = [];
  if (registry === "") errors.push(required(`${path}.registry`, form));
  else if (registry.length >= 65) errors.push(tooLong(`${path}.registry`, 65));
  else
    for (const pair of registry.split(","))
      if (!/^[^:[\]]*:[^:]*$|^\[[^\]]*\]:[^:]*$/.test(pair))
        errors.push(invalid(`${path}.registry`, registry, form));
  if (textOf(source["tenant"]).length >= 65) errors.push(tooLong(`${path}.tenant`, 65));
  return [...errors, ...requiredFields(source, ["volume"], path)];
}
