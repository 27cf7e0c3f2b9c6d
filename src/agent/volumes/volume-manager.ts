/**
 * Makes the volumes of a pod on this node and removes them with it. `prepare` may be called at any
 * time: what is there and right is left alone, so the same call also carries updates of ConfigMaps,
 * Secrets and tokens into running pods.
 */
import { chmod, chown, lchown, mkdir, readdir, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import type { Client } from "#client/types.ts";
import type { KubeObject } from "#kinds/object.ts";
import type { AgentPaths } from "../paths.ts";
import type { NodeFacts } from "../plan/field-ref.ts";
import { quantityBytes } from "../plan/quantity.ts";
import { volumeFiles } from "../plan/volume-files.ts";
import type { References } from "../references.ts";
import type { Tokens } from "../tokens.ts";
import { persistentVolumeClaims, persistentVolumes } from "../types.ts";
import type { Pod } from "../types.ts";
import { writeFilesAtomically } from "./atomic-writer.ts";
import { ensureHostPath } from "./host-path.ts";
import { isMountPoint, mountTmpfs, unmountBelow } from "./mounts.ts";

type Volume = NonNullable<Pod["spec"]["volumes"]>[number];

/** A volume could not be made. The message is upstream's text for the FailedMount event. */
export class VolumeError extends Error {
  override name = "VolumeError";

  constructor(volume: string, cause: unknown) {
    const text = cause instanceof Error ? cause.message : String(cause);
    super(`MountVolume.SetUp failed for volume ${JSON.stringify(volume)} : ${text}`, { cause });
  }
}

export interface VolumeManagerOptions {
  client: Client;
  paths: AgentPaths;
  references: References;
  tokens: Tokens;
  node: () => NodeFacts;
}

export class VolumeManager {
  #options: VolumeManagerOptions;

  constructor(options: VolumeManagerOptions) {
    this.#options = options;
  }

  /** Once per node start: the place for secrets, in memory only. */
  async start(): Promise<void> {
    const { paths } = this.#options;
    await mkdir(paths.pods, { recursive: true, mode: 0o750 });
    await mkdir(paths.memory, { recursive: true, mode: 0o755 });
    if (!(await isMountPoint(paths.memory))) await mountTmpfs(paths.memory, undefined, "0755");
  }

  /** Host paths by volume name. Rejects with VolumeError. */
  async prepare(pod: Pod, podIps: readonly string[]): Promise<Map<string, string>> {
    const result = new Map<string, string>();
    if (pod.spec.volumes === undefined) return result;
    for (const volume of pod.spec.volumes) {
      try {
        result.set(volume.name, await this.#prepareOne(pod, volume, podIps));
      } catch (error) {
        throw new VolumeError(volume.name, error);
      }
    }
    return result;
  }

  /** Removes everything of the pod but its logs. What the pod only borrowed (hostPath) stays. */
  async remove(uid: string): Promise<void> {
    const { paths } = this.#options;
    await unmountBelow(paths.pod(uid));
    await rm(paths.podMemory(uid), { recursive: true, force: true });
    await rm(paths.pod(uid), { recursive: true, force: true });
  }

  /** Uids that still have something on this node's disk. */
  async leftovers(): Promise<string[]> {
    const { pods, memory } = this.#options.paths;
    return [...new Set([...(await readdir(pods)), ...(await readdir(memory))])];
  }

  /** For tests and for `reset`: unmounts the memory volume too. */
  async unmountAll(): Promise<void> {
    await unmountBelow(this.#options.paths.dataDir);
  }

  async #prepareOne(pod: Pod, volume: Volume, podIps: readonly string[]): Promise<string> {
    const { paths } = this.#options;
    const uid = pod.metadata.uid ?? "";
    const group = pod.spec.securityContext?.fsGroup;
    if (volume.emptyDir) return this.#emptyDir(pod, volume);
    if (volume.hostPath) return ensureHostPath(volume.hostPath.path, volume.hostPath.type);
    if (volume.configMap || volume.downwardAPI || volume.secret || volume.projected) {
      const directory =
        volume.configMap || volume.downwardAPI
          ? paths.volume(uid, volume.configMap ? "configmap" : "downward-api", volume.name)
          : join(paths.podMemory(uid), volume.name);
      await this.#writeFiles(pod, volume, podIps, directory, group);
      return directory;
    }
    if (volume.persistentVolumeClaim) return this.#claim(pod, volume.persistentVolumeClaim.claimName, group);
    if (volume.ephemeral) return this.#claim(pod, `${pod.metadata.name}-${volume.name}`, group);
    const plugin = Object.keys(volume).find((key) => key !== "name") ?? "unknown";
    throw new Error(`volume plugin ${plugin} is not implemented`);
  }

  async #emptyDir(pod: Pod, volume: Volume): Promise<string> {
    const directory = this.#options.paths.volume(pod.metadata.uid ?? "", "empty-dir", volume.name);
    const fresh = await mkdir(directory, { recursive: true });
    if (volume.emptyDir?.medium === "Memory" && !(await isMountPoint(directory)))
      await mountTmpfs(directory, quantityBytes(volume.emptyDir.sizeLimit), "0777");
    if (fresh === undefined) return directory;
    await chmod(directory, 0o777);
    const group = pod.spec.securityContext?.fsGroup;
    if (group !== undefined) await giveToGroup(directory, group);
    return directory;
  }

  async #writeFiles(
    pod: Pod,
    volume: Volume,
    podIps: readonly string[],
    directory: string,
    group: number | undefined,
  ): Promise<void> {
    const { references, tokens, node } = this.#options;
    const namespace = pod.metadata.namespace ?? "";
    for (const source of volume.projected?.sources ?? [])
      if (source.serviceAccountToken) await tokens.get(pod, source.serviceAccountToken);
    const files = volumeFiles(volume, {
      pod,
      podIps,
      node: node(),
      configMap: (name) => references.configMap(namespace, name),
      secret: (name) => references.secret(namespace, name),
      token: (source) => tokens.known(pod, source) ?? "",
    });
    await writeFilesAtomically(directory, files, group);
  }

  async #claim(pod: Pod, claimName: string, group: number | undefined): Promise<string> {
    const { client } = this.#options;
    const claim = await client.get<
      KubeObject & { spec: { volumeName?: string }; status?: { phase?: string } }
    >(persistentVolumeClaims, pod.metadata.namespace, claimName);
    const volumeName = claim.spec.volumeName;
    if (claim.status?.phase !== "Bound" || !volumeName)
      throw new Error(`PVC ${pod.metadata.namespace}/${claimName} is not bound`);
    const volume = await client.get<
      KubeObject & { spec: { local?: { path: string }; hostPath?: { path: string; type?: string } } }
    >(persistentVolumes, undefined, volumeName);
    const { local, hostPath } = volume.spec;
    if (hostPath) return ensureHostPath(hostPath.path, hostPath.type || "DirectoryOrCreate");
    if (!local) throw new Error(`the source of persistent volume ${volumeName} is not implemented`);
    if (!(await stat(local.path).catch(() => undefined)))
      throw new Error(`path ${JSON.stringify(local.path)} does not exist`);
    if (group !== undefined) await giveToGroup(local.path, group);
    return local.path;
  }
}

/** fsGroup: everything is the group's, readable and writable by it, and new files inherit that. */
async function giveToGroup(path: string, group: number): Promise<void> {
  const info = await stat(path);
  await chown(path, -1, group);
  await chmod(path, (info.mode & 0o7777) | 0o2770);
  for (const entry of await readdir(path, { withFileTypes: true })) {
    const child = join(path, entry.name);
    if (entry.isDirectory()) await giveToGroup(child, group);
    else if (entry.isSymbolicLink()) await lchown(child, -1, group);
    else {
      const { mode } = await stat(child);
      await chown(child, -1, group);
      await chmod(child, (mode & 0o7777) | 0o660);
    }
  }
}
