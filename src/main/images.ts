/** `trivet images` on the node of a data directory. */
import { accessSync, constants, existsSync, rmSync, statSync } from "node:fs";
import {
  exportImages,
  importArchive as importInto,
  listImages as listOf,
  removeImage,
} from "#agent/images/images.ts";
import { nodePaths } from "./paths.ts";

export async function importArchive(dataDir: string, file: string): Promise<string[]> {
  if (!existsSync(file)) throw new Error(`there is no file ${file}`);
  if (!statSync(file).isFile()) throw new Error(`${file} is not a file: give a docker or OCI archive`);
  const socket = socketOf(dataDir);
  try {
    return await importInto(socket, file);
  } catch (cause) {
    throw new Error(
      `${file} could not be imported as a docker or OCI archive: ${cause instanceof Error ? cause.message : String(cause)}`,
      { cause },
    );
  }
}

export async function exportArchive(dataDir: string, file: string, names: string[]): Promise<void> {
  const socket = socketOf(dataDir);
  const isNew = !existsSync(file);
  try {
    await exportImages(socket, file, names);
  } catch (error) {
    if (isNew) rmSync(file, { force: true });
    throw error;
  }
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
  if (existsSync(dataDir)) accessSync(dataDir, constants.X_OK);
  if (!existsSync(socket))
    throw new Error(`the node's containerd does not run (${dataDir}): start it with "trivet start"`);
  return socket;
}
