/** The lab's own promises: its hosts, its faults, and that nothing is left when it is taken down. */
import assert from "node:assert/strict";
import { existsSync, readdirSync } from "node:fs";
import { after, before, test } from "node:test";

import { hierarchies } from "#lab/cgroups.ts";
import { formatStatus } from "#lab/commands.ts";
import { createLab, openLab } from "#lab/lab.ts";
import type { Lab } from "#lab/lab.ts";
import { execute, identify, isAlive, waitUntil } from "#lab/processes.ts";

const dir = "/tmp/trivet-lab-e2e";
const echo = [process.execPath, `${import.meta.dirname}/network/echo.ts`];
let lab: Lab;

before(async () => {
  await openLab(dir).then(
    (old) => old.down(),
    () => undefined,
  );
  lab = await createLab({ dir, nodes: 3, subnet: "10.66.78.0/24" });
  for (const { name } of lab.hosts) await lab.spawn(name, "trivet", [...echo, name, "7000"]);
  for (const { address } of lab.hosts) assert.ok(await waitUntil(() => machineHears(address), 10_000));
});

after(async () => {
  await openLab(dir).then(
    (left) => left.down(),
    () => undefined,
  );
});

test("a host has its own name, addresses, files and processes", async () => {
  assert.equal(await lab.must("n1", ["hostname"]), "n1\n");
  assert.match(await lab.must("n1", ["ip", "-br", "addr"]), /10\.66\.78\.11\/24/);
  await lab.must("n1", ["sh", "-c", "echo mine > /var/lib/mine; echo mine > /run/mine"]);
  assert.equal((await lab.run("n2", ["cat", "/var/lib/mine"])).code, 1);
  assert.ok(!existsSync("/run/mine") && existsSync(lab.pathOf("n1", "/var/lib/mine")));
  assert.ok(Number(await lab.must("n1", ["sh", "-c", "ls -d /proc/[0-9]* | wc -l"])) < 10);
});

test("a partition cuts hosts from each other, not from the machine, until it is healed", async () => {
  await lab.partition("n1");
  assert.ok(!(await hears("n1", "n2")) && !(await hears("n3", "n1")));
  assert.ok(await hears("n2", "n3"));
  assert.ok(await machineHears(lab.host("n1").address));
  await lab.heal("n1");
  assert.ok(await hears("n1", "n2"));
});

test("partitions of a pair and of one direction", async () => {
  await lab.partition("n1", { from: ["n2"] });
  assert.ok(!(await hears("n1", "n2")) && (await hears("n1", "n3")));
  await lab.heal("n2");
  await lab.partition("n1", { oneWay: true });
  assert.ok(!(await hears("n1", "n2")), "no answer comes back to the one that is not heard");
  const rules = await execute("nsenter", [`--net=/run/netns/${namespaceName()}`, "nft", "list", "ruleset"]);
  assert.match(rules.stdout, /iifname "p1" oifname "p2" drop/);
  assert.doesNotMatch(rules.stdout, /iifname "p2" oifname "p1" drop/);
  await lab.heal("n1");
});

test("lost frames slow a host down, but don't cut it off", async () => {
  await lab.lose("n2", 20);
  assert.ok(await waitUntil(() => hears("n1", "n2"), 10_000));
  await assert.rejects(lab.lose("n2", 120), /impossible/);
  await lab.heal("n2");
});

test("a paused host is silent and then goes on", async () => {
  await lab.pause("n3");
  assert.ok(!(await machineHears(lab.host("n3").address)));
  assert.equal(lab.status()[2]!.state, "paused");
  await lab.resume("n3");
  assert.ok(await waitUntil(() => machineHears(lab.host("n3").address), 5_000));
});

test("a kill ends everything on the host; start brings its services back with its disk", async () => {
  await lab.spawn("n2", "stray", ["sh", "-c", "setsid sleep 1000 & sleep 1000"], { once: true });
  const { pid } = lab.status()[1]!;
  const before = identify(pid!)!;
  await lab.kill("n2", { power: true });
  assert.ok(!isAlive(before));
  assert.deepEqual(
    lab.status().map(({ state, processes }) => [state, processes > 0]),
    [
      ["running", true],
      ["off", false],
      ["running", true],
    ],
  );
  await assert.rejects(lab.run("n2", ["true"]), /n2 is off/);
  await lab.must("n1", ["sh", "-c", "echo kept > /var/lib/kept"]);
  await lab.kill("n1");
  await lab.start("n1");
  await (await openLab(dir)).start("n2");
  lab = await openLab(dir);
  assert.equal(await lab.must("n1", ["cat", "/var/lib/kept"]), "kept\n");
  assert.equal((await lab.run("n1", ["cat", "/run/mine"])).code, 1, "what was in memory is gone");
  assert.ok(await waitUntil(() => hears("n1", "n2"), 10_000));
});

test("stop ends the services and leaves the host on", async () => {
  await lab.stop("n3");
  assert.match(formatStatus(lab.status()), /^n3 .* stopped /m);
  await lab.start("n3");
  assert.ok(await waitUntil(() => machineHears(lab.host("n3").address), 5_000));
});

test("what this lab was not made for is refused with the way to get it", async () => {
  await assert.rejects(lab.delay("n1", 5), /lab up --delay 0/);
  await assert.rejects(lab.fillDisk("n1"), /lab up --disk-size/);
  await assert.rejects(lab.setClock("n1", 1000), /lab up --movable-clocks/);
});

test("wrong names and a second lab are refused", async () => {
  await assert.rejects(lab.kill("n9"), /no node n9 in the lab; it has n1, n2, n3/);
  await assert.rejects(createLab({ dir, nodes: 1 }), /there is a lab/);
});

test("down leaves nothing", async () => {
  const namespace = namespaceName();
  const inits = lab.hosts.map(({ init }) => init!);
  await lab.pause("n1");
  await lab.down();
  assert.ok(!existsSync(dir));
  assert.ok(!existsSync(`/run/netns/${namespace}`));
  assert.ok(inits.every((init) => !isAlive(init)));
  for (const { mountPoint } of hierarchies()) assert.ok(!readdirSync(mountPoint).includes(namespace));
  assert.doesNotMatch((await execute("ip", ["-br", "link"])).stdout, /tlab-/);
  await assert.rejects(openLab(dir), /no lab in/);
});

function namespaceName(): string {
  return `trivet-${lab.id}`;
}

async function hears(asker: string, target: string): Promise<boolean> {
  const command = ["timeout", "0.7", "busybox", "nc", lab.host(target).address, "7000"];
  return (await lab.run(asker, command)).stdout.startsWith(target);
}

async function machineHears(address: string): Promise<boolean> {
  return (await execute("timeout", ["0.7", "busybox", "nc", address, "7000"])).stdout !== "";
}
