import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { Backend, MemberStatus } from "#base/backend.ts";
import { MemoryBackend } from "#base/memory-backend.ts";
import type { Logger } from "#base/ports.ts";
import { systemClock } from "#client/system-clock.ts";
import type { ApiServer } from "../server.ts";
import { testServer } from "../server.test-suite.ts";
import { serverUser } from "./bootstrap.ts";
import { KubernetesEndpoints } from "./kubernetes-endpoints.ts";

const logger: Logger = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

/** The datastore as one member sees it. */
function seenBy(memory: MemoryBackend, memberId: string, members: () => MemberStatus[]): Backend {
  return new Proxy<Backend>(memory, {
    get(target, name) {
      if (name === "status") {
        return async () => ({ ...(await target.status()), memberId, members: members() });
      }
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === "function" ? (value.bind(target) as unknown) : value;
    },
  });
}

function member(id: string, more: Partial<MemberStatus> = {}): MemberStatus {
  return {
    id,
    name: id,
    address: "",
    role: "voter",
    online: true,
    lagEntries: 0,
    failureDomain: "",
    isLeader: false,
    apiAddress: `10.0.0.${id}:16443`,
    ...more,
  };
}

describe("endpoints of the kubernetes Service", () => {
  const backend = new MemoryBackend();
  let api: ApiServer;
  let members: MemberStatus[] = [];
  let writes = 0;

  before(async () => {
    api = testServer({ backend, logger, serviceCidr: "10.43.0.0/16" });
    await api.ready();
  });
  after(async () => {
    await api.close();
    await backend.close();
  });

  /** One round on the server of each member that is online; returns the addresses that then stand in both objects. */
  async function round(address = "10.0.0.9"): Promise<string[]> {
    for (const { id } of members.filter((each) => each.online && each.name !== "witness")) {
      const endpoints = new KubernetesEndpoints({
        backend: seenBy(backend, id, () => members),
        handler: (request) => {
          if (request.method !== "GET") writes++;
          return api.handler(request);
        },
        clock: systemClock,
        logger,
        own: { address, port: 16443 },
      });
      await endpoints.reconcile();
    }
    const slice = await get("/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes");
    const legacy = await get("/api/v1/namespaces/default/endpoints/kubernetes");
    const addresses = (slice["endpoints"] as { addresses: string[] }[]).flatMap((each) => each.addresses);
    const subsets = legacy["subsets"] as { addresses: { ip: string }[]; ports: { port: number }[] }[];
    assert.deepEqual(
      subsets.flatMap((each) => each.addresses.map(({ ip }) => ip)),
      addresses,
    );
    assert.deepEqual(subsets[0]?.ports, [{ name: "https", port: 16443, protocol: "TCP" }]);
    return addresses;
  }

  async function get(path: string): Promise<Record<string, unknown>> {
    const response = await api.handler({
      method: "GET",
      path,
      query: "",
      headers: {},
      body: new Uint8Array(),
      signal: new AbortController().signal,
      user: serverUser,
    });
    assert.equal(response.status, 200);
    return JSON.parse(Buffer.from(response.body as Uint8Array).toString("utf8")) as Record<string, unknown>;
  }

  test("a server that the datastore gives no address is found at its own", async () => {
    members = [member("1", { isLeader: true, apiAddress: "" })];
    assert.deepEqual(await round(), ["10.0.0.9"]);
  });

  test("all servers that are online, written once and not again", async () => {
    members = [member("1"), member("2", { isLeader: true }), member("3")];
    writes = 0;
    assert.deepEqual(await round(), ["10.0.0.1", "10.0.0.2", "10.0.0.3"]);
    assert.equal(writes, 2);
    await round();
    assert.equal(writes, 2);
  });

  test("a dead server is taken away and comes back; a leader without server lets another write", async () => {
    const witness = member("4", { name: "witness", isLeader: true, apiAddress: "" });
    members = [member("1", { online: false }), member("2"), member("3"), witness];
    assert.deepEqual(await round(), ["10.0.0.2", "10.0.0.3"]);
    members = [member("1"), member("2", { isLeader: true }), member("3")];
    assert.deepEqual(await round(), ["10.0.0.1", "10.0.0.2", "10.0.0.3"]);
  });

  test("an address that pods can't reach is refused aloud", async () => {
    members = [member("1", { isLeader: true, apiAddress: "" })];
    await assert.rejects(round("127.0.0.1"), /pods can't reach an API server at 127\.0\.0\.1/);
  });

  test("a writer of an earlier term changes nothing", async () => {
    members = [member("1", { isLeader: true })];
    const stale = seenBy(backend, "1", () => members);
    const behind = new Proxy(stale, {
      get: (target, name) =>
        name === "status"
          ? async () => ({ ...(await target.status()), term: 0 })
          : (Reflect.get(target, name) as unknown),
    });
    const endpoints = new KubernetesEndpoints({
      backend: behind,
      handler: api.handler,
      clock: systemClock,
      logger,
      own: { address: "10.0.0.1", port: 16443 },
    });
    await endpoints.reconcile();
    members = [member("1"), member("2", { isLeader: true }), member("3")];
    writes = 0;
    await round();
    assert.equal(writes, 0, "the earlier term's write was fenced");
  });
});
