/** hostPath volumes: checks, and where the type asks for it makes, what the path names. */
import { mkdir, open, stat } from "node:fs/promises";

/** Resolves to the path. Rejects when what is there isn't what the type says. */
export async function ensureHostPath(path: string, type = ""): Promise<string> {
  if (type === "DirectoryOrCreate") await mkdir(path, { recursive: true, mode: 0o755 });
  if (type === "FileOrCreate") await (await open(path, "a", 0o644)).close();
  if (type === "") {
    // The runtime would make a missing source too; made here it has upstream's mode.
    if (!(await exists(path))) await mkdir(path, { recursive: true, mode: 0o755 });
    return path;
  }
  const info = await stat(path).catch(() => undefined);
  const checks: Record<string, boolean | undefined> = {
    Directory: info?.isDirectory(),
    DirectoryOrCreate: info?.isDirectory(),
    File: info?.isFile(),
    FileOrCreate: info?.isFile(),
    Socket: info?.isSocket(),
    CharDevice: info?.isCharacterDevice(),
    BlockDevice: info?.isBlockDevice(),
  };
  if (checks[type] !== true)
    throw new Error(`hostPath type check failed: ${path} is not ${nouns[type] ?? type}`);
  return path;
}

const nouns: Readonly<Record<string, string>> = {
  Directory: "a directory",
  DirectoryOrCreate: "a directory",
  File: "a file",
  FileOrCreate: "a file",
  Socket: "a socket file",
  CharDevice: "a character device",
  BlockDevice: "a block device",
};

async function exists(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined)) !== undefined;
}
