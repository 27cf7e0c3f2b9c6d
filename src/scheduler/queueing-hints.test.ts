import assert from "node:assert/strict";
import { test } from "node:test";
import { couldHelp } from "./queueing-hints.ts";
import { makeNodeInfo } from "./node-info.ts";
import { schedule } from "./schedule.ts";
import type { Node, NodeInfo, Pod, Snapshot } from "./types.ts";

function node(name: string, part: { labels?: object; spec?: object; cpu?: string }): NodeInfo {
  const each = {
    metadata: { name, labels: { "kubernetes.io/hostname": name, ...part.labels } },
    spec: { ...part.spec },
    status: { allocatable: { cpu: part.cpu ?? "4", pods: "10" } },
  };
  return makeNodeInfo(each as unknown as Node, []);
}

function refusedBy(nodes: NodeInfo[]): string[] {
  const pod = {
    metadata: { name: "p", namespace: "default", uid: "p" },
    spec: {
      containers: [{ name: "c", resources: { requests: { cpu: "2" } } }],
      nodeSelector: { disk: "ssd" },
    },
    status: {},
  } as unknown as Pod;
  const decision = schedule(pod, { nodes, tallies: new Map() } as unknown as Snapshot, () => 0);
  assert.equal(decision.type, "unschedulable");
  return decision.type === "unschedulable" ? [...decision.refusedBy] : [];
}

test("a decision names the rules that have refused nodes: each node's first objection", () => {
  const ssd = { disk: "ssd" };
  assert.deepEqual(refusedBy([]), []);
  assert.deepEqual(
    refusedBy([
      node("small", { labels: ssd, cpu: "1" }),
      node("other", {}),
      node("cordoned", { labels: ssd, spec: { unschedulable: true } }),
      node("tainted", { labels: ssd, spec: { taints: [{ key: "k", effect: "NoSchedule" }] } }),
    ]),
    ["NodeResourcesFit", "NodeAffinity", "NodeUnschedulable", "TaintToleration"],
  );
});

test("only a change that a rule looks at can change its mind", () => {
  const full = new Set(["NodeResourcesFit"]);
  assert.equal(couldHelp("podRemoved", full), true);
  assert.equal(couldHelp("nodeAllocatable", full), true);
  assert.equal(couldHelp("podAdded", full), false);
  assert.equal(couldHelp("nodeLabels", full), false);
  assert.equal(
    couldHelp("nodeLabels", new Set([...full, "NodeAffinity"])),
    true,
    "another node may fit then",
  );
  assert.equal(couldHelp("storage", new Set()), true, "nobody knows why");
});
