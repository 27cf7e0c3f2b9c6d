import { test } from "node:test";
import assert from "node:assert/strict";
import type { HttpUser } from "#base/http.ts";
import { MemoryBackend } from "#base/memory-backend.ts";
import { createAuthorities } from "./pki.ts";
import { defaultSettings } from "./identity.ts";
import type { JoinAnswer, JoinRequest, Member } from "./management.ts";
import { createManagement } from "./management.ts";
import { createRequest, covers } from "./certificates.ts";
import { StatusError } from "#base/errors.ts";

const admin: HttpUser = { name: "kubernetes-admin", groups: ["system:masters"] };

async function cluster(): Promise<Cluster> {
  const members: Member[] = [{ id: "1", name: "n1", address: "10.0.0.1:19001", online: true }];
  const authorities = await createAuthorities();
  const state = { nowMs: 1000, members, failAdd: false, voters: 3 };
  const handler = createManagement({
    backend: new MemoryBackend(),
    authorities,
    settings: defaultSettings,
    version: "1",
    nowMs: () => state.nowMs,
    status: () => Promise.resolve({ ready: true }),
    nodes: {
      exists: (name) => Promise.resolve(name === "object-only"),
      remove: () => Promise.resolve(),
      apiEndpoints: () => Promise.resolve(["10.0.0.1:16443"]),
    },
    drill: {
      status: () => Promise.reject(new StatusError("ServiceUnavailable", "there is no replica")),
      outage: () => Promise.resolve(),
      transferLeadership: () => Promise.resolve(),
      logError: () => undefined,
    },
    membership: {
      setVoters: (voters) => {
        state.voters = voters;
        return Promise.resolve();
      },
      members: () => Promise.resolve(members),
      add: (member) => {
        if (state.failAdd) return Promise.reject(new StatusError("ServiceUnavailable", "no leader"));
        const record = { ...member, id: "2" };
        members.push({ ...record, online: false });
        return Promise.resolve({ clusterId: "c", member: record, peers: [record] });
      },
      remove: (id) => {
        members.splice(
          members.findIndex((each) => each.id === id),
          1,
        );
        return Promise.resolve();
      },
    },
  });
  async function call<T>(
    method: string,
    path: string,
    body?: unknown,
    user?: HttpUser,
    query = "",
  ): Promise<T> {
    const response = await handler({
      method,
      path: `/trivet/v1/${path}`,
      query,
      headers: {},
      body: new TextEncoder().encode(body === undefined ? "" : JSON.stringify(body)),
      signal: new AbortController().signal,
      ...(user === undefined ? {} : { user }),
    });
    const value = JSON.parse(new TextDecoder().decode(response.body as Uint8Array)) as T & {
      message: string;
    };
    if (response.status !== 200) throw new Error(`${response.status}: ${value.message}`);
    return value;
  }
  async function invite(role = "control-plane"): Promise<JoinRequest> {
    const { token } = await call<{ token: string }>("POST", "tokens", { role, ttlSeconds: 60 }, admin);
    const [tokenId = "", secret = ""] = token.split(".");
    return {
      tokenId,
      secret,
      name: "n2",
      role: role as "worker",
      address: "10.0.0.2",
      peerPort: 19001,
      apiPort: 16443,
      failureDomain: "",
      version: "1",
    };
  }
  return { call, invite, state, members, authorities };
}

interface Cluster {
  call<T>(method: string, path: string, body?: unknown, user?: HttpUser, query?: string): Promise<T>;
  invite(role?: string): Promise<JoinRequest>;
  state: { nowMs: number; failAdd: boolean; voters: number };
  members: Member[];
  authorities: Awaited<ReturnType<typeof createAuthorities>>;
}

test("a token admits one control-plane node, once", async () => {
  const { call, invite, members } = await cluster();
  const request = await invite();
  const answer = await call<JoinAnswer>("POST", "join", request);
  assert.equal(answer.controlPlane?.grant.member.name, "n2");
  assert.match(answer.controlPlane?.authorities.cluster.key ?? "", /PRIVATE KEY/);
  assert.equal(members.length, 2);
  await assert.rejects(call("POST", "join", { ...request, name: "n3" }), /401: .*already used by node "n2"/);
});

test("a worker receives a certificate for its own name and no authority's key", async () => {
  const { call, invite, authorities, members } = await cluster();
  const { request: certificateRequest } = await createRequest("whatever");
  const answer = await call<JoinAnswer>("POST", "join", { ...(await invite("worker")), certificateRequest });
  assert.ok(
    covers(answer.worker?.agentCertificate ?? "", authorities.cluster.certificate, ["n2", "10.0.0.2"]),
  );
  assert.doesNotMatch(JSON.stringify(answer), /PRIVATE KEY/);
  assert.equal(members.length, 1);
});

test("a witness receives its replica's certificate and grant, and nothing that opens the API", async () => {
  const { call, invite, authorities, members } = await cluster();
  const { request: certificateRequest } = await createRequest("whatever");
  const request = { ...(await invite("witness")), certificateRequest };
  await assert.rejects(
    call("POST", "join", { ...request, certificateRequest: "nonsense" }),
    /400: the certificate request is not/,
  );
  assert.equal(members.length, 1);
  const answer = await call<JoinAnswer>("POST", "join", request);
  const { witness } = answer;
  assert.ok(covers(witness?.peerCertificate ?? "", authorities.peer.certificate, ["n2", "10.0.0.2"]));
  assert.deepEqual([witness?.grant.member.witness, witness?.grant.member.apiAddress], [true, ""]);
  assert.doesNotMatch(JSON.stringify(answer), /PRIVATE KEY/);
  assert.equal(members.length, 2);
});

test("an administrator sets the number of voters", async () => {
  const { call, state } = await cluster();
  await assert.rejects(call("POST", "voters", { voters: 5 }), /403/);
  await call("POST", "voters", { voters: 5 }, admin);
  assert.equal(state.voters, 5);
});

test("a refused join leaves the cluster as it was and says why", async () => {
  const { call, invite, state, members } = await cluster();
  const request = await invite();
  const attempts: [Partial<JoinRequest>, RegExp][] = [
    [{ secret: "0".repeat(32) }, /401: the join token is not known/],
    [{ tokenId: "00000000" }, /401: the join token is not known/],
    [{ name: "n1" }, /409: a node named "n1" is already in this cluster/],
    [{ name: "object-only" }, /409: a node named "object-only"/],
    [{ name: "Bad_Name" }, /400: "Bad_Name" can't be a node's name/],
    [{ version: "2" }, /400: this node runs Trivet 2 and the cluster runs 1/],
    [{ role: "worker" }, /403: the join token is for a control-plane node/],
  ];
  for (const [change, expected] of attempts)
    await assert.rejects(call("POST", "join", { ...request, ...change }), expected);
  state.failAdd = true;
  await assert.rejects(call("POST", "join", request), /503: no leader/);
  state.failAdd = false;
  assert.equal(members.length, 1);
  state.nowMs += 61_000;
  await assert.rejects(call("POST", "join", request), /401: the join token expired/);
  state.nowMs -= 61_000;
  await call("POST", "join", request);
});

test("a join request that does not have the form of one is a bad request, whatever is in it", async () => {
  const { call, invite, members } = await cluster();
  const request = await invite();
  const fields: (keyof JoinRequest)[] = [
    "tokenId",
    "secret",
    "name",
    "role",
    "address",
    "peerPort",
    "apiPort",
    "failureDomain",
    "version",
    "certificateRequest",
  ];
  for (const field of fields) {
    for (const value of [7.5, -1, {}, [], [request[field]], true]) {
      const garbled = call("POST", "join", { ...request, [field]: value });
      // Text that is well-formed may be refused for what it says.
      await assert.rejects(garbled, /^Error: (400|401|403): /, `${field}: ${JSON.stringify(value)}`);
    }
  }
  for (const address of ["localhost", "10.0.0.2:1", "\0"])
    await assert.rejects(call("POST", "join", { ...request, address }), /400: .* is no IP address/);
  for (const body of [null, 7, "text", true])
    await assert.rejects(call("POST", "join", body), /^Error: 400: /);
  await assert.rejects(call("POST", "join"), /^Error: 400: /);
  assert.equal(members.length, 1);
  await call("POST", "join", request);
});

test("only administrators manage, and an online node is removed only by force", async () => {
  const { call, members } = await cluster();
  await assert.rejects(call("GET", "status"), /403: user "system:anonymous" can't manage/);
  await assert.rejects(call("POST", "tokens", {}, { name: "eve", groups: [] }), /403: user "eve"/);
  await assert.rejects(call("DELETE", "nodes/n9", undefined, admin), /404: there is no node "n9"/);
  await assert.rejects(call("DELETE", "nodes/n1", undefined, admin), /409: node "n1" is online/);
  await call("DELETE", "nodes/n1", undefined, admin, "force=true");
  assert.equal(members.length, 0);
});
