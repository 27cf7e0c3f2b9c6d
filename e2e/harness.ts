/** What end-to-end tests share: running programs, kubectl, waiting for conditions, a lab that is always taken down. */
import { spawn, spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";

export const root = new URL("..", import.meta.url).pathname.replace(/\/$/, "");
export const launcher = `${root}/trivet`;
export const isRoot = process.getuid?.() === 0;
/** For `test(name, { skip: … })`: says why where a test can't run. */
export const skipUnlessRoot = isRoot ? false : "needs root";

export interface Outcome {
  code: number;
  stdout: string;
  stderr: string;
}

/** Runs a program to its end. Never throws for an exit code. */
export async function run(
  command: string,
  args: string[],
  options: { input?: string; timeoutMs?: number; env?: Record<string, string> } = {},
): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { env: { ...process.env, ...options.env }, stdio: "pipe" });
    let stdout = "";
    let stderr = "";
    child.stdout.on("data", (chunk: Buffer) => (stdout += chunk.toString()));
    child.stderr.on("data", (chunk: Buffer) => (stderr += chunk.toString()));
    const timer = setTimeout(() => {
      stderr += `\n[ended by the test after ${options.timeoutMs ?? 120_000} ms]`;
      child.kill("SIGKILL");
    }, options.timeoutMs ?? 120_000);
    child.once("error", reject);
    child.once("close", (code) => {
      clearTimeout(timer);
      resolve({ code: code ?? -1, stdout, stderr });
    });
    child.stdin.on("error", () => undefined);
    child.stdin.end(options.input ?? "");
  });
}

/** Runs a program that must succeed; returns its standard output. */
export async function must(
  command: string,
  args: string[],
  options: { input?: string; timeoutMs?: number; env?: Record<string, string> } = {},
): Promise<string> {
  const outcome = await run(command, args, options);
  if (outcome.code !== 0)
    throw new Error(
      `${command} ${args.join(" ")} ended with ${outcome.code}\n${outcome.stdout}${outcome.stderr}`,
    );
  return outcome.stdout;
}

/** Polls until the condition gives something true. Throws with what it last saw when the time is over. */
export async function waitFor<T>(
  what: string,
  timeoutMs: number,
  condition: () => Promise<T | undefined | false> | T | undefined | false,
): Promise<T> {
  const deadlineMs = Date.now() + timeoutMs;
  let last: unknown;
  for (;;) {
    try {
      const value = await condition();
      if (value !== undefined && value !== false) return value;
      last = value;
    } catch (error) {
      last = error;
    }
    if (Date.now() > deadlineMs)
      throw new Error(`${what}: not within ${timeoutMs} ms (last: ${String(last)})`, { cause: last });
    await delay(100);
  }
}

/** A kubectl for one kubeconfig: `await kubectl("get", "pods")`. */
export class Kubectl {
  readonly kubeconfig: string;
  readonly #flags: string[];

  /** `server`: another API server than the kubeconfig's. */
  constructor(kubeconfig: string, server?: string) {
    this.kubeconfig = kubeconfig;
    this.#flags = server === undefined ? [] : ["--server", server];
  }

  async run(args: string[], input?: string, timeoutMs = 120_000): Promise<Outcome> {
    return run(kubectlPath(), [...this.#flags, ...args], {
      env: { KUBECONFIG: this.kubeconfig },
      timeoutMs,
      ...(input === undefined ? {} : { input }),
    });
  }

  async ok(args: string[], input?: string, timeoutMs = 120_000): Promise<string> {
    const outcome = await this.run(args, input, timeoutMs);
    if (outcome.code !== 0)
      throw new Error(
        `kubectl ${args.join(" ")} ended with ${outcome.code}\n${outcome.stdout}${outcome.stderr}`,
      );
    return outcome.stdout;
  }

  async json<T = Record<string, never>>(args: string[]): Promise<T> {
    return JSON.parse(await this.ok([...args, "-o", "json"])) as T;
  }

  async apply(...objects: unknown[]): Promise<string> {
    return this.ok(["apply", "-f", "-"], JSON.stringify({ apiVersion: "v1", kind: "List", items: objects }));
  }
}

/** The kubectl to test with. Debian's own (1.20) is too old for parts of the tests. */
export function kubectlPath(): string {
  const found = (process.env["PATH"] ?? "")
    .split(":")
    .map((each) => `${each}/kubectl`)
    .find((each) => existsSync(each));
  if (found === undefined) throw new Error("kubectl is not installed: apt-get install kubernetes-client");
  return found;
}

export const hasKubectl = spawnSync("kubectl", ["version", "--client"], { stdio: "ignore" }).status === 0;
