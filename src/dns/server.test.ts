/** The whole server over real sockets on loopback, with an upstream that the test plays. */
import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { connect } from "node:net";
import { after, before, test } from "node:test";
import { decode, encode } from "dns-packet";
import type { Answer, DecodedPacket, Packet } from "dns-packet";

import { systemClock, systemRandom } from "#client/system-clock.ts";
import { Forwarder } from "./forwarder.ts";
import { listen } from "./listener.ts";
import { createResolver } from "./resolver.ts";
import { truncate } from "./raw-reply.ts";
import type { Service, ZoneView } from "./zone.ts";

const quiet = { debug() {}, info() {}, warn() {}, error() {} };
const address = "127.0.0.1";
const many = Array.from({ length: 200 }, (_, at) => `10.42.${1 + (at >> 7)}.${at & 127}`);
const service = (name: string, spec: object): Service =>
  ({ metadata: { name, namespace: "shop" }, spec }) as Service;
const services = new Map(
  [
    service("web", { clusterIP: "10.43.0.100", clusterIPs: ["10.43.0.100"] }),
    service("crowd", { clusterIP: "None", clusterIPs: ["None"] }),
    service("docs", { type: "ExternalName", externalName: "outside.example" }),
  ].map((each) => [each.metadata.name, each]),
);
const view: ZoneView = {
  service: (_namespace, name) => services.get(name),
  slices: () => [
    {
      metadata: {},
      addressType: "IPv4",
      endpoints: many.map((ip) => ({ addresses: [ip] })),
    },
  ],
  namespaceExists: () => true,
  servicesByAddress: () => [],
  slicesByAddress: () => [],
};

let synced = true;
let asked = 0;
let port = 0;
const closers: (() => Promise<void>)[] = [];

before(async () => {
  const upstreamPort = await freePort();
  const upstream = await listen(address, upstreamPort, async (message, transport) => {
    asked++;
    const query = decode(message);
    const [question] = query.questions!;
    const answers: Answer[] =
      question!.name.toLowerCase() === "missing.example"
        ? []
        : question!.name === "big.example"
          ? many.map((data) => ({ type: "A", name: question!.name, ttl: 60, data }))
          : [{ type: "A", name: question!.name, ttl: 60, data: "192.0.2.1" }];
    const flags = (1 << 7) | (question!.name === "refused.example" ? 5 : 0);
    const reply = encode({ id: query.id!, type: "response", flags, questions: [question!], answers });
    return transport === "udp" && reply.length > 512 ? truncate(reply) : reply;
  });
  port = await freePort();
  const silent = createSocket("udp4");
  await new Promise<void>((resolve) => silent.bind(0, address, resolve));
  const server = await listen(
    address,
    port,
    createResolver({
      view,
      zone: { clusterDomain: "cluster.local", dnsServiceIP: "10.43.0.10", ttlSeconds: 5 },
      isSynced: () => synced,
      forwarder: new Forwarder({
        upstreams: [`${address}:${upstreamPort}`],
        clock: systemClock,
        random: systemRandom,
        logger: quiet,
      }),
      random: systemRandom,
      logger: quiet,
    }),
  );
  closers.push(upstream.close, server.close, () => new Promise((resolve) => silent.close(() => resolve())));
});

after(async () => {
  for (const close of closers) await close();
});

test("a Service's address, authoritatively and with the asker's spelling", async () => {
  const reply = await ask({ questions: [{ type: "A", name: "Web.shop.svc.cluster.local" }] });
  assert.equal(reply.rcode, "NOERROR");
  assert.equal(reply.flag_aa, true);
  assert.deepEqual(
    reply.answers!.map((answer) => [answer.name, "data" in answer && answer.data]),
    [["Web.shop.svc.cluster.local", "10.43.0.100"]],
  );
});

test("an absent name is denied with the zone's SOA", async () => {
  const reply = await ask({ questions: [{ type: "A", name: "none.shop.svc.cluster.local" }] });
  assert.equal(reply.rcode, "NXDOMAIN");
  assert.equal(reply.authorities![0]!.type, "SOA");
});

test("an absent record of a name that exists is not denied", async () => {
  const reply = await ask({ questions: [{ type: "AAAA", name: "web.shop.svc.cluster.local" }] });
  assert.equal(reply.rcode, "NOERROR");
  assert.equal(reply.answers!.length, 0);
  assert.equal(reply.authorities![0]!.type, "SOA");
});

test("what doesn't fit is cut, and whole over TCP", async () => {
  const questions: Packet["questions"] = [{ type: "A", name: "crowd.shop.svc.cluster.local" }];
  const cut = await ask({ questions });
  assert.equal(cut.flag_tc, true);
  assert.ok(cut.sizeBytes <= 512);
  const wide = await ask({ questions, additionals: [opt(4096)] });
  assert.ok(wide.sizeBytes > 512 && wide.sizeBytes <= 1232);
  assert.equal(wide.additionals![0]!.type, "OPT");
  const whole = await askOverTcp({ questions });
  assert.equal(whole.answers!.length, many.length);
});

test("other names go upstream once, and then come from memory", async () => {
  asked = 0;
  const questions: Packet["questions"] = [{ type: "A", name: "outside.example" }];
  for (const id of [1, 2]) {
    const reply = await ask({ id, questions });
    assert.equal(reply.id, id);
    assert.equal(reply.flag_aa, false);
    assert.deepEqual(
      reply.answers!.map((answer) => "data" in answer && answer.data),
      ["192.0.2.1"],
    );
  }
  assert.equal(asked, 1);
});

test("an upstream's cut answer is fetched over TCP", async () => {
  const reply = await askOverTcp({ questions: [{ type: "A", name: "big.example" }] });
  assert.equal(reply.answers!.length, many.length);
  assert.equal((await ask({ questions: [{ type: "A", name: "big.example" }] })).flag_tc, true);
});

test("a refusal upstream is passed on", async () => {
  assert.equal((await ask({ questions: [{ type: "A", name: "refused.example" }] })).rcode, "REFUSED");
});

test("an ExternalName is followed", async () => {
  const reply = await ask({ questions: [{ type: "A", name: "docs.shop.svc.cluster.local" }] });
  assert.deepEqual(
    reply.answers!.map((answer) => [answer.type, "data" in answer && answer.data]),
    [
      ["CNAME", "outside.example"],
      ["A", "192.0.2.1"],
    ],
  );
});

test("before the view is complete it fails instead of denying", async () => {
  synced = false;
  const reply = await ask({ questions: [{ type: "A", name: "none.shop.svc.cluster.local" }] });
  synced = true;
  assert.equal(reply.rcode, "SERVFAIL");
});

test("what is no question is refused", async () => {
  assert.equal((await ask({ questions: [] })).rcode, "FORMERR");
  assert.equal((await ask({ flags: 4 << 11, questions: [{ type: "A", name: "x" }] })).rcode, "NOTIMP");
  assert.equal((await ask({ questions: [{ type: "A", name: "x", class: "CH" }] })).rcode, "REFUSED");
});

type Reply = DecodedPacket & { rcode: string; sizeBytes: number };

function ask(packet: Packet): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const socket = createSocket("udp4");
    const timer = setTimeout(() => reject(new Error("no answer")), 5_000);
    socket.once("message", (bytes) => {
      clearTimeout(timer);
      socket.close();
      resolve(read(bytes));
    });
    socket.send(encode({ id: 7, type: "query", ...packet }), port, address);
  });
}

function askOverTcp(packet: Packet): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: address, port });
    let received = Buffer.alloc(0);
    socket.setTimeout(5_000, () => reject(new Error("no answer")));
    socket.on("error", reject);
    socket.on("data", (chunk: Buffer) => {
      received = Buffer.concat([received, chunk]);
      if (received.length < 2 + received.readUInt16BE(0)) return;
      socket.destroy();
      resolve(read(received.subarray(2)));
    });
    const bytes = encode({ id: 7, type: "query", ...packet });
    const length = Buffer.alloc(2);
    length.writeUInt16BE(bytes.length);
    socket.write(Buffer.concat([length, bytes]));
  });
}

function read(bytes: Buffer): Reply {
  return { ...(decode(bytes) as Reply), sizeBytes: bytes.length };
}

function opt(udpPayloadSize: number): Answer {
  return { type: "OPT", name: ".", udpPayloadSize, flags: 0, options: [] } as unknown as Answer;
}

async function freePort(): Promise<number> {
  const socket = createSocket("udp4");
  await new Promise<void>((resolve) => socket.bind(0, address, resolve));
  const { port: free } = socket.address();
  await new Promise<void>((resolve) => socket.close(() => resolve()));
  return free;
}
