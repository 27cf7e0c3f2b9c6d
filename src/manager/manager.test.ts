import assert from "node:assert/strict";
import { test } from "node:test";
import { StatusError } from "#base/errors.ts";
import type { Leadership } from "#base/backend.ts";
import type { Logger } from "#base/ports.ts";
import { createClient } from "#client/client.ts";
import { createFakeApi } from "#client/fake-api.ts";
import type { FakeApi } from "#client/fake-api.ts";
import { systemClock, systemRandom } from "#client/system-clock.ts";
import { startManager } from "./manager.ts";
import type { Manager } from "./manager.ts";

const quiet: Logger = { debug() {}, info() {}, warn() {}, error() {} };
const namespacePath = "/api/v1/namespaces";
const accountPath = "/api/v1/serviceaccounts";

interface Lab {
  api: FakeApi;
  manager: Manager;
  lead(leadership: Leadership): void;
}

function start(): Lab {
  const api = createFakeApi();
  let callback: ((leadership: Leadership) => void) | undefined;
  const manager = startManager({
    client: createClient({ transport: api.handler, userAgent: "test" }),
    onLeadership(each) {
      callback = each;
      each({ leading: false, term: 1 });
      return () => {
        callback = undefined;
      };
    },
    clock: systemClock,
    random: systemRandom,
    logger: quiet,
    nodeName: "node-a",
    clusterCidr: "10.42.0.0/16",
    serviceCidr: "10.43.0.0/16",
    rootCa: "CA",
  });
  return { api, manager, lead: (leadership) => callback?.(leadership) };
}

function putNamespace(api: FakeApi, name: string): void {
  api.put(namespacePath, name, {
    apiVersion: "v1",
    kind: "Namespace",
    metadata: { name },
    spec: {},
    status: {},
  });
}

async function until(condition: () => boolean): Promise<void> {
  const endMs = performance.now() + 5000;
  while (!condition()) {
    assert.ok(performance.now() < endMs, "the condition did not come true in time");
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

test("control loops run while this node leads, and only then", async () => {
  const { api, manager, lead } = start();
  putNamespace(api, "a");
  assert.equal(manager.leading, false);
  assert.deepEqual(api.requests, []);
  lead({ leading: true, term: 2 });
  await until(() => api.get(accountPath, "a/default") !== undefined);
  lead({ leading: false, term: 3 });
  assert.equal(manager.leading, false);
  await until(() => api.watchers() === 0);
  putNamespace(api, "b");
  lead({ leading: true, term: 4 });
  await until(() => api.get(accountPath, "b/default") !== undefined);
  await manager.close();
  await until(() => api.watchers() === 0);
});

test("every write carries the term as a fence", async () => {
  const { api, manager, lead } = start();
  const fences = new Set<string | undefined>();
  api.fault = (request) => {
    if (request.method !== "GET" && !request.path.endsWith("/events"))
      fences.add(request.headers["trivet-fence-term"]);
    return undefined;
  };
  putNamespace(api, "a");
  lead({ leading: true, term: 7 });
  await until(() => api.get(accountPath, "a/default") !== undefined);
  await manager.close();
  assert.deepEqual([...fences], ["7"]);
});

test("what the API refuses is tried again", async () => {
  const { api, manager, lead } = start();
  let refusals = 3;
  api.fault = (request) =>
    request.method === "POST" && request.path.endsWith("/serviceaccounts") && refusals-- > 0
      ? new StatusError("ServiceUnavailable", "not now")
      : undefined;
  putNamespace(api, "a");
  lead({ leading: true, term: 1 });
  await until(() => api.get(accountPath, "a/default") !== undefined);
  assert.ok(refusals < 0);
  await manager.close();
});
