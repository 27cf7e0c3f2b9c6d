/** `trivet up`: everything from nothing to a Ready node. Every step can be repeated. */
import { isIPv4 } from "node:net";
import { hostname, homedir } from "node:os";
import { copyFileSync, chmodSync, existsSync, mkdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { exitCodes } from "#base/errors.ts";
import { createCluster, requireNoDatastore } from "#cluster/join.ts";
import type { NewNode } from "#cluster/join.ts";
import { defaultPorts, defaultSettings, readIdentity } from "#cluster/identity.ts";
import type { ClusterSettings, NodePorts } from "#cluster/identity.ts";
import { checkPki } from "#cluster/pki.ts";
import type { CommandContext } from "./context.ts";
import { kubeconfigPath } from "./management-client.ts";
import {
  findNode,
  findSupervisor,
  isStarted,
  lastLogLines,
  readRestarts,
  startNode,
  stopNode,
  stopTimeoutMs,
} from "./process-control.ts";
import type { Restarts } from "./process-control.ts";
import { readStatus, waitReady } from "./status.ts";
import { correctDatastore, datastoreSetting } from "./datastore.ts";
import { notTaken } from "./not-taken.ts";
import type { DatastoreFlags } from "./datastore.ts";
import { etcdSetting, rememberEtcdApi } from "./etcd-api.ts";
import { parseVoters } from "./voters.ts";
import {
  defaultAddress,
  findProgram,
  installPackages,
  missingPackages,
  parseTimeoutMs,
  requireDisk,
  requireLinux,
  requirePort,
  requireRoot,
} from "./system.ts";

/** Flags of `up` and `join` that describe the new node. */
export interface NodeFlags {
  dataDir: string;
  name?: string;
  address?: string;
  failureDomain?: string;
  apiPort?: string;
  peerPort?: string;
  agentPort?: string;
  start: boolean;
  timeout: string;
}

export interface UpFlags extends NodeFlags, DatastoreFlags {
  clusterCidr?: string;
  serviceCidr?: string;
  voters: string;
  etcdApi?: string | true;
}

export async function upCommand(context: CommandContext, flags: UpFlags): Promise<void> {
  requireLinux();
  requireRoot("up");
  const node = describeNode(flags);
  const settings = clusterSettings(flags);
  const found = readIdentity(flags.dataDir);
  if (found !== undefined)
    for (const line of notTaken(found, node, settings, flags)) context.progress.line(`  ${line}`);
  const corrected = found && correctDatastore(flags.dataDir, found, settings);
  const identity = corrected && rememberEtcdApi(flags.dataDir, corrected, flags.etcdApi);
  if (identity !== undefined && findNode(flags.dataDir) !== undefined) {
    const status = await readStatus(flags.dataDir).catch(() => undefined);
    if (status?.ready === true) {
      const restart =
        identity !== found ? `: "trivet restart" makes it serve the etcd API` : ": nothing to do";
      context.progress.line(`node ${status.node} is already up and Ready${restart}`);
      writeUserKubeconfig(flags.dataDir);
      printNextSteps(context, flags.dataDir);
      return;
    }
  }
  if (identity === undefined) requireNoDatastore(flags.dataDir);
  await prepareMachine(context, flags.dataDir);
  if (identity === undefined) {
    await requireFreePorts(node.ports);
    await context.progress.step("keys and identity", async () => {
      await createCluster(node, settings);
      return `created in ${flags.dataDir}`;
    });
  } else if (!isStarted(flags.dataDir)) await requireFreePorts(identity.ports);
  await startAndWait(context, flags);
  printNextSteps(context, flags.dataDir);
}

/** Packages and disk: the same for `up` and `join`. */
export async function prepareMachine(context: CommandContext, dataDir: string): Promise<void> {
  requireDisk(dataDir);
  await context.progress.step("containerd, runc, CNI plugins, nftables", async (report) => {
    const missing = missingPackages();
    if (missing.length === 0) return "already installed";
    report(`installing ${missing.join(", ")} with apt-get`);
    await installPackages(missing);
    return "installed";
  });
}

export function describeNode(flags: NodeFlags): NewNode {
  const name = (flags.name ?? hostname()).toLowerCase();
  if (!/^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$/.test(name))
    throw new Error(
      `"${name}" can't be a node's name: lower-case letters, digits, "-" and "." are allowed (choose one with --name)`,
    );
  const address = flags.address ?? defaultAddress();
  if (!isIPv4(address)) throw new Error(`--address takes an IPv4 address of this machine, not "${address}"`);
  parseTimeoutMs(flags.timeout);
  return {
    dataDir: flags.dataDir,
    name,
    address,
    ...(flags.address === undefined ? {} : { addressGiven: true }),
    failureDomain: flags.failureDomain ?? "",
    ports: {
      api: port(flags.apiPort, "--api-port", defaultPorts.api),
      peer: port(flags.peerPort, "--peer-port", defaultPorts.peer),
      agent: port(flags.agentPort, "--agent-port", defaultPorts.agent),
    },
  };
}

export async function requireFreePorts(ports: NodePorts): Promise<void> {
  await requirePort(ports.api, "api");
  await requirePort(ports.peer, "peer");
  await requirePort(ports.agent, "agent");
}

export async function startAndWait(context: CommandContext, flags: NodeFlags): Promise<void> {
  if (!flags.start) return;
  const identity = readIdentity(flags.dataDir);
  // What the node would only write to its log is said here, with its exit code.
  if (identity !== undefined) checkPki(flags.dataDir, identity.role);
  await context.progress.step("node", () =>
    startNode(flags.dataDir, context.launcher) === "running"
      ? "already running"
      : "started in the background",
  );
  await context.progress.step("waiting until the node is Ready", async (report) => {
    const stopWatching = new AbortController();
    try {
      await Promise.race([
        waitReady(flags.dataDir, parseTimeoutMs(flags.timeout), report, stopWatching.signal),
        whenNodeDies(flags.dataDir, stopWatching.signal),
      ]);
    } finally {
      stopWatching.abort();
    }
    return "Ready";
  });
  const kubeconfig = kubeconfigPath(flags.dataDir);
  if (existsSync(kubeconfig))
    await context.progress.step("kubeconfig", () => {
      const user = writeUserKubeconfig(flags.dataDir);
      return user === undefined ? kubeconfig : `${kubeconfig}, copied to ${user}`;
    });
}

/** Copies the kubeconfig to where kubectl looks, unless another one is there. Returns the path if it is ours. */
function writeUserKubeconfig(dataDir: string): string | undefined {
  const source = kubeconfigPath(dataDir);
  const target = join(homedir(), ".kube", "config");
  if (existsSync(target) && !isOurs(target)) return undefined;
  mkdirSync(dirname(target), { recursive: true, mode: 0o700 });
  copyFileSync(source, target);
  chmodSync(target, 0o600);
  return target;
}

/** Whether a kubeconfig was written by Trivet: its first line says so. */
export function isOurs(path: string): boolean {
  return readFileSync(path, "utf8").startsWith(kubeconfigHeader);
}

export const kubeconfigHeader = "# written by trivet";

function printNextSteps(context: CommandContext, dataDir: string): void {
  const userConfig = join(homedir(), ".kube", "config");
  const ours = existsSync(userConfig) && isOurs(userConfig);
  const kubectl = findProgram("kubectl") === undefined ? "trivet kubectl" : "kubectl";
  context.print(
    [
      "",
      "Trivet is up. What to type next:",
      ...(ours ? [] : [`  export KUBECONFIG=${kubeconfigPath(dataDir)}`]),
      `  ${kubectl} get nodes -o wide`,
      `  ${context.launcher} demo          a small web application that needs no registry`,
      `  ${context.launcher} add-node      invite another machine; from three on the cluster is highly available`,
      `  ${context.launcher} status`,
    ].join("\n"),
  );
}

/**
 * Rejects with what the node last said when it has ended for a reason of its own, and leaves nothing behind that
 * would start it again. One that was killed, or has laid its damaged copy aside to get another, is waited for.
 */
async function whenNodeDies(dataDir: string, signal: AbortSignal): Promise<never> {
  const before = readRestarts(dataDir);
  let seen = false;
  let missingSinceMs: number | undefined;
  for (;;) {
    await new Promise((resolve) => setTimeout(resolve, 250));
    if (signal.aborted) return new Promise(() => undefined);
    const ended = readRestarts(dataDir);
    const endedAnew = ended?.atSeconds !== before?.atSeconds || ended?.ends !== before?.ends;
    if (ended !== undefined && endedAnew && !comesBack(ended)) break;
    if (isStarted(dataDir)) {
      seen = true;
      missingSinceMs = undefined;
      continue;
    }
    missingSinceMs ??= Date.now();
    if (Date.now() - missingSinceMs > (seen ? 1_500 : 15_000)) break;
  }
  if (findSupervisor(dataDir) !== undefined) await stopNode(dataDir, stopTimeoutMs);
  const log = lastLogLines(dataDir, 1).replace(/^trivet: /, "");
  throw new Error(
    `the node ended while it started${log === "" ? "" : `: ${log}`} (all of its log: ${dataDir}/trivet.log)`,
  );
}

function comesBack({ code, ends }: Restarts): boolean {
  return code > 128 || (code === exitCodes.corrupt && ends === 1);
}

function clusterSettings(flags: UpFlags): ClusterSettings {
  return {
    ...defaultSettings,
    clusterCidr: block(flags.clusterCidr, "--cluster-cidr", defaultSettings.clusterCidr),
    serviceCidr: block(flags.serviceCidr, "--service-cidr", defaultSettings.serviceCidr),
    voters: parseVoters(flags.voters),
    ...etcdSetting(flags.etcdApi),
    ...datastoreSetting(flags),
  };
}

function block(text: string | undefined, flag: string, fallback: string): string {
  if (text === undefined) return fallback;
  if (!/^(\d{1,3}\.){3}\d{1,3}\/([89]|1\d|2[0-4])$/.test(text))
    throw new Error(`${flag} takes an IPv4 block such as ${fallback}, not "${text}"`);
  return text;
}

function port(text: string | undefined, flag: string, fallback: number): number {
  if (text === undefined) return fallback;
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1 || value > 65535)
    throw new Error(`${flag} takes a port number from 1 to 65535, not "${text}"`);
  return value;
}
