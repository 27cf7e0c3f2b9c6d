/** Where the agent keeps what belongs to a pod. The layout under the data directory is kubelet's. */
import { join } from "node:path";
import type { Pod } from "./types.ts";

export class AgentPaths {
  readonly dataDir: string;
  readonly logDir: string;

  constructor(dataDir: string, logDir: string) {
    this.dataDir = dataDir;
    this.logDir = logDir;
  }

  get pods(): string {
    return join(this.dataDir, "pods");
  }

  /** A tmpfs for what must never reach a disk: secrets and tokens. */
  get memory(): string {
    return join(this.dataDir, "memory");
  }

  pod(uid: string): string {
    return join(this.pods, uid);
  }

  podMemory(uid: string): string {
    return join(this.memory, uid);
  }

  volume(uid: string, plugin: string, name: string): string {
    return join(this.pod(uid), "volumes", `kubernetes.io~${plugin}`, name);
  }

  hosts(uid: string): string {
    return join(this.pod(uid), "etc-hosts");
  }

  terminationMessage(uid: string, container: string, restartCount: number): string {
    return join(this.pod(uid), "containers", container, `termination-log-${restartCount}`);
  }

  podLogs(namespace: string, name: string, uid: string): string {
    return join(this.logDir, `${namespace}_${name}_${uid}`);
  }

  podLogsOf(pod: Pod): string {
    const { namespace, name, uid } = pod.metadata;
    return this.podLogs(namespace ?? "", name ?? "", uid ?? "");
  }
}

/** A container's log file below its pod's log directory. */
export function containerLogPath(container: string, restartCount: number): string {
  return `${container}/${restartCount}.log`;
}
