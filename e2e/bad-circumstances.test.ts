/**
 * `up` in circumstances that it can't work in, and over directories that were broken or left half-made:
 * one clear line, an exit code that isn't 0, nothing half-done left behind. All of it in a network
 * namespace of its own, so that no other node of this machine is touched.
 */
import assert from "node:assert/strict";
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { spawn } from "node:child_process";
import { after, before, test } from "node:test";
import { launcher, must, run, skipUnlessRoot, waitFor } from "./harness.ts";
import type { Outcome } from "./harness.ts";

const namespace = "trivet-bad";
const dataDir = "/var/lib/trivet-bad";
const spare = "/tmp/trivet-bad";
const options = { skip: skipUnlessRoot };

/** Trivet in the namespace, with a home of its own. */
function trivet(...args: string[]): Promise<Outcome> {
  return run("nsenter", [`--net=/run/netns/${namespace}`, launcher, ...args, "--data-dir", dataDir], {
    env: { HOME: spare },
    timeoutMs: 40_000,
  });
}

function refused(outcome: Outcome, code: number, message: RegExp): void {
  assert.equal(outcome.code, code, outcome.stderr);
  const lines = outcome.stderr.split("\n").filter((line) => line.startsWith("trivet: "));
  assert.equal(lines.length, 1, outcome.stderr);
  assert.match(lines[0] ?? "", message);
}

async function cleanUp(): Promise<void> {
  if (existsSync(`/run/netns/${namespace}`)) {
    await trivet("reset", "--yes");
    await must("ip", ["netns", "delete", namespace]);
  }
  rmSync(spare, { recursive: true, force: true });
}

before(async () => {
  if (skipUnlessRoot !== false) return;
  await cleanUp();
  mkdirSync(spare);
  const inside = ["netns", "exec", namespace, "ip"];
  await must("ip", ["netns", "add", namespace]);
  await must("ip", [...inside, "link", "set", "lo", "up"]);
  await must("ip", [...inside, "link", "add", "eth0", "type", "veth", "peer", "name", "eth1"]);
  await must("ip", [...inside, "address", "add", "198.51.100.2/24", "dev", "eth0"]);
  for (const device of ["eth0", "eth1"]) await must("ip", [...inside, "link", "set", device, "up"]);
  await must("ip", [...inside, "route", "add", "default", "via", "198.51.100.1"]);
});

after(async () => {
  if (skipUnlessRoot === false) await cleanUp();
});

test("wrong flags are refused before anything is made", options, async () => {
  refused(await trivet("up", "--api-port", "x"), 1, /--api-port takes a port number/);
  refused(await trivet("up", "--address", "999.1.1.1"), 1, /--address takes an IPv4 address/);
  refused(await trivet("up", "--timeout", "soon"), 1, /--timeout takes a number of seconds/);
  refused(await trivet("up", "--cluster-cidr", "10.1"), 1, /--cluster-cidr takes an IPv4 block/);
  refused(await trivet("up", "--name", "Not a name"), 1, /can't be a node's name/);
  assert.equal(existsSync(dataDir), false);
});

test("up with a port taken names the port", options, async () => {
  const script = `require("net").createServer().listen(16443, () => console.log("listening"))`;
  const holder = spawn("nsenter", [`--net=/run/netns/${namespace}`, process.execPath, "-e", script]);
  try {
    await new Promise((resolve) => holder.stdout.once("data", resolve));
    refused(await trivet("up"), 72, /port 16443 \(api\) is taken/);
    assert.equal(existsSync(dataDir), false);
  } finally {
    holder.kill("SIGKILL");
  }
});

test("up on a full disk says how much is missing", options, async () => {
  mkdirSync(dataDir);
  await must("mount", ["-t", "tmpfs", "-o", "size=16m", "tmpfs", dataDir]);
  try {
    refused(await trivet("up"), 71, /MiB free, and a node needs 512 MiB/);
    assert.deepEqual(readdirSync(dataDir), []);
  } finally {
    await must("umount", [dataDir]);
    rmSync(dataDir, { recursive: true });
  }
});

test(
  "up that was killed at any moment goes on when it is run again; another up changes nothing",
  options,
  async () => {
    const args = [`--net=/run/netns/${namespace}`, launcher, "up", "--data-dir", dataDir];
    for (const [moment, path] of [
      ["while it makes keys", "pki"],
      ["while the node starts", "trivet.log"],
    ] as const) {
      const child = spawn("nsenter", args, { env: { ...process.env, HOME: spare }, stdio: "ignore" });
      const ended = new Promise((resolve) => child.once("exit", resolve));
      await waitFor(moment, 20_000, () => existsSync(`${dataDir}/${path}`));
      child.kill("SIGKILL");
      await ended;
    }
    const again = await trivet("up");
    assert.equal(again.code, 0, again.stderr);
    const third = await trivet("up");
    assert.equal(third.code, 0);
    assert.match(third.stderr, /already up and Ready: nothing to do/);
    refused(await trivet("serve"), 1, /a node already runs/);
  },
);

test("a broken data directory is named, and its keys are never replaced", options, async () => {
  assert.equal((await trivet("stop")).code, 0);
  cpSync(dataDir, `${spare}/copy`, {
    recursive: true,
    filter: (path) => !/containerd|pod-logs|agent$/.test(path),
  });
  const restore = (path: string): void => {
    rmSync(`${dataDir}/${path}`, { recursive: true, force: true });
    cpSync(`${spare}/copy/${path}`, `${dataDir}/${path}`, { recursive: true });
  };
  const authority = readFileSync(`${dataDir}/pki/ca.key`, "utf8");

  writeFileSync(`${dataDir}/node.json`, "{");
  refused(await trivet("up"), 73, /node\.json can't be used: it is not JSON/);
  rmSync(`${dataDir}/node.json`);
  refused(await trivet("up"), 73, /has a datastore but no node\.json/);
  assert.equal(readFileSync(`${dataDir}/pki/ca.key`, "utf8"), authority);
  restore("node.json");

  rmSync(`${dataDir}/pki/ca.key`);
  refused(await trivet("up"), 73, /pki\/ca\.key is missing.*trivet restore FILE/);
  restore("pki");
  writeFileSync(`${dataDir}/pki/ca.crt`, "rubbish");
  refused(await trivet("up"), 73, /pki\/ca\.crt is damaged/);
  restore("pki");

  for (const file of ["state.db-wal", "state.db-shm"]) rmSync(`${dataDir}/replica/${file}`, { force: true });
  truncateSync(`${dataDir}/replica/state.db`, 5_000);
  refused(await trivet("up"), 1, /the node ended while it started/);
  restore("replica");

  const whole = await trivet("up");
  assert.equal(whole.code, 0, whole.stderr);
});

test("reset leaves nothing", options, async () => {
  const outcome = await trivet("reset", "--yes");
  assert.equal(outcome.code, 0, outcome.stderr);
  assert.equal(existsSync(dataDir), false);
  assert.ok(!readFileSync("/proc/mounts", "utf8").includes(`${dataDir}/`));
  const inside = ["netns", "exec", namespace];
  assert.equal((await must("ip", [...inside, "nft", "list", "tables"])).includes("trivet"), false);
  assert.equal((await must("ip", [...inside, "ip", "-brief", "link"])).includes("trivet"), false);
  const processes = await must("ps", ["-eo", "args"]);
  assert.ok(!processes.split("\n").some((line) => line.includes(`${dataDir}/`)), "a process is left");
});
