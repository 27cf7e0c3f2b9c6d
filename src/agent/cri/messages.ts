/**
 * The CRI's messages as TypeScript sees them: camelCase, enums as their names, 64-bit integers as
 * decimal strings (times are nanoseconds since 1970, which a number can't hold). What a message
 * leaves out arrives as its default.
 */

export interface SandboxMetadata {
  name: string;
  uid: string;
  namespace: string;
  attempt: number;
}

export type NamespaceMode = "POD" | "CONTAINER" | "NODE" | "TARGET";

export interface NamespaceOption {
  network: NamespaceMode;
  pid: NamespaceMode;
  ipc: NamespaceMode;
  targetId?: string;
}

export interface SecurityProfile {
  profileType: "RuntimeDefault" | "Unconfined" | "Localhost";
  localhostRef?: string;
}

export interface Int64 {
  value: number | string;
}

export interface SandboxConfig {
  metadata: SandboxMetadata;
  hostname: string;
  logDirectory: string;
  dnsConfig: { servers: string[]; searches: string[]; options: string[] };
  portMappings: { protocol: string; containerPort: number; hostPort: number; hostIp: string }[];
  labels: Record<string, string>;
  annotations: Record<string, string>;
  linux: {
    cgroupParent: string;
    sysctls: Record<string, string>;
    securityContext: {
      namespaceOptions: NamespaceOption;
      runAsUser?: Int64;
      runAsGroup?: Int64;
      supplementalGroups: number[];
      privileged: boolean;
      readonlyRootfs: boolean;
      seccomp: SecurityProfile;
    };
  };
}

export interface Mount {
  containerPath: string;
  hostPath: string;
  readonly: boolean;
  propagation: "PROPAGATION_PRIVATE" | "PROPAGATION_HOST_TO_CONTAINER" | "PROPAGATION_BIDIRECTIONAL";
}

export interface LinuxResources {
  cpuPeriod?: number;
  cpuQuota?: number;
  cpuShares?: number;
  memoryLimitInBytes?: number;
  oomScoreAdj?: number;
  unified?: Record<string, string>;
}

export interface ContainerSecurity {
  capabilities?: { addCapabilities: string[]; dropCapabilities: string[] };
  privileged: boolean;
  namespaceOptions: NamespaceOption;
  runAsUser?: Int64;
  runAsGroup?: Int64;
  runAsUsername?: string;
  readonlyRootfs: boolean;
  supplementalGroups: number[];
  noNewPrivs: boolean;
  maskedPaths: string[];
  readonlyPaths: string[];
  seccomp: SecurityProfile;
}

export interface ContainerConfig {
  metadata: { name: string; attempt: number };
  image: { image: string };
  command: string[];
  args: string[];
  workingDir: string;
  envs: { key: string; value: string }[];
  mounts: Mount[];
  devices: { containerPath: string; hostPath: string; permissions: string }[];
  labels: Record<string, string>;
  annotations: Record<string, string>;
  /** Relative to the sandbox's log directory. */
  logPath: string;
  stdin: boolean;
  stdinOnce: boolean;
  tty: boolean;
  linux: { resources: LinuxResources; securityContext: ContainerSecurity };
}

export interface Sandbox {
  id: string;
  metadata: SandboxMetadata;
  state: "SANDBOX_READY" | "SANDBOX_NOTREADY";
  createdAt: string;
  labels: Record<string, string>;
  annotations: Record<string, string>;
}

export interface SandboxStatus extends Sandbox {
  network: { ip: string; additionalIps: { ip: string }[] } | null;
}

export type ContainerState =
  | "CONTAINER_CREATED"
  | "CONTAINER_RUNNING"
  | "CONTAINER_EXITED"
  | "CONTAINER_UNKNOWN";

export interface RuntimeContainer {
  id: string;
  podSandboxId: string;
  metadata: { name: string; attempt: number };
  image: { image: string } | null;
  imageRef: string;
  state: ContainerState;
  createdAt: string;
  labels: Record<string, string>;
  annotations: Record<string, string>;
}

export interface RuntimeContainerStatus {
  id: string;
  metadata: { name: string; attempt: number };
  state: ContainerState;
  createdAt: string;
  startedAt: string;
  finishedAt: string;
  exitCode: number;
  image: { image: string } | null;
  imageRef: string;
  reason: string;
  message: string;
  labels: Record<string, string>;
  annotations: Record<string, string>;
  logPath: string;
}

export interface RuntimeImage {
  id: string;
  repoTags: string[];
  repoDigests: string[];
  size: string;
  uid: { value: string } | null;
  username: string;
}

export interface ImageAuth {
  username?: string;
  password?: string;
  auth?: string;
  serverAddress?: string;
  identityToken?: string;
  registryToken?: string;
}

export interface ContainerStats {
  attributes: { id: string; metadata: { name: string; attempt: number }; labels: Record<string, string> };
  cpu: { timestamp: string; usageCoreNanoSeconds: { value: string } | null } | null;
  memory: {
    timestamp: string;
    workingSetBytes: { value: string } | null;
    usageBytes: { value: string } | null;
    rssBytes: { value: string } | null;
  } | null;
  writableLayer: { usedBytes: { value: string } | null; inodesUsed: { value: string } | null } | null;
}

export interface RuntimeCondition {
  type: string;
  status: boolean;
  reason: string;
  message: string;
}
