/**
 * The launcher installs with `npm ci`, which refuses a lock file that lacks an optional package of any
 * platform. A registry that mirrors only some platforms makes `npm install` write such a file.
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

interface LockedPackage {
  resolved?: string;
  optionalDependencies?: Record<string, string>;
}

const { packages } = JSON.parse(readFileSync(new URL("../package-lock.json", import.meta.url), "utf8")) as {
  packages: Record<string, LockedPackage>;
};

test("package-lock.json names the optional packages of every platform", () => {
  const missing: string[] = [];
  for (const [path, { optionalDependencies }] of Object.entries(packages))
    for (const name of Object.keys(optionalDependencies ?? {}))
      if (
        packages[`node_modules/${name}`] === undefined &&
        packages[`${path}/node_modules/${name}`] === undefined
      )
        missing.push(name);
  assert.deepEqual(missing, [], "add them with their version, os and cpu: npm ci fails without them");
});

test("package-lock.json names no registry", () => {
  const resolved = Object.values(packages).filter((each) => each.resolved?.startsWith("http") === true);
  assert.deepEqual(resolved, []);
});
