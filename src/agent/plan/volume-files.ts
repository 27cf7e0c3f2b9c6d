/**
 * The files of the volumes that are made of API objects (configMap, secret, downwardAPI, projected), as
 * data: path within the volume, bytes, mode. Pure; writing them atomically is `volumes/atomic-writer.ts`'s.
 */
import type { PodSpec } from "../types.ts";
import type { ConfigMap, Pod, Secret } from "../types.ts";
import { fieldValue, resourceValue } from "./field-ref.ts";
import type { NodeFacts } from "./field-ref.ts";

export interface VolumeFile {
  data: Uint8Array;
  mode: number;
}

export type VolumeFiles = Map<string, VolumeFile>;

type Volume = NonNullable<PodSpec["volumes"]>[number];
type Projection = NonNullable<NonNullable<Volume["projected"]>["sources"]>[number];
type KeyToPath = { key: string; path: string; mode?: number };
type DownwardFile = NonNullable<NonNullable<Volume["downwardAPI"]>["items"]>[number];

export interface VolumeFilesInput {
  pod: Pod;
  podIps: readonly string[];
  node: NodeFacts;
  configMap(name: string): ConfigMap | undefined;
  secret(name: string): Secret | undefined;
  /** A token that was requested beforehand. */
  token(source: NonNullable<Projection["serviceAccountToken"]>): string;
}

/** Throws an Error with upstream's words when something that isn't optional is missing. */
export function volumeFiles(volume: Volume, input: VolumeFilesInput): VolumeFiles {
  const files: VolumeFiles = new Map();
  const { configMap, secret, downwardAPI, projected } = volume;
  if (configMap)
    addConfigMap(
      files,
      configMap.name ?? "",
      configMap.items,
      configMap.defaultMode,
      configMap.optional,
      input,
    );
  else if (secret)
    addSecret(files, secret.secretName ?? "", secret.items, secret.defaultMode, secret.optional, input);
  else if (downwardAPI) addDownward(files, downwardAPI.items, downwardAPI.defaultMode, input);
  else if (projected)
    for (const source of projected.sources ?? []) addProjection(files, source, projected.defaultMode, input);
  for (const path of files.keys())
    if (path.startsWith("/") || path.split("/").includes("..")) throw new Error(`invalid path: ${path}`);
  return files;
}

/** Names of what a pod refers to, so that it can be fetched and watched. */
export function podReferences(pod: Pod): { configMaps: Set<string>; secrets: Set<string> } {
  const maps = new Set<string>();
  const secrets = new Set<string>();
  const add = (set: Set<string>, name: string | undefined) => {
    if (name) set.add(name);
  };
  for (const volume of pod.spec.volumes ?? []) {
    add(maps, volume.configMap?.name);
    add(secrets, volume.secret?.secretName);
    for (const source of volume.projected?.sources ?? []) {
      add(maps, source.configMap?.name);
      add(secrets, source.secret?.name);
    }
  }
  const { containers, initContainers, ephemeralContainers, imagePullSecrets } = pod.spec;
  for (const container of [...containers, ...(initContainers ?? []), ...(ephemeralContainers ?? [])]) {
    for (const source of container.envFrom ?? []) {
      add(maps, source.configMapRef?.name);
      add(secrets, source.secretRef?.name);
    }
    for (const variable of container.env ?? []) {
      add(maps, variable.valueFrom?.configMapKeyRef?.name);
      add(secrets, variable.valueFrom?.secretKeyRef?.name);
    }
  }
  for (const each of imagePullSecrets ?? []) add(secrets, each.name);
  return { configMaps: maps, secrets };
}

const encoder = new TextEncoder();

function addConfigMap(
  files: VolumeFiles,
  name: string,
  items: KeyToPath[] | undefined,
  defaultMode: number | undefined,
  optional: boolean | undefined,
  input: VolumeFilesInput,
): void {
  const found = input.configMap(name);
  if (!found && !optional) throw new Error(`configmap ${JSON.stringify(name)} not found`);
  const data = new Map<string, Uint8Array>();
  for (const [key, value] of Object.entries(found?.data ?? {})) data.set(key, encoder.encode(value));
  for (const [key, value] of Object.entries(found?.binaryData ?? {}))
    data.set(key, Uint8Array.fromBase64(value));
  addKeys(files, data, items, defaultMode, optional, "configmap references non-existent config key");
}

function addSecret(
  files: VolumeFiles,
  name: string,
  items: KeyToPath[] | undefined,
  defaultMode: number | undefined,
  optional: boolean | undefined,
  input: VolumeFilesInput,
): void {
  const found = input.secret(name);
  if (!found && !optional) throw new Error(`secret ${JSON.stringify(name)} not found`);
  const data = new Map<string, Uint8Array>();
  for (const [key, value] of Object.entries(found?.data ?? {})) data.set(key, Uint8Array.fromBase64(value));
  addKeys(files, data, items, defaultMode, optional, "references non-existent secret key");
}

function addKeys(
  files: VolumeFiles,
  data: ReadonlyMap<string, Uint8Array>,
  items: KeyToPath[] | undefined,
  defaultMode = 0o644,
  optional = false,
  missing = "",
): void {
  if (!items || items.length === 0) {
    for (const [key, value] of data) files.set(key, { data: value, mode: defaultMode });
    return;
  }
  for (const { key, path, mode } of items) {
    const value = data.get(key);
    if (value !== undefined) files.set(path, { data: value, mode: mode ?? defaultMode });
    else if (!optional) throw new Error(`${missing}: ${key}`);
  }
}

function addDownward(
  files: VolumeFiles,
  items: DownwardFile[] | undefined,
  defaultMode = 0o644,
  input: VolumeFilesInput,
): void {
  for (const item of items ?? []) {
    const text = item.fieldRef
      ? fieldValue(item.fieldRef.fieldPath, input.pod, input.podIps, input.node)
      : item.resourceFieldRef
        ? resourceValue(item.resourceFieldRef, input.pod, "", input.node)
        : "";
    files.set(item.path, { data: encoder.encode(text), mode: item.mode ?? defaultMode });
  }
}

function addProjection(
  files: VolumeFiles,
  source: Projection,
  defaultMode: number | undefined,
  input: VolumeFilesInput,
): void {
  const { configMap, secret, downwardAPI, serviceAccountToken } = source;
  if (configMap)
    addConfigMap(files, configMap.name ?? "", configMap.items, defaultMode, configMap.optional, input);
  else if (secret) addSecret(files, secret.name ?? "", secret.items, defaultMode, secret.optional, input);
  else if (downwardAPI) addDownward(files, downwardAPI.items, defaultMode, input);
  else if (serviceAccountToken) {
    const data = encoder.encode(input.token(serviceAccountToken));
    files.set(serviceAccountToken.path, { data, mode: defaultMode ?? 0o644 });
  } else throw new Error("projected volume source is not implemented");
}
