/** The CRI description of a container, from its pod and from what was prepared for it. Pure. */
import { containerLogPath } from "../paths.ts";
import { expand } from "../plan/expansion.ts";
import type { CgroupLimits } from "../plan/resources.ts";
import { cpuPeriodUs } from "../plan/resources.ts";
import type { AnyContainer, Pod } from "../types.ts";
import { containerAnnotations, containerLabels } from "./labels.ts";
import type { ContainerConfig, ContainerSecurity, LinuxResources, Mount } from "./messages.ts";

export interface ContainerInput {
  pod: Pod;
  container: AnyContainer;
  restartCount: number;
  imageRef: string;
  environment: ReadonlyMap<string, string>;
  mounts: Mount[];
  devices: ContainerConfig["devices"];
  security: ContainerSecurity;
  limits: CgroupLimits;
  oomScoreAdj: number;
  cgroupVersion: 1 | 2;
}

export function containerConfig(input: ContainerInput): ContainerConfig {
  const { container, environment, restartCount } = input;
  const expanded = (words: readonly string[] | undefined) =>
    (words ?? []).map((word) => expand(word, (name) => environment.get(name)));
  return {
    metadata: { name: container.name, attempt: restartCount },
    image: { image: input.imageRef },
    command: expanded(container.command),
    args: expanded(container.args),
    workingDir: container.workingDir ?? "",
    envs: [...environment].map(([key, value]) => ({ key, value })),
    mounts: input.mounts,
    devices: input.devices,
    labels: containerLabels(input.pod, container),
    annotations: containerAnnotations(input.pod, container, restartCount),
    logPath: containerLogPath(container.name, restartCount),
    stdin: container.stdin === true,
    stdinOnce: container.stdinOnce === true,
    tty: container.tty === true,
    linux: { resources: linuxResources(input), securityContext: input.security },
  };
}

function linuxResources({ limits, oomScoreAdj, cgroupVersion }: ContainerInput): LinuxResources {
  return {
    cpuShares: limits.cpuShares,
    cpuPeriod: cpuPeriodUs,
    ...(limits.cpuQuotaUs === undefined ? {} : { cpuQuota: limits.cpuQuotaUs }),
    ...(limits.memoryLimitBytes === undefined ? {} : { memoryLimitInBytes: limits.memoryLimitBytes }),
    oomScoreAdj,
    // One process killed for memory takes its container with it, as upstream does on cgroup v2.
    ...(cgroupVersion === 2 ? { unified: { "memory.oom.group": "1" } } : {}),
  };
}
