/** The kernel's mount table and the mount command: all that the agent mounts or unmounts goes through here. */
import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { promisify } from "node:util";

const run = promisify(execFile);

/** Mount points at or below the path, deepest first. */
export async function mountsBelow(path: string): Promise<string[]> {
  const table = await readFile("/proc/self/mountinfo", "utf8");
  return table
    .split("\n")
    .map((line) => unescape(line.split(" ")[4] ?? ""))
    .filter((point) => point === path || point.startsWith(`${path}/`))
    .sort((a, b) => b.length - a.length);
}

export async function isMountPoint(path: string): Promise<boolean> {
  return (await mountsBelow(path)).includes(path);
}

/** `sizeBytes` undefined: half of the memory, the kernel's default. */
export async function mountTmpfs(path: string, sizeBytes: number | undefined, mode: string): Promise<void> {
  const options = [`mode=${mode}`, ...(sizeBytes === undefined ? [] : [`size=${sizeBytes}`])].join(",");
  await run("mount", ["-t", "tmpfs", "-o", options, "tmpfs", path]);
}

/** Unmounts everything at or below the path. */
export async function unmountBelow(path: string): Promise<void> {
  for (const point of await mountsBelow(path)) await run("umount", ["-l", point]);
}

/** mountinfo writes blanks and backslashes as octal. */
function unescape(text: string): string {
  return text.replaceAll(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(parseInt(octal, 8)));
}
