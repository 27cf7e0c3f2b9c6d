/**
 * Processes as the lab must know them across its own restarts: a pid alone may be someone else's tomorrow,
 * so it goes with the start time. Also runs the host's tools with a deadline.
 */
import { execFile } from "node:child_process";
import { readFileSync, readdirSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

export interface ProcessId {
  pid: number;
  /** Clock ticks since boot (proc(5), stat, field 22). */
  startTicks: number;
}

export interface CommandResult {
  code: number;
  stdout: string;
  stderr: string;
}

/** Resolves whatever the exit code; -1 if it could not be started or was killed. */
export function execute(
  command: string,
  args: readonly string[],
  options: { input?: string; timeoutMs?: number; env?: NodeJS.ProcessEnv } = {},
): Promise<CommandResult> {
  return new Promise((resolve) => {
    const child = execFile(
      command,
      args,
      {
        timeout: options.timeoutMs ?? 60_000,
        killSignal: "SIGKILL",
        maxBuffer: 64 * 1024 * 1024,
        encoding: "utf8",
        env: options.env ?? process.env,
      },
      (error, stdout, stderr) => {
        const code = error === null ? 0 : typeof error.code === "number" ? error.code : -1;
        resolve({ code, stdout, stderr: code === -1 && stderr === "" ? (error?.message ?? "") : stderr });
      },
    );
    child.stdin?.on("error", () => {});
    child.stdin?.end(options.input ?? "");
  });
}

/** Like execute, but rejects unless the command succeeds. */
export async function must(command: string, args: readonly string[], input?: string): Promise<string> {
  const { code, stdout, stderr } = await execute(command, args, input === undefined ? {} : { input });
  if (code !== 0) throw new Error(`${command} ${args.join(" ")}: ${stderr.trim() || `exit code ${code}`}`);
  return stdout;
}

/** Undefined if there is no such process, or only its remains that wait to be reaped. */
export function identify(pid: number): ProcessId | undefined {
  const stat = readStat(pid);
  return stat === undefined || stat.state === "Z" ? undefined : { pid, startTicks: stat.startTicks };
}

export function isAlive(process: ProcessId | undefined): process is ProcessId {
  return process !== undefined && identify(process.pid)?.startTicks === process.startTicks;
}

/** Sends the signal unless the process is gone. */
export function signal(target: ProcessId, name: NodeJS.Signals): void {
  if (!isAlive(target)) return;
  try {
    process.kill(target.pid, name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

/** True once the process is gone, false when the time is over. */
export async function waitForExit(target: ProcessId, timeoutMs: number): Promise<boolean> {
  return waitUntil(() => !isAlive(target), timeoutMs);
}

/** Asks again and again, at first often, until the condition holds (true) or the time is over (false). */
export async function waitUntil(
  condition: () => boolean | Promise<boolean>,
  timeoutMs: number,
): Promise<boolean> {
  const deadline = performance.now() + timeoutMs;
  for (let pauseMs = 5; ; pauseMs = Math.min(pauseMs * 1.5, 200)) {
    if (await condition()) return true;
    if (performance.now() > deadline) return false;
    await sleep(pauseMs);
  }
}

export function childrenOf(parent: number): ProcessId[] {
  const children: ProcessId[] = [];
  for (const entry of readdirSync("/proc")) {
    const pid = Number(entry);
    if (!Number.isInteger(pid)) continue;
    const stat = readStat(pid);
    if (stat?.parent === parent && stat.state !== "Z") children.push({ pid, startTicks: stat.startTicks });
  }
  return children;
}

/** The name of the program, at most 15 characters (proc(5), comm). */
export function programName(pid: number): string {
  return readStat(pid)?.name ?? "";
}

function readStat(
  pid: number,
): { name: string; state: string; parent: number; startTicks: number } | undefined {
  let text: string;
  try {
    text = readFileSync(`/proc/${pid}/stat`, "utf8");
  } catch {
    return undefined; // it ended meanwhile
  }
  // The name stands in parentheses and may itself contain any character.
  const close = text.lastIndexOf(")");
  const fields = text.slice(close + 2).split(" ");
  return {
    name: text.slice(text.indexOf("(") + 1, close),
    state: fields[0]!,
    parent: Number(fields[1]),
    startTicks: Number(fields[19]),
  };
}
