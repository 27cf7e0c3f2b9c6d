/**
 * Starts and stops the node in the background: a systemd unit where systemd runs, else a detached
 * process whose id stands in DATA/trivet.pid.
 */
import { execFileSync, spawn } from "node:child_process";
import { openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { systemdRuns } from "./system.ts";

const unitPath = "/etc/systemd/system/trivet.service";
const defaultDataDir = "/var/lib/trivet";

export interface NodeProcess {
  pid: number;
}

/** The running node of this data directory, or undefined. */
export function findNode(dataDir: string): NodeProcess | undefined {
  let record: { pid: number; startTicks: string };
  try {
    record = JSON.parse(readFileSync(pidPath(dataDir), "utf8")) as typeof record;
  } catch {
    return undefined;
  }
  // A process id may have been given to another program since: the start time tells them apart.
  return startTicks(record.pid) === record.startTicks ? { pid: record.pid } : undefined;
}

/** Called by the node itself when it starts. */
export function writePidFile(dataDir: string): void {
  writeFileSync(pidPath(dataDir), JSON.stringify({ pid: process.pid, startTicks: startTicks(process.pid) }), {
    mode: 0o600,
  });
}

export function removePidFile(dataDir: string): void {
  rmSync(pidPath(dataDir), { force: true });
}

/** Starts the node; returns at once. Does nothing when it runs. */
export function startNode(dataDir: string, launcher: string): "started" | "running" {
  if (findNode(dataDir) !== undefined) return "running";
  if (systemdRuns() && dataDir === defaultDataDir) {
    writeFileSync(unitPath, unit(launcher, dataDir));
    execFileSync("systemctl", ["daemon-reload"]);
    execFileSync("systemctl", ["enable", "--now", "--quiet", "trivet.service"]);
    return "started";
  }
  const log = openSync(join(dataDir, "trivet.log"), "a", 0o600);
  const child = spawn(launcher, ["serve", "--data-dir", dataDir], {
    detached: true,
    stdio: ["ignore", log, log],
    cwd: "/",
  });
  child.unref();
  return "started";
}

/** Asks the node to stop gracefully and waits; kills it after the timeout. */
export async function stopNode(dataDir: string, timeoutMs: number): Promise<"stopped" | "not running"> {
  const node = findNode(dataDir);
  if (node === undefined) return "not running";
  if (systemdRuns() && dataDir === defaultDataDir) {
    execFileSync("systemctl", ["disable", "--now", "--quiet", "trivet.service"]);
    return "stopped";
  }
  process.kill(node.pid, "SIGTERM");
  const deadlineMs = Date.now() + timeoutMs;
  while (findNode(dataDir) !== undefined) {
    if (Date.now() > deadlineMs) {
      process.kill(node.pid, "SIGKILL");
      break;
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  removePidFile(dataDir);
  return "stopped";
}

/** The last lines of the node's log, for the one who reads why a start failed. */
export function lastLogLines(dataDir: string, count: number): string {
  try {
    return readFileSync(join(dataDir, "trivet.log"), "utf8").trimEnd().split("\n").slice(-count).join("\n");
  } catch {
    return "";
  }
}

export function removeUnit(): void {
  if (systemdRuns()) rmSync(unitPath, { force: true });
}

function pidPath(dataDir: string): string {
  return join(dataDir, "trivet.pid");
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
