/** `trivet images` on the node of a data directory. */
import { existsSync } from "node:fs";
import {
  exportImages,
  importArchive as importInto,
  listImages as listOf,
  removeImage,
} from "#agent/images/images.ts";
import { nodePaths } from "./paths.ts";

export async function importArchive(dataDir: string, file: string): Promise<string[]> {
  if (!existsSync(file)) throw new Error(`there is no file ${file}`);
  return importInto(socketOf(dataDir), file);
}

export async function exportArchive(dataDir: string, file: string, names: string[]): Promise<void> {
  await exportImages(socketOf(dataDir), file, names);
}

export async function listImages(dataDir: string): Promise<{ name: string; sizeBytes: number }[]> {
  const images = await listOf(socketOf(dataDir));
  return images.map(({ id, names, sizeBytes }) => ({ name: names[0] ?? id, sizeBytes }));
}

export async function removeImages(dataDir: string, names: string[]): Promise<void> {
  for (const name of names) await removeImage(socketOf(dataDir), name);
}

function socketOf(dataDir: string): string {
  const socket = nodePaths(dataDir).containerdSocket;
  if (!existsSync(socket))
    throw new Error(`the node's containerd does not run (${dataDir}): start it with "trivet start"`);
  return socket;
}
