/**
 * Starts and stops the node in the background: a systemd unit where systemd runs, else a detached supervisor
 * (`supervise.sh`) whose id stands in DATA/supervisor.pid. The node's own stands in DATA/trivet.pid.
 */
import { execFileSync, spawn } from "node:child_process";
import { closeSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { systemdRuns } from "./system.ts";

const unitPath = "/etc/systemd/system/trivet.service";
const defaultDataDir = "/var/lib/trivet";

/** How long a node may take to stop in order. */
export const stopTimeoutMs = 30_000;

export interface NodeProcess {
  pid: number;
}

/** How often the supervisor has found the node ended since it last ran for a minute. */
export interface Restarts {
  ends: number;
  /** Exit code of the last end; 128 + the signal's number for a signal. */
  code: number;
  /** Seconds since 1970 of the last end. */
  atSeconds: number;
  /** From then until the next start. */
  pauseSeconds: number;
}

/** The running node of this data directory, or undefined. */
export function findNode(dataDir: string): NodeProcess | undefined {
  return findProcess(nodePidPath(dataDir));
}

/** What starts the node again when it ends; undefined where it was started in the foreground or by systemd. */
export function findSupervisor(dataDir: string): NodeProcess | undefined {
  return findProcess(supervisorPidPath(dataDir));
}

/** Whether the node runs, or is about to be started again by its supervisor. */
export function isStarted(dataDir: string): boolean {
  return findNode(dataDir) !== undefined || findSupervisor(dataDir) !== undefined;
}

/** Undefined where the node has not ended by itself since it was started. */
export function readRestarts(dataDir: string): Restarts | undefined {
  try {
    return JSON.parse(readFileSync(restartsPath(dataDir), "utf8")) as Restarts;
  } catch {
    return undefined;
  }
}

/** Called by the node itself when it starts. */
export function writePidFile(dataDir: string): void {
  writeProcess(nodePidPath(dataDir), process.pid);
}

export function removePidFile(dataDir: string): void {
  rmSync(nodePidPath(dataDir), { force: true });
}

/** Starts the node; returns at once. Does nothing when it runs, or is about to be started again. */
export function startNode(dataDir: string, launcher: string): "started" | "running" {
  if (isStarted(dataDir)) return "running";
  if (systemdRuns() && dataDir === defaultDataDir) {
    writeFileSync(unitPath, unit(launcher, dataDir));
    execFileSync("systemctl", ["daemon-reload"]);
    execFileSync("systemctl", ["enable", "--now", "--quiet", "trivet.service"]);
    return "started";
  }
  rmSync(restartsPath(dataDir), { force: true });
  const log = openSync(join(dataDir, "trivet.log"), "a", 0o600);
  const child = spawn(join(import.meta.dirname, "supervise.sh"), [launcher, dataDir], {
    detached: true,
    stdio: ["ignore", log, log],
    cwd: "/",
  });
  closeSync(log);
  child.unref();
  if (child.pid !== undefined) writeProcess(supervisorPidPath(dataDir), child.pid);
  return "started";
}

/** Asks the node to stop gracefully and waits; kills it after the timeout. */
export async function stopNode(dataDir: string, timeoutMs: number): Promise<"stopped" | "not running"> {
  const supervisor = findSupervisor(dataDir);
  const node = findNode(dataDir);
  if (node === undefined && supervisor === undefined) return "not running";
  if (systemdRuns() && dataDir === defaultDataDir) {
    execFileSync("systemctl", ["disable", "--now", "--quiet", "trivet.service"]);
    return "stopped";
  }
  // Only one of them: the supervisor passes it on, and a second signal would end the node at once.
  end((supervisor ?? node)?.pid, "SIGTERM");
  const deadlineMs = Date.now() + timeoutMs;
  while (isStarted(dataDir)) {
    if (Date.now() > deadlineMs) {
      end(findSupervisor(dataDir)?.pid, "SIGKILL");
      end(findNode(dataDir)?.pid, "SIGKILL");
      break;
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  removePidFile(dataDir);
  for (const path of [supervisorPidPath(dataDir), restartsPath(dataDir)]) rmSync(path, { force: true });
  return "stopped";
}

/** The last lines that the node wrote to its log, for the one who reads why a start failed. */
export function lastLogLines(dataDir: string, count: number): string {
  try {
    const lines = readFileSync(join(dataDir, "trivet.log"), "utf8").trimEnd().split("\n");
    return lines
      .filter((line) => !line.startsWith("supervisor: "))
      .slice(-count)
      .join("\n");
  } catch {
    return "";
  }
}

export function removeUnit(): void {
  if (systemdRuns()) rmSync(unitPath, { force: true });
}

function nodePidPath(dataDir: string): string {
  return join(dataDir, "trivet.pid");
}

function supervisorPidPath(dataDir: string): string {
  return join(dataDir, "supervisor.pid");
}

function restartsPath(dataDir: string): string {
  return join(dataDir, "restarts");
}

/** A process id may have been given to another program since: the start time tells them apart. */
function findProcess(path: string): NodeProcess | undefined {
  let record: { pid: number; startTicks: string };
  try {
    record = JSON.parse(readFileSync(path, "utf8")) as typeof record;
  } catch {
    return undefined;
  }
  return startTicks(record.pid) === record.startTicks ? { pid: record.pid } : undefined;
}

function writeProcess(path: string, pid: number): void {
  writeFileSync(path, JSON.stringify({ pid, startTicks: startTicks(pid) }), { mode: 0o600 });
}

function end(pid: number | undefined, signal: NodeJS.Signals): void {
  if (pid === undefined) return;
  try {
    process.kill(pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

function startTicks(pid: number): string | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, "utf8");
    const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
    return fields[0] === "Z" ? undefined : fields[19];
  } catch {
    return undefined;
  }
}

function unit(launcher: string, dataDir: string): string {
  return `[Unit]
Description=Trivet Kubernetes node
Documentation=file://${launcher.replace(/trivet$/, "README.md")}
After=network-online.target
Wants=network-online.target

[Service]
ExecStart=${launcher} serve --data-dir ${dataDir}
Restart=always
RestartSec=2
KillMode=process
TimeoutStopSec=60
LimitNOFILE=1048576
Delegate=yes

[Install]
WantedBy=multi-user.target
`;
}
