import assert from "node:assert/strict";
import { test } from "node:test";

import type { HostState } from "./state.ts";
import { compileFaults } from "./switch.ts";

const hosts = [1, 2, 3].map((index): HostState => ({
  name: `n${index}`,
  index,
  address: `10.66.0.${10 + index}`,
  role: "control-plane",
  paused: false,
  services: {},
}));

test("faults become drops between the ports of the switch", () => {
  const text = compileFaults(hosts, {
    cuts: [
      ["n1", "n2"],
      ["machine", "n3"],
    ],
    loss: { n2: 30 },
  });
  assert.equal(
    text,
    `add table bridge faults
delete table bridge faults
table bridge faults {
  chain forward {
    type filter hook forward priority 0; policy accept;
    iifname "p1" oifname "p2" drop
    iifname "machine" oifname "p3" drop
    iifname "p2" numgen random mod 100 < 30 drop
  }
}
`,
  );
});
