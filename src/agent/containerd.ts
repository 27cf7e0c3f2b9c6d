/**
 * A containerd of this node's own: writes its configuration, starts it in a session of its own so that
 * containers outlive this process, adopts it when it already runs, and starts it again when it dies.
 */
import { spawn } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { dirname, join } from "node:path";
import { FatalError } from "#base/errors.ts";
import type { Clock, Logger, Timer } from "#base/ports.ts";
import { systemClock } from "#client/system-clock.ts";

export interface ContainerdOptions {
  /** Holds root/, state/, config.toml, containerd.log and containerd.pid. */
  dir: string;
  /** Default DIR/containerd.sock. A socket's path must be short (107 bytes). */
  socket?: string;
  sandboxImage: string;
  cniConfDir: string;
  /** Where the CNI plugins are. Default /usr/lib/cni. */
  cniBinDir?: string;
  snapshotter?: string;
  /** Per-registry configuration (hosts.toml), see containerd's hosts documentation. */
  registryConfigDir?: string;
  containerdPath?: string;
  runcPath?: string;
  logger: Logger;
  clock?: Clock;
}

export interface Containerd {
  readonly socket: string;
  readonly pid: number;
  /** It was running already and was taken over. */
  readonly adopted: boolean;
  /** Stops watching over it; containerd and all containers go on. */
  close(): Promise<void>;
  /** Ends containerd itself. Containers whose shims run go on until they are stopped. */
  stop(): Promise<void>;
}

/** Resolves when containerd answers on its socket. */
export async function startContainerd(options: ContainerdOptions): Promise<Containerd> {
  const supervisor = new Supervisor(options);
  await supervisor.start();
  return supervisor;
}

const startLimitMs = 20_000;
const checkMs = 1_000;

class Supervisor implements Containerd {
  readonly socket: string;
  pid = 0;
  adopted = false;
  #options: ContainerdOptions;
  #clock: Clock;
  #timer: Timer | undefined;
  #closed = false;
  #failures = 0;

  constructor(options: ContainerdOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.socket = options.socket ?? join(options.dir, "containerd.sock");
  }

  async start(): Promise<void> {
    const { dir } = this.#options;
    await mkdir(dir, { recursive: true, mode: 0o711 });
    await mkdir(dirname(this.socket), { recursive: true });
    await writeFile(
      join(dir, "config.toml"),
      containerdConfig(this.#options, this.socket, await canRaisePriority()),
    );
    const running = await this.#runningPid();
    if (running !== undefined && (await answers(this.socket))) {
      this.pid = running;
      this.adopted = true;
    } else await this.#launch();
    this.#watch();
  }

  close(): Promise<void> {
    this.#closed = true;
    this.#timer?.cancel();
    return Promise.resolve();
  }

  async stop(): Promise<void> {
    await this.close();
    if ((await this.#runningPid()) === undefined) return;
    process.kill(this.pid, "SIGTERM");
    const endMs = this.#clock.monotonicMs() + 10_000;
    while (isAlive(this.pid)) {
      if (this.#clock.monotonicMs() > endMs) process.kill(this.pid, "SIGKILL");
      await this.#pause(50);
    }
    await rm(join(this.#options.dir, "containerd.pid"), { force: true });
  }

  async #launch(): Promise<void> {
    const { dir, containerdPath } = this.#options;
    const log = openSync(join(dir, "containerd.log"), "a");
    const child = spawn(containerdPath ?? "containerd", ["--config", join(dir, "config.toml")], {
      detached: true,
      stdio: ["ignore", log, log],
      cwd: "/",
    });
    closeSync(log);
    let failure: Error | undefined;
    child.on("error", (error) => {
      failure = error;
    });
    child.unref();
    this.pid = child.pid ?? 0;
    this.adopted = false;
    await writeFile(join(dir, "containerd.pid"), String(this.pid));
    const endMs = this.#clock.monotonicMs() + startLimitMs;
    while (!(await answers(this.socket))) {
      if (failure)
        throw new FatalError("unsupported", `containerd can't be started: ${failure.message}`, {
          cause: failure,
        });
      if (child.exitCode !== null || this.#clock.monotonicMs() > endMs)
        throw new FatalError("unsupported", `containerd did not start; see ${join(dir, "containerd.log")}`);
      await this.#pause(25);
    }
  }

  #watch(): void {
    if (this.#closed) return;
    this.#timer = this.#clock.setTimer(checkMs * 2 ** Math.min(this.#failures, 5), () => void this.#check());
  }

  async #check(): Promise<void> {
    if (!isAlive(this.pid)) {
      this.#options.logger.warn("containerd has ended and is started again", { pid: this.pid });
      try {
        await this.#launch();
        this.#failures = 0;
      } catch (error) {
        this.#failures++;
        this.#options.logger.error("containerd could not be started again", { error: String(error) });
      }
    }
    this.#watch();
  }

  /** The pid of a containerd that was started with our configuration and still lives. */
  async #runningPid(): Promise<number | undefined> {
    const file = join(this.#options.dir, "containerd.pid");
    const pid = Number(await readFile(file, "utf8").catch(() => ""));
    if (!pid || !isAlive(pid)) return undefined;
    const command = await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "");
    return command.includes(join(this.#options.dir, "config.toml")) ? pid : undefined;
  }

  #pause(delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      this.#clock.setTimer(delayMs, resolve);
    });
  }
}

/** containerd's configuration. Without CAP_SYS_RESOURCE no process may be protected from the OOM killer. */
export function containerdConfig(options: ContainerdOptions, socket: string, mayProtect: boolean): string {
  const quote = JSON.stringify;
  const { dir } = options;
  const registry = options.registryConfigDir ?? join(dir, "certs.d");
  return `version = 2
root = ${quote(join(dir, "root"))}
state = ${quote(join(dir, "state"))}
oom_score = ${mayProtect ? -999 : 0}

[grpc]
  address = ${quote(socket)}

[ttrpc]
  address = ${quote(`${socket}.ttrpc`)}

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = ${quote(options.sandboxImage)}
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"
  disable_apparmor = true
  restrict_oom_score_adj = ${!mayProtect}
  netns_mounts_under_state_dir = true
  disable_hugetlb_controller = true
  tolerate_missing_hugetlb_controller = true
  enable_unprivileged_ports = true
  enable_unprivileged_icmp = true

  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = ${quote(registry)}

  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = ${quote(options.snapshotter ?? "overlayfs")}
    default_runtime_name = "runc"

    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"

      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
        BinaryName = ${quote(options.runcPath ?? "/usr/sbin/runc")}

  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = ${quote(options.cniBinDir ?? "/usr/lib/cni")}
    conf_dir = ${quote(options.cniConfDir)}
    max_conf_num = 1
`;
}

/** CAP_SYS_RESOURCE is bit 24. */
async function canRaisePriority(): Promise<boolean> {
  const status = await readFile("/proc/self/status", "utf8");
  const effective = BigInt(`0x${/^CapEff:\s*([0-9a-f]+)/m.exec(status)?.[1] ?? "0"}`);
  return ((effective >> 24n) & 1n) === 1n;
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return pid > 0;
  } catch {
    return false;
  }
}

function answers(socketPath: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(socketPath);
    const end = (result: boolean) => {
      socket.destroy();
      resolve(result);
    };
    socket.on("connect", () => end(true));
    socket.on("error", () => end(false));
  });
}
