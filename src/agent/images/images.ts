/**
 * The images that Trivet makes itself, without any registry, and the import and export of archives. The
 * pause image holds pods' namespaces; the demo image is a busybox with a small web server.
 */
import { execFile, spawn } from "node:child_process";
import { readFile } from "node:fs/promises";
import { arch } from "node:os";
import { promisify } from "node:util";
import { RuntimeClient } from "../cri/runtime-client.ts";
import { demoEntries } from "./demo.ts";
import { dockerArchive } from "./docker-archive.ts";
import type { Architecture } from "./elf.ts";
import { pauseProgram } from "./pause-program.ts";

export const pauseImageName = "trivet.local/pause:0.1";
export const demoImageName = "trivet.local/demo:0.1";

/** The architecture of this machine. */
export function hostArchitecture(): Architecture {
  return arch() === "arm64" ? "arm64" : "amd64";
}

export function buildPauseImage(architecture: Architecture = hostArchitecture()): Promise<Buffer> {
  return dockerArchive({
    name: pauseImageName,
    architecture,
    entries: [{ path: "pause", type: "file", mode: 0o755, data: pauseProgram(architecture) }],
    config: { Entrypoint: ["/pause"], WorkingDir: "/", User: "65535:65535" },
  });
}

/** @param busybox path of a static busybox (Debian: package busybox-static). */
export async function buildDemoImage(busybox = "/bin/busybox"): Promise<Buffer> {
  const binary = await readFile(busybox);
  const { stdout } = await promisify(execFile)(busybox, ["--list"]);
  return dockerArchive({
    name: demoImageName,
    architecture: hostArchitecture(),
    entries: demoEntries(
      binary,
      stdout.split("\n").filter((name) => name !== "" && name !== "busybox"),
    ),
    config: {
      Entrypoint: ["/bin/demo"],
      Env: ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "PORT=8080"],
      WorkingDir: "/",
      ExposedPorts: { "8080/tcp": {} },
    },
  });
}

/**
 * Imports a docker or OCI archive (plain or compressed) into containerd for use by pods. Returns the
 * names of the images in it. A string is a path.
 */
export async function importArchive(socket: string, archive: Uint8Array | string): Promise<string[]> {
  const before = new Set((await listImages(socket)).flatMap((each) => [each.id, ...each.names]));
  const data = typeof archive === "string" ? await readFile(archive) : archive;
  const output = await ctr(socket, ["images", "import", "--all-platforms", "-"], data);
  const named = [...output.matchAll(/^unpacking (\S+) /gm)].map((match) => match[1]!);
  if (named.length > 0) return named;
  return (await listImages(socket)).flatMap((each) => each.names).filter((name) => !before.has(name));
}

/** Writes the images into an archive (OCI layout with docker's manifest) at the path. */
export async function exportImages(socket: string, path: string, names: readonly string[]): Promise<void> {
  await ctr(socket, ["images", "export", path, ...names]);
}

export interface ListedImage {
  id: string;
  names: string[];
  sizeBytes: number;
}

export async function listImages(socket: string): Promise<ListedImage[]> {
  const runtime = new RuntimeClient(socket);
  try {
    const images = await runtime.listImages();
    return images.map(({ id, repoTags, repoDigests, size }) => ({
      id,
      names: [...repoTags, ...repoDigests],
      sizeBytes: Number(size),
    }));
  } finally {
    runtime.close();
  }
}

export async function removeImage(socket: string, name: string): Promise<void> {
  const runtime = new RuntimeClient(socket);
  try {
    if (!(await runtime.imageStatus(name))) throw new Error(`image ${name} is not on this node`);
    await runtime.removeImage(name);
  } finally {
    runtime.close();
  }
}

/** Makes and imports the pause image unless it is there: no pod runs without it. */
export async function ensurePauseImage(socket: string): Promise<void> {
  const present = (await listImages(socket)).some((each) => each.names.includes(pauseImageName));
  if (!present) await importArchive(socket, await buildPauseImage());
}

async function ctr(socket: string, words: readonly string[], input?: Uint8Array): Promise<string> {
  const child = spawn("ctr", ["--address", socket, "--namespace", "k8s.io", ...words], {
    stdio: ["pipe", "pipe", "pipe"],
  });
  const output: Buffer[] = [];
  const errors: Buffer[] = [];
  child.stdout.on("data", (chunk: Buffer) => output.push(chunk));
  child.stderr.on("data", (chunk: Buffer) => errors.push(chunk));
  // A broken pipe shows itself by the exit code, with a better text.
  child.stdin.on("error", () => undefined);
  child.stdin.end(input ?? Buffer.alloc(0));
  const code = await new Promise<number | null>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", resolve);
  });
  if (code !== 0) {
    const text = Buffer.concat(errors).toString("utf8").trim().split("\n").at(-1) ?? "";
    throw new Error(text.replace(/^ctr: /, "") || `ctr ended with ${code}`);
  }
  return Buffer.concat(output).toString("utf8");
}
