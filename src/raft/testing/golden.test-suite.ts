/** Where the recorded scenarios of etcd's raft library are, if they are on this machine (they are no part of the project). */

import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

const directory = join(import.meta.dirname, "../../../../shared/golden/raft");

/** Undefined: the test is run. Else why it is skipped. */
export const goldenSkip = existsSync(directory) ? false : "../shared/golden/raft is absent";

export function goldenFiles(folder: string): { name: string; text: string }[] {
  const path = join(directory, folder);
  if (!existsSync(path)) return [];
  return readdirSync(path)
    .filter((name) => name.endsWith(".txt"))
    .map((name) => ({ name, text: readFileSync(join(path, name), "utf8") }));
}
