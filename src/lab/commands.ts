/**
 * What `trivet lab ...` does, free of any command-line library: functions with options and a callback for
 * progress. Nodes are joined with the very commands that separate machines use.
 */
import { access, readFile } from "node:fs/promises";

import { createLab, defaultLabDir, nodeService, openLab } from "./lab.ts";
import type { DelayOptions, HostStatus, KillOptions, Lab, LabOptions, PartitionOptions } from "./lab.ts";
import { waitUntil } from "./processes.ts";
import type { HostState } from "./state.ts";

/** How a node's programs are called. Paths are the host's own. */
export interface NodeProgram {
  dataDir: string;
  /** Runs in the foreground until it gets SIGTERM. */
  serve(host: Readonly<HostState>): string[];
  /** Prints the join string (HOST:PORT/TOKEN/FINGERPRINT) as its last line. */
  addNode(host: Readonly<HostState>): string[];
  /** Prepares the host's data directory so that `serve` joins. Ends when it is done. */
  join(host: Readonly<HostState>, joinString: string): string[];
  /** Succeeds when the node is Ready; undefined to wait for its kubeconfig only. */
  waitReady?(host: Readonly<HostState>, timeoutSeconds: number): string[];
  env?: Record<string, string>;
}

const dataDir = "/var/lib/trivet";

/** Calls the command line of this project as separate machines would. What others join by is set on the first node. */
export function trivetProgram(
  trivet: readonly string[],
  firstServeOptions: readonly string[] = [],
): NodeProgram {
  const common = ["--data-dir", dataDir];
  return {
    dataDir,
    serve: ({ name, address, index }) => [
      ...trivet,
      "serve",
      ...common,
      "--name",
      name,
      "--address",
      address,
      ...(index === 1 ? firstServeOptions : []),
    ],
    addNode: ({ role }) => [...trivet, "add-node", ...common, ...roleFlag(role), "--format", "short"],
    join: ({ name, address, role }, joinString) => {
      const self = ["--name", name, "--address", address, ...roleFlag(role)];
      return [...trivet, "join", joinString, ...common, ...self, "--no-start"];
    },
    waitReady: (_host, timeoutSeconds) => {
      const waiting = ["--wait-ready", "--timeout", String(timeoutSeconds)];
      return [...trivet, "status", ...common, ...waiting];
    },
  };
}

function roleFlag(role: HostState["role"]): string[] {
  return role === "control-plane" ? [] : [`--${role}`];
}

export interface LabUpOptions extends LabOptions {
  program: NodeProgram;
  progress?: (message: string) => void;
  /** Per node. Default 120. */
  timeoutSeconds?: number;
}

export interface LabSummary {
  /** On the machine; its server is the first node's address. */
  kubeconfig: string;
  /** `dataDir` is the host's as the machine sees it, `pid` the node process's on the machine. */
  nodes: { name: string; address: string; dataDir: string; pid: number }[];
}

/** From nothing to a cluster. What was made is removed again if it fails. */
export async function labUp(options: LabUpOptions): Promise<LabSummary> {
  const { program, progress = () => {}, timeoutSeconds = 120 } = options;
  progress(`making ${options.nodes + (options.workers ?? 0) + (options.witnesses ?? 0)} hosts`);
  const lab = await createLab(options);
  try {
    const [first, ...others] = lab.hosts as [HostState, ...HostState[]];
    progress(`${first.name}: starting`);
    await serve(lab, program, first, timeoutSeconds);
    for (const host of others) {
      progress(`${host.name}: joining`);
      const added = await lab.must(
        first.name,
        program.addNode(host),
        programOptions(program, timeoutSeconds),
      );
      const joinString = added.trim().split("\n").at(-1)!;
      await lab.must(host.name, program.join(host, joinString), programOptions(program, timeoutSeconds));
      await serve(lab, program, host, timeoutSeconds);
    }
    progress("all nodes are up");
    return labSummary(lab, program);
  } catch (error) {
    const log = await lastLines(lab);
    await lab.down();
    throw new Error(`${error instanceof Error ? error.message : String(error)}${log}`, { cause: error });
  }
}

/** For `--format json`. */
export function labSummary(lab: Lab, program: Pick<NodeProgram, "dataDir">): LabSummary {
  const first = lab.hosts[0]!;
  return {
    kubeconfig: lab.pathOf(first.name, `${program.dataDir}/kubeconfig`),
    nodes: lab.hosts.map(({ name, address, services }) => ({
      name,
      address,
      dataDir: lab.pathOf(name, program.dataDir),
      pid: services[nodeService]?.process?.pid ?? 0,
    })),
  };
}

interface Where {
  dir?: string;
}

export async function labStatus({ dir = defaultLabDir }: Where = {}): Promise<HostStatus[]> {
  return (await openLab(dir)).status();
}

/** For a terminal: one line per node. */
export function formatStatus(hosts: readonly HostStatus[]): string {
  const rows = [["NAME", "ADDRESS", "ROLE", "STATE", "PID", "PROCESSES", "CUT OFF FROM"]];
  for (const host of hosts) {
    const { name, address, role, state, pid = "-", processes, cutOffFrom } = host;
    rows.push([name, address, role, state, String(pid), String(processes), cutOffFrom.join(",") || "-"]);
  }
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  return rows
    .map((row) =>
      row
        .map((cell, at) => cell.padEnd(widths[at]!))
        .join("   ")
        .trimEnd(),
    )
    .join("\n");
}

export async function labKill(node: string, options: Where & KillOptions = {}): Promise<void> {
  await (await openLab(options.dir)).kill(node, options);
}

export async function labStart(node: string, options: Where = {}): Promise<void> {
  await (await openLab(options.dir)).start(node);
}

export async function labStop(node: string, options: Where = {}): Promise<void> {
  await (await openLab(options.dir)).stop(node);
}

export async function labPause(node: string, options: Where = {}): Promise<void> {
  await (await openLab(options.dir)).pause(node);
}

export async function labResume(node: string, options: Where = {}): Promise<void> {
  await (await openLab(options.dir)).resume(node);
}

export async function labPartition(node: string, options: Where & PartitionOptions = {}): Promise<void> {
  await (await openLab(options.dir)).partition(node, options);
}

export async function labLoss(node: string, percent: number, options: Where = {}): Promise<void> {
  await (await openLab(options.dir)).lose(node, percent);
}

export async function labDelay(
  node: string,
  delayMs: number,
  options: Where & DelayOptions = {},
): Promise<void> {
  await (await openLab(options.dir)).delay(node, delayMs, options);
}

export async function labDiskFull(node: string, options: Where = {}): Promise<void> {
  await (await openLab(options.dir)).fillDisk(node);
}

export async function labDiskFree(node: string, options: Where = {}): Promise<void> {
  await (await openLab(options.dir)).freeDisk(node);
}

export async function labClock(node: string, offsetMs: number, options: Where = {}): Promise<void> {
  await (await openLab(options.dir)).setClock(node, offsetMs);
}

export async function labHeal(node: string, options: Where = {}): Promise<void> {
  await (await openLab(options.dir)).heal(node);
}

/** Resolves with the command's exit code. */
export async function labExec(node: string, argv: readonly string[], options: Where = {}): Promise<number> {
  return (await openLab(options.dir)).exec(node, argv);
}

/** Also after a crash of the lab. Without a lab there is nothing to do, and it says so (false). */
export async function labDown({ dir = defaultLabDir }: Where = {}): Promise<boolean> {
  const exists = await access(`${dir}/lab.json`).then(
    () => true,
    () => false,
  );
  if (exists) await (await openLab(dir)).down();
  return exists;
}

async function serve(lab: Lab, program: NodeProgram, host: HostState, timeoutSeconds: number): Promise<void> {
  const pid = await lab.spawn(host.name, nodeService, program.serve(host), {
    env: program.env ?? {},
  });
  const kubeconfig = lab.pathOf(host.name, `${program.dataDir}/kubeconfig`);
  const running = () => lab.status().some(({ name, state }) => name === host.name && state === "running");
  const started = await waitUntil(async () => {
    if (!running()) return true;
    return (
      host.role !== "control-plane" ||
      access(kubeconfig).then(
        () => true,
        () => false,
      )
    );
  }, timeoutSeconds * 1000);
  if (!running()) throw new Error(`the node process ${pid} of ${host.name} ended`);
  if (!started) throw new Error(`${host.name} was not up after ${timeoutSeconds} s`);
  if (program.waitReady !== undefined) {
    await lab.must(
      host.name,
      program.waitReady(host, timeoutSeconds),
      programOptions(program, timeoutSeconds + 10),
    );
  }
}

function programOptions(program: NodeProgram, timeoutSeconds: number) {
  return { timeoutMs: timeoutSeconds * 1000, ...(program.env === undefined ? {} : { env: program.env }) };
}

/** The logs go with the lab, so their ends go with the error. */
async function lastLines(lab: Lab): Promise<string> {
  let text = "";
  for (const { name, services } of lab.hosts) {
    const file = services[nodeService]?.logFile;
    const log = file === undefined ? "" : await readFile(file, "utf8").catch(() => "");
    const lines = log.trim().split("\n").slice(-10).join("\n");
    if (lines !== "") text += `\n--- last lines of ${name}:\n${lines}`;
  }
  return text;
}
