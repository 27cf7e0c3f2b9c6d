/**
 * Writes a set of files so that readers see the old set or the new one and never a mixture: the files
 * go into a fresh directory, and one rename moves the symbolic link `..data` to it. The layout is
 * upstream's, which programs that watch their configuration rely on.
 */
import {
  chmod,
  chown,
  mkdir,
  readFile,
  readdir,
  readlink,
  rename,
  rm,
  stat,
  symlink,
  writeFile,
} from "node:fs/promises";
import { dirname, join } from "node:path";
import type { VolumeFiles } from "../plan/volume-files.ts";

/** True when something was changed. `group` owns the files when given (fsGroup). */
export async function writeFilesAtomically(
  directory: string,
  files: VolumeFiles,
  group: number | undefined,
): Promise<boolean> {
  await mkdir(directory, { recursive: true, mode: 0o777 });
  await chmod(directory, group === undefined ? 0o777 : 0o2775);
  if (group !== undefined) await chown(directory, -1, group);
  const current = await currentTarget(directory);
  if (current !== undefined && (await same(join(directory, current), files))) return false;
  const fresh = `..${new Date().toISOString().replaceAll(/[-:T.Z]/g, "_")}${process.hrtime.bigint() % 1_000_000n}`;
  for (const [path, file] of files) {
    const target = join(directory, fresh, path);
    await mkdir(dirname(target), { recursive: true, mode: 0o755 });
    await writeFile(target, file.data);
    // After writing: the process's umask must not count.
    await chmod(target, group === undefined ? file.mode : file.mode | 0o440);
    if (group !== undefined) await chown(target, -1, group);
  }
  await mkdir(join(directory, fresh), { recursive: true, mode: 0o755 });
  await symlink(fresh, join(directory, "..data_tmp")).catch(async (error: NodeJS.ErrnoException) => {
    if (error.code !== "EEXIST") throw error;
    await rm(join(directory, "..data_tmp"));
    await symlink(fresh, join(directory, "..data_tmp"));
  });
  await rename(join(directory, "..data_tmp"), join(directory, "..data"));
  await linkNames(directory, files);
  if (current !== undefined) await rm(join(directory, current), { recursive: true, force: true });
  return true;
}

async function currentTarget(directory: string): Promise<string | undefined> {
  try {
    return await readlink(join(directory, "..data"));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

async function same(directory: string, files: VolumeFiles): Promise<boolean> {
  const present = await listFiles(directory, "");
  if (present.length !== files.size) return false;
  for (const [path, file] of files) {
    if (!present.includes(path)) return false;
    const data = await readFile(join(directory, path));
    if (!data.equals(file.data)) return false;
    const { mode } = await stat(join(directory, path));
    if ((mode & file.mode) !== file.mode) return false;
  }
  return true;
}

async function listFiles(directory: string, prefix: string): Promise<string[]> {
  const result: string[] = [];
  for (const entry of await readdir(join(directory, prefix), { withFileTypes: true })) {
    const path = join(prefix, entry.name);
    if (entry.isDirectory()) result.push(...(await listFiles(directory, path)));
    else result.push(path);
  }
  return result;
}

/** The names that users see are links through `..data`; those of files that are gone go too. */
async function linkNames(directory: string, files: VolumeFiles): Promise<void> {
  const wanted = new Set([...files.keys()].map((path) => path.split("/")[0]!));
  for (const name of await readdir(directory)) {
    if (name.startsWith("..")) continue;
    if (wanted.delete(name)) continue;
    await rm(join(directory, name), { recursive: true, force: true });
  }
  for (const name of wanted) await symlink(join("..data", name), join(directory, name));
}
