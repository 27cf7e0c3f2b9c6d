/**
 * The mounts of one container: its volume mounts (with sub-paths, which must stay inside of their
 * volume), /etc/hosts and the file for its termination message.
 */
import { chmod, lchown, lstat, mkdir, realpath, stat, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Mount } from "../cri/messages.ts";
import type { AgentPaths } from "../paths.ts";
import { ContainerConfigError } from "../plan/environment.ts";
import { expand } from "../plan/expansion.ts";
import type { AnyContainer, Pod } from "../types.ts";

export interface ContainerMountsInput {
  pod: Pod;
  container: AnyContainer;
  restartCount: number;
  volumes: ReadonlyMap<string, string>;
  environment: ReadonlyMap<string, string>;
  paths: AgentPaths;
}

export async function containerMounts(input: ContainerMountsInput): Promise<Mount[]> {
  const { pod, container, volumes, paths } = input;
  const uid = pod.metadata.uid ?? "";
  const mounts: Mount[] = [];
  for (const mount of container.volumeMounts ?? []) {
    const base = volumes.get(mount.name);
    if (base === undefined)
      throw new ContainerConfigError(
        `cannot find volume ${JSON.stringify(mount.name)} to mount into container ${JSON.stringify(container.name)}`,
      );
    const subPath = mount.subPathExpr
      ? expand(mount.subPathExpr, (name) => input.environment.get(name))
      : (mount.subPath ?? "");
    mounts.push({
      containerPath: mount.mountPath.startsWith("/") ? mount.mountPath : `/${mount.mountPath}`,
      hostPath:
        subPath === "" ? base : await insideOf(base, subPath, mount.name, pod.spec.securityContext?.fsGroup),
      readonly: mount.readOnly === true,
      propagation: propagations[mount.mountPropagation ?? "None"] ?? "PROPAGATION_PRIVATE",
    });
  }
  const taken = (path: string) => mounts.some((mount) => mount.containerPath === path);
  if (!taken("/etc/hosts")) mounts.push(plainMount("/etc/hosts", paths.hosts(uid)));
  const messagePath = container.terminationMessagePath ?? "/dev/termination-log";
  if (!taken(messagePath)) {
    const file = paths.terminationMessage(uid, container.name, input.restartCount);
    await mkdir(dirname(file), { recursive: true });
    await writeFile(file, "", { flag: "a" });
    await chmod(file, 0o666);
    mounts.push(plainMount(messagePath, file));
  }
  return mounts;
}

/** Writes in place: running containers have the file itself mounted. */
export async function writeHosts(path: string, text: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, text, { mode: 0o644 });
}

const propagations: Readonly<Record<string, Mount["propagation"]>> = {
  None: "PROPAGATION_PRIVATE",
  HostToContainer: "PROPAGATION_HOST_TO_CONTAINER",
  Bidirectional: "PROPAGATION_BIDIRECTIONAL",
};

function plainMount(containerPath: string, hostPath: string): Mount {
  return { containerPath, hostPath, readonly: false, propagation: "PROPAGATION_PRIVATE" };
}

/**
 * The real path of a sub-path, made as a directory if missing. A symbolic link that a container planted
 * must not lead out of the volume: each step is resolved and compared before the next is made.
 */
async function insideOf(
  base: string,
  subPath: string,
  volume: string,
  group: number | undefined,
): Promise<string> {
  const refuse = () =>
    new ContainerConfigError(
      `failed to prepare subPath for volumeMount ${JSON.stringify(volume)} of container`,
    );
  if (subPath.startsWith("/") || subPath.split("/").includes("..")) throw refuse();
  const root = await realpath(base);
  let current = root;
  for (const step of subPath.split("/").filter((each) => each !== "" && each !== ".")) {
    const next = join(current, step);
    const info = await lstat(next).catch(() => undefined);
    if (!info) {
      await mkdir(next);
      // Like the directory that it stands in, so that the same users may write.
      const { uid, gid, mode } = await stat(current);
      await chmod(next, mode & 0o7777);
      await lchown(next, uid, group ?? gid);
      current = next;
      continue;
    }
    current = info.isSymbolicLink() ? await realpath(next) : next;
    if (current !== root && !current.startsWith(`${root}/`)) throw refuse();
  }
  return current;
}
