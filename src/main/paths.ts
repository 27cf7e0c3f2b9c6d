/** Where a node keeps what, below its data directory. */
import { join } from "node:path";

export interface NodePaths {
  dataDir: string;
  replica: string;
  agent: string;
  podLogs: string;
  containerd: string;
  containerdSocket: string;
  cniConf: string;
  cniData: string;
  kubeconfig: string;
}

export function nodePaths(dataDir: string): NodePaths {
  return {
    dataDir,
    replica: join(dataDir, "replica"),
    agent: join(dataDir, "agent"),
    podLogs: join(dataDir, "pod-logs"),
    containerd: join(dataDir, "containerd"),
    // A socket's path is limited to 107 bytes.
    containerdSocket: join(dataDir, "containerd", "c.sock"),
    cniConf: join(dataDir, "cni", "net.d"),
    cniData: join(dataDir, "cni", "data"),
    kubeconfig: join(dataDir, "kubeconfig"),
  };
}
