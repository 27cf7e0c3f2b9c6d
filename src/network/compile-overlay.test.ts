import assert from "node:assert/strict";
import { test } from "node:test";

import { compileOverlay, overlayCommands } from "./compile-overlay.ts";
import type { OverlayState } from "./compile-overlay.ts";
import type { Node } from "./objects.ts";

const nothing: OverlayState = { routes: [], neighbours: [], forwarding: [] };
const self = { name: "n1", nodeIP: "10.66.0.11" };

test("without a pod CIDR of its own a node has no overlay", () => {
  assert.equal(compileOverlay([node("n2", 2)], self), undefined);
  assert.equal(compileOverlay([{ metadata: { name: "n1" }, spec: {} }], self), undefined);
});

test("each peer becomes a forwarding entry, a neighbour and a route", () => {
  const overlay = compileOverlay([node("n1", 1), node("n2", 2)], self)!;
  assert.equal(overlay.gatewayIP, "10.42.1.1");
  assert.equal(overlay.mac, "02:74:0a:2a:01:00");
  assert.deepEqual(overlayCommands(overlay, nothing), {
    bridge: ["fdb append 02:74:0a:2a:02:00 dev trivet-vxlan dst 10.66.0.12 self permanent"],
    ip: [
      "neigh replace 10.42.2.0 lladdr 02:74:0a:2a:02:00 dev trivet-vxlan nud permanent",
      "route replace 10.42.2.0/24 via 10.42.2.0 dev trivet-vxlan onlink",
    ],
  });
});

test("a peer without address or pod CIDR waits", () => {
  const bare: Node = { metadata: { name: "n2" }, spec: { podCIDR: "10.42.2.0/24" } };
  assert.deepEqual(compileOverlay([node("n1", 1), bare], self)!.peers, []);
});

test("what is right already is left alone", () => {
  const overlay = compileOverlay([node("n1", 1), node("n2", 2)], self)!;
  assert.deepEqual(overlayCommands(overlay, stateOf(2)), { ip: [], bridge: [] });
});

test("a peer's new address moves its forwarding entry", () => {
  const overlay = compileOverlay([node("n1", 1), node("n2", 2, "10.66.0.99")], self)!;
  assert.deepEqual(overlayCommands(overlay, stateOf(2)), {
    ip: [],
    bridge: [
      "fdb del 02:74:0a:2a:02:00 dev trivet-vxlan dst 10.66.0.12 self",
      "fdb append 02:74:0a:2a:02:00 dev trivet-vxlan dst 10.66.0.99 self permanent",
    ],
  });
});

test("a peer that left is forgotten", () => {
  const overlay = compileOverlay([node("n1", 1)], self)!;
  assert.deepEqual(overlayCommands(overlay, stateOf(2)), {
    ip: ["route del 10.42.2.0/24 dev trivet-vxlan", "neigh del 10.42.2.0 dev trivet-vxlan"],
    bridge: ["fdb del 02:74:0a:2a:02:00 dev trivet-vxlan dst 10.66.0.12 self"],
  });
});

function node(name: string, index: number, address = `10.66.0.${10 + index}`): Node {
  return {
    metadata: { name },
    spec: { podCIDR: `10.42.${index}.0/24` },
    status: { addresses: [{ type: "InternalIP", address }] },
  };
}

function stateOf(index: number): OverlayState {
  const mac = `02:74:0a:2a:0${index}:00`;
  return {
    routes: [{ dst: `10.42.${index}.0/24`, gateway: `10.42.${index}.0` }],
    neighbours: [{ ip: `10.42.${index}.0`, mac }],
    forwarding: [{ mac, nodeIP: `10.66.0.${10 + index}` }],
  };
}
