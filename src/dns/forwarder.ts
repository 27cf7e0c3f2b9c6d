/**
 * Asks the upstream servers for names outside of the cluster: each in turn with a deadline, again over TCP
 * if the answer was cut short, and remembers answers for as long as they say, at most 30 seconds. The same question
 * asked twice at a time goes out once.
 */
import { createSocket } from "node:dgram";
import { connect } from "node:net";
import { encode } from "dns-packet";

import type { Clock, Logger, Random } from "#base/ports.ts";
import { optRecord } from "./message.ts";
import type { Query } from "./message.ts";
import { questionBytes, readRawReply, rewrite } from "./raw-reply.ts";
import type { RawReply } from "./raw-reply.ts";

export interface ForwarderOptions {
  /** Addresses, with `:port` or `#port` behind an IPv4 address if it isn't 53. */
  upstreams: readonly string[];
  clock: Clock;
  random: Random;
  logger: Logger;
}

const attemptTimeoutMs = 2_000;
const attempts = 2;
const keepSecondsMax = 30;
const cacheEntriesMax = 10_000;
const pendingMax = 1_000;

interface Kept {
  reply: RawReply;
  atMs: number;
  untilMs: number;
}

export class Forwarder {
  readonly #options: ForwarderOptions;
  readonly #cache = new Map<string, Kept>();
  readonly #pending = new Map<string, Promise<RawReply | undefined>>();

  constructor(options: ForwarderOptions) {
    this.#options = options;
  }

  /** The answer's bytes, ready for the asker of `packet`; undefined if no upstream answers. */
  async resolve(query: Query, packet: Buffer): Promise<Buffer | undefined> {
    const { type, name } = query.question;
    const key = `${type} ${query.edns} ${query.dnssec} ${name.toLowerCase()}`;
    const nowMs = this.#options.clock.monotonicMs();
    const kept = this.#cache.get(key);
    if (kept !== undefined && kept.untilMs > nowMs)
      return rewrite(kept.reply, query.id, questionBytes(packet), Math.floor((nowMs - kept.atMs) / 1000));

    let pending = this.#pending.get(key);
    if (pending === undefined) {
      if (this.#pending.size >= pendingMax) return undefined;
      pending = this.#ask(query).finally(() => this.#pending.delete(key));
      this.#pending.set(key, pending);
    }
    const reply = await pending;
    if (reply === undefined) return undefined;
    this.#keep(key, reply);
    return rewrite(reply, query.id, questionBytes(packet), 0);
  }

  async #ask(query: Query): Promise<RawReply | undefined> {
    const { upstreams, random, logger } = this.#options;
    const id = random.integer(65_536);
    const packet = encode({
      id,
      type: "query",
      flags: 1 << 8,
      questions: [query.question],
      additionals: query.edns ? [optRecord(query.dnssec)] : [],
    });
    let refused: RawReply | undefined;
    for (let attempt = 0; attempt < attempts; attempt++) {
      for (const upstream of upstreams) {
        try {
          let reply = await askOverUdp(upstream, packet);
          if (reply.truncated) reply = await askOverTcp(upstream, packet);
          // SERVFAIL and REFUSED: another server may know better.
          if (reply.rcode !== 2 && reply.rcode !== 5) return reply;
          refused = reply;
        } catch (error) {
          logger.debug("upstream DNS server does not answer", { upstream, error: String(error) });
        }
      }
      if (refused !== undefined) return refused;
    }
    return undefined;
  }

  #keep(key: string, reply: RawReply): void {
    if (reply.ttlSeconds === 0) return;
    // The one that has been here for the longest goes: with at most 30 seconds each that is near enough to the least used.
    if (this.#cache.size >= cacheEntriesMax) this.#cache.delete(this.#cache.keys().next().value!);
    const atMs = this.#options.clock.monotonicMs();
    this.#cache.delete(key);
    this.#cache.set(key, { reply, atMs, untilMs: atMs + Math.min(reply.ttlSeconds, keepSecondsMax) * 1000 });
  }
}

function askOverUdp(upstream: string, packet: Buffer): Promise<RawReply> {
  const { host, port } = splitAddress(upstream);
  return new Promise((resolve, reject) => {
    const socket = createSocket(host.includes(":") ? "udp6" : "udp4");
    const end = (result: RawReply | Error) => {
      clearTimeout(timer);
      socket.close();
      if (result instanceof Error) reject(result);
      else resolve(result);
    };
    const timer = setTimeout(() => end(new Error("no answer in time")), attemptTimeoutMs);
    socket.once("error", end);
    socket.on("message", (bytes) => {
      const reply = answerTo(packet, bytes);
      if (reply === undefined) return; // someone else's, or a forgery: go on waiting
      socket.removeAllListeners("message");
      end(reply);
    });
    // Connected: the kernel drops what other addresses send, and reports that nobody listens.
    socket.connect(port, host, () => socket.send(packet));
  });
}

function askOverTcp(upstream: string, packet: Buffer): Promise<RawReply> {
  const { host, port } = splitAddress(upstream);
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port });
    const fail = (error: Error) => {
      clearTimeout(timer);
      socket.destroy();
      reject(error);
    };
    const timer = setTimeout(() => fail(new Error("no answer in time over TCP")), attemptTimeoutMs);
    let received = Buffer.alloc(0);
    socket.once("error", fail);
    socket.once("close", () => fail(new Error("connection closed before the answer")));
    socket.on("data", (chunk: Buffer) => {
      received = Buffer.concat([received, chunk]);
      if (received.length < 2 || received.length < 2 + received.readUInt16BE(0)) return;
      const reply = answerTo(packet, received.subarray(2, 2 + received.readUInt16BE(0)));
      if (reply === undefined) return fail(new Error("answer to another question"));
      resolve(reply);
      clearTimeout(timer);
      socket.destroy();
    });
    const length = Buffer.alloc(2);
    length.writeUInt16BE(packet.length);
    socket.write(Buffer.concat([length, packet]));
  });
}

function answerTo(packet: Buffer, bytes: Buffer): RawReply | undefined {
  if (bytes.length < 12 || bytes.readUInt16BE(0) !== packet.readUInt16BE(0)) return undefined;
  if ((bytes.readUInt16BE(2) & (1 << 15)) === 0) return undefined;
  const reply = readRawReply(bytes);
  if (reply === undefined || bytes.readUInt16BE(4) !== 1) return undefined;
  const asked = questionBytes(packet).toString("latin1").toLowerCase();
  return questionBytes(bytes).toString("latin1").toLowerCase() === asked ? reply : undefined;
}

function splitAddress(upstream: string): { host: string; port: number } {
  const match = /^(\d+\.\d+\.\d+\.\d+)[:#](\d+)$/.exec(upstream);
  return match === null ? { host: upstream, port: 53 } : { host: match[1]!, port: Number(match[2]) };
}
