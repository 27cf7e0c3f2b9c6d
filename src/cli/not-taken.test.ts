import assert from "node:assert/strict";
import { test } from "node:test";
import { defaultPorts, defaultSettings } from "#cluster/identity.ts";
import type { NodeIdentity } from "#cluster/identity.ts";
import { notTaken } from "./not-taken.ts";

const present: NodeIdentity = {
  format: 1,
  name: "n1",
  role: "control-plane",
  address: "10.0.0.1",
  failureDomain: "",
  ports: defaultPorts,
  settings: { ...defaultSettings, voters: 5 },
  endpoints: [],
  state: "ready",
};
const same = { dataDir: "/d", name: "n1", address: "10.0.0.1", failureDomain: "", ports: defaultPorts };

test("a second up with the same flags, or with none, says nothing", () => {
  assert.deepEqual(notTaken(present, same, defaultSettings, { voters: "3" }), []);
  const settings = { ...defaultSettings, voters: 5 };
  assert.deepEqual(notTaken(present, same, settings, { voters: "5", name: "n1", apiPort: "16443" }), []);
});

test("flags that a node which exists does not take are named, with what to do instead", () => {
  const lines = notTaken(
    present,
    { ...same, address: "10.0.0.2", failureDomain: "rack-b" },
    { ...defaultSettings, voters: 7, datastore: { endpoints: ["https://e:2379"], prefix: "/trivet/" } },
    { voters: "7", address: "10.0.0.2", failureDomain: "rack-b" },
  );
  assert.deepEqual(lines, [
    '--address: this node keeps 10.0.0.1; use "trivet restart --address"',
    "--failure-domain: this node keeps none; only a new node takes another",
    '--voters: the cluster exists; use "trivet voters 7"',
    "--datastore: the cluster keeps the datastore that it was made with",
  ]);
});

test("a wrong datastore may be corrected until the first node has come up", () => {
  const datastore = { endpoints: ["https://wrong:2379"], prefix: "/trivet/" };
  const creating: NodeIdentity = {
    ...present,
    state: "creating",
    settings: { ...present.settings, datastore },
  };
  const settings = { ...defaultSettings, datastore: { ...datastore, endpoints: ["https://right:2379"] } };
  assert.deepEqual(notTaken(creating, same, settings, { voters: "3" }), []);
  assert.equal(notTaken({ ...creating, state: "ready" }, same, settings, { voters: "3" }).length, 1);
});
