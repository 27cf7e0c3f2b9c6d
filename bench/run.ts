/**
 * `npm run bench`: runs every benchmark in turn, or those named (`npm run bench -- store api`). Each prints its own
 * table. `--quick`, `--seconds N` and `--rounds N` go to all of them; `npm run bench -- datastore` is all of the datastore.
 */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { cpus, release } from "node:os";
import { parseArgs } from "node:util";

/** As the launcher starts a node. The compile cache holds after the first run. */
const flags = ["--disable-warning=ExperimentalWarning", "--max-semi-space-size=4"];
const env = {
  ...process.env,
  MALLOC_ARENA_MAX: "2",
  NODE_COMPILE_CACHE: new URL("../node_modules/.cache/trivet", import.meta.url).pathname,
};
/** All beside an etcd, but `memory`, `replace` and `idle-disk`. */
const datastore = [
  "store",
  "reads",
  "etcd-api",
  "watch-lag",
  "failover",
  "handover",
  "replace",
  "growth",
  "disk",
  "idle-disk",
  "memory",
  "footprint",
];
const all = ["node", "api", ...datastore, "scheduling"];
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { quick: { type: "boolean" }, seconds: { type: "string" }, rounds: { type: "string" } },
});
const passed = Object.entries(values).map(([name, value]) =>
  value === true ? `--${name}` : `--${name}=${String(value)}`,
);
const wanted = positionals.flatMap((name) => (name === "datastore" ? datastore : [name]));
const unknown = wanted.filter((each) => !all.includes(each));
if (unknown.length > 0) {
  console.error(`no benchmark named ${unknown.join(", ")}: there are ${all.join(", ")}`);
  process.exit(1);
}

console.log(
  `${new Date().toISOString().slice(0, 10)}, ${cpus().length} x ${cpus()[0]?.model ?? "?"}, Linux ${release()}, Node ${process.version}`,
);
for (const name of wanted.length > 0 ? wanted : all) {
  const file = new URL(`./${name}.ts`, import.meta.url).pathname;
  if (!existsSync(file)) throw new Error(`${file} is missing`);
  const { status } = spawnSync(process.execPath, [...flags, file, ...passed], { stdio: "inherit", env });
  if (status !== 0) process.exitCode = 1;
}
