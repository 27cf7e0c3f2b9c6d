/**
 * What a command asks of the machine: root, packages, free ports and disk, systemd. Every refusal is
 * one line that says what to do.
 */
import { execFile } from "node:child_process";
import { accessSync, constants, existsSync, readFileSync, statfsSync } from "node:fs";
import { createServer } from "node:net";
import { networkInterfaces } from "node:os";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { FatalError } from "#base/errors.ts";

const run = promisify(execFile);

/** What a node needs of its host: a program, where it may stand, and Debian's package of it. */
const requirements: { program: string; package: string }[] = [
  { program: "containerd", package: "containerd" },
  { program: "ctr", package: "containerd" },
  { program: "runc", package: "runc" },
  { program: "nft", package: "nftables" },
  { program: "ip", package: "iproute2" },
  { program: "iptables", package: "iptables" },
  { program: "/usr/lib/cni/bridge", package: "containernetworking-plugins" },
  { program: "/bin/busybox", package: "busybox-static" },
];

const diskBytesMin = 512 * 1024 * 1024;

export function requireRoot(command: string): void {
  if (process.getuid?.() !== 0) throw new Error(`"trivet ${command}" needs root: run it with sudo`);
}

export function requireLinux(): void {
  if (process.platform !== "linux")
    throw new FatalError(
      "unsupported",
      `this system is ${process.platform}; Trivet runs on Linux (Debian 12 or later)`,
    );
  if (process.arch !== "x64" && process.arch !== "arm64")
    throw new FatalError("unsupported", `this processor is ${process.arch}; Trivet runs on x64 and arm64`);
}

/** Debian packages of requirements that are not there. */
export function missingPackages(): string[] {
  const missing = requirements.filter((each) => findProgram(each.program) === undefined);
  return [...new Set(missing.map((each) => each.package))];
}

/** Installs Debian packages; throws with the last line that apt-get printed. */
export async function installPackages(packages: string[]): Promise<void> {
  if (findProgram("apt-get") === undefined)
    throw new FatalError(
      "unsupported",
      `this system has no apt-get; install these yourself and try again: ${packages.join(", ")}`,
    );
  const environment = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  const options = { env: environment, maxBuffer: 64 * 1024 * 1024 };
  try {
    await run("apt-get", ["update"], options);
    await run("apt-get", ["install", "-y", "--no-install-recommends", ...packages], options);
  } catch (cause) {
    const text = String((cause as { stderr?: string }).stderr ?? cause).trim();
    throw new Error(`apt-get could not install ${packages.join(", ")}: ${text.split("\n").at(-1) ?? ""}`, {
      cause,
    });
  }
}

/** The path of a program in PATH and the system's directories, or undefined. */
export function findProgram(name: string): string | undefined {
  const directories = (process.env["PATH"] ?? "")
    .split(":")
    .concat("/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/bin", "/bin");
  const candidates = name.startsWith("/") ? [name] : directories.map((directory) => join(directory, name));
  return candidates.find((path) => {
    try {
      accessSync(path, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** Throws when the file system of the directory (or of its nearest existing parent) is nearly full. */
export function requireDisk(directory: string): void {
  let existing = directory;
  while (!existsSync(existing)) existing = dirname(existing);
  const { bavail, bsize } = statfsSync(existing);
  if (bavail * bsize < diskBytesMin)
    throw new FatalError(
      "diskFull",
      `${existing} has ${Math.floor((bavail * bsize) / 1048576)} MiB free, and a node needs ${diskBytesMin / 1048576} MiB: make room and try again`,
    );
}

/** Throws FatalError when something else listens on the port. */
export async function requirePort(port: number, purpose: string): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const server = createServer();
    server.once("error", (cause: NodeJS.ErrnoException) => {
      reject(
        cause.code === "EADDRINUSE"
          ? new FatalError(
              "portTaken",
              `port ${port} (${purpose}) is taken by another program${holder(port)}: stop it, or choose another with --${purpose}-port`,
            )
          : cause,
      );
    });
    server.listen({ port, host: "0.0.0.0", exclusive: true }, () => server.close(() => resolve()));
  });
}

/** The value of --timeout in milliseconds. */
export function parseTimeoutMs(text: string): number {
  const seconds = Number(text);
  if (text.trim() === "" || !Number.isFinite(seconds) || seconds < 0)
    throw new Error(`--timeout takes a number of seconds, not "${text}"`);
  return seconds * 1000;
}

export function systemdRuns(): boolean {
  return existsSync("/run/systemd/system");
}

/** The address that this machine is reached at: of the interface with the default route, else the first that is not loopback. */
export function defaultAddress(): string {
  const interfaces = networkInterfaces();
  const route = readFileSync("/proc/net/route", "utf8")
    .split("\n")
    .map((line) => line.split("\t"))
    .find((fields) => fields[1] === "00000000");
  const names = [...(route?.[0] === undefined ? [] : [route[0]]), ...Object.keys(interfaces)];
  for (const name of names) {
    if (/^(lo|veth|trivet|docker|cni)/.test(name)) continue;
    const found = interfaces[name]?.find((each) => each.family === "IPv4" && !each.internal);
    if (found !== undefined) return found.address;
  }
  return "127.0.0.1";
}

/** All addresses that the machine has now. */
export function machineAddresses(): string[] {
  return Object.values(networkInterfaces()).flatMap((each) => (each ?? []).map(({ address }) => address));
}

function holder(port: number): string {
  const hex = port.toString(16).toUpperCase().padStart(4, "0");
  for (const table of ["/proc/net/tcp", "/proc/net/tcp6"]) {
    if (!existsSync(table)) continue;
    const line = readFileSync(table, "utf8")
      .split("\n")
      .find((each) => new RegExp(`^\\s*\\d+: [0-9A-F]+:${hex} [0-9A-F:]+ 0A `).test(each));
    if (line !== undefined) return ` (see "ss -ltnp sport = :${port}")`;
  }
  return "";
}
