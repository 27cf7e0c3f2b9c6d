/** The replica is a Backend like the others: alone, and seen from a follower of three. */

import { backendConformance } from "#base/backend-conformance.test-suite.ts";
import { TestCluster } from "./cluster.fixture.ts";

backendConformance("one replica", async () => {
  const cluster = await TestCluster.start(1);
  return { backend: cluster.handle(0).backend, close: () => cluster.close() };
});

backendConformance("a follower of three replicas", async () => {
  const cluster = await TestCluster.start(3);
  const leader = await cluster.leader();
  return { backend: cluster.handle((leader + 1) % 3).backend, close: () => cluster.close() };
});
