/**
 * Peers over TCP with mutual TLS. Each side makes its own connections, one for raft and one for what
 * may be large, and sends on them; answers go back over the connection of the question. Who has a
 * certificate of the peers' CA is a peer; which one it is, it says in its greeting: an address may change,
 * and a wrong node behind an address is noticed. Nobody can greet as another: the certificate must have the
 * name of the member that the greeting names.
 */

import { createServer, connect, createSecureContext } from "node:tls";
import type { Server, TLSSocket } from "node:tls";
import type { Logger } from "#base/ports.ts";
import { FatalError } from "#base/errors.ts";
import type { NodeId } from "#raft/types.ts";
import type { FormatRange } from "#store/format.ts";
import { supportedFormats } from "#store/format.ts";
import { formatMemberId } from "../member-id.ts";
import { AddressBook } from "./address-book.ts";
import type { Greeting, Succession } from "./peer-connection.ts";
import { PeerConnection, protocolVersion } from "./peer-connection.ts";
import type { Peer, PeerTransport, PeerTransportEvents } from "../ports.ts";
import { successionOf } from "./succession.ts";
import type { PeerTls } from "../types.ts";

export interface TlsTransportOptions {
  id: NodeId;
  clusterId: string;
  listen: { host: string; port: number };
  tls: PeerTls;
  logger: Logger;
  /** What this node's release reads and writes. */
  formats?: FormatRange;
  /** host:port under which peers reach this side. Undefined: where it listens. */
  address?: string;
  /** Addresses that the peers' records don't have yet. */
  addresses?: AddressBook;
  /** What members of clusters are told whose place this one took. */
  successor?(): Succession | undefined;
  /** A peer belongs to a cluster that took the place of this one. */
  onSucceeded?(succession: Succession): void;
}

type Channel = "raft" | "bulk";
const channels: Channel[] = ["raft", "bulk"];
const connectTimeoutMs = 3000;
const minRetryMs = 50;
const maxRetryMs = 1000;
/** How long a refused peer has for reading why. */
const farewellMs = 1000;

/** One outgoing connection that is made again when it breaks. */
interface Line {
  peer: Peer;
  channel: Channel;
  connection: PeerConnection | undefined;
  /** Greeted: frames may be sent. */
  open: boolean;
  retryMs: number;
  timer: NodeJS.Timeout | undefined;
  closed: boolean;
}

export class TlsTransport implements PeerTransport {
  readonly #options: TlsTransportOptions;
  readonly #server: Server;
  readonly #lines = new Map<string, Line>();
  /** Names of the known members. */
  #names = new Map<NodeId, string>();
  readonly #incoming = new Set<PeerConnection>();
  readonly #addresses: AddressBook;
  /** As they were set, with the addresses of their records. */
  #peers: Peer[] = [];
  readonly #formats: FormatRange;
  #tls: PeerTls;
  #events: PeerTransportEvents | undefined;
  #closed = false;

  private constructor(options: TlsTransportOptions) {
    this.#options = options;
    this.#formats = options.formats ?? supportedFormats;
    this.#tls = options.tls;
    this.#addresses = options.addresses ?? new AddressBook();
    this.#server = createServer({ ...secure(options.tls), requestCert: true, rejectUnauthorized: true });
    this.#server.on("secureConnection", (socket) => this.#accept(socket));
    this.#server.on("tlsClientError", (error) => {
      options.logger.debug("a connection to the peer port was refused", { error: error.message });
    });
  }

  /** Listens; connections are made and taken after `start`. Throws FatalError when the port is taken. */
  static async listen(options: TlsTransportOptions): Promise<TlsTransport> {
    const transport = new TlsTransport(options);
    const { host, port } = options.listen;
    await new Promise<void>((resolve, reject) => {
      transport.#server.once("error", (error: NodeJS.ErrnoException) => {
        const taken = error.code === "EADDRINUSE";
        const reason = taken ? "is taken by another program" : `can't be listened on: ${error.message}`;
        reject(
          new FatalError(taken ? "portTaken" : "unsupported", `the replica's port ${host}:${port} ${reason}`),
        );
      });
      transport.#server.listen(port, host, resolve);
    });
    return transport;
  }

  get port(): number {
    const address = this.#server.address();
    return typeof address === "object" && address !== null ? address.port : 0;
  }

  start(events: PeerTransportEvents): void {
    this.#events = events;
    for (const line of this.#lines.values()) this.#connect(line);
  }

  setPeers(records: Peer[]): void {
    this.#peers = records;
    const peers = records.map((peer) => ({ ...peer, address: this.#addresses.current(peer) }));
    const wanted = new Map(peers.map((peer) => [peer.id, peer]));
    this.#names = new Map(peers.flatMap(({ id, name }) => (name === undefined ? [] : [[id, name] as const])));
    for (const [key, line] of this.#lines) {
      const peer = wanted.get(line.peer.id);
      if (peer?.address === line.peer.address && peer.name === line.peer.name) continue;
      this.#lines.delete(key);
      this.#closeLine(line);
    }
    for (const peer of peers) {
      for (const channel of channels) {
        const key = `${peer.id}/${channel}`;
        if (this.#lines.has(key)) continue;
        const line: Line = {
          peer,
          channel,
          connection: undefined,
          open: false,
          retryMs: minRetryMs,
          timer: undefined,
          closed: false,
        };
        this.#lines.set(key, line);
        if (this.#events !== undefined) this.#connect(line);
      }
    }
  }

  send(to: NodeId, channel: Channel, frame: Uint8Array): boolean {
    const line = this.#lines.get(`${to}/${channel}`);
    return line !== undefined && line.open && line.connection !== undefined && line.connection.send(frame);
  }

  /** For new connections; those that stand stay. */
  setTls(tls: PeerTls): void {
    this.#tls = tls;
    this.#server.setSecureContext(secure(tls));
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    for (const line of this.#lines.values()) this.#closeLine(line);
    this.#lines.clear();
    const closed = new Promise<void>((resolve) => {
      this.#server.close(() => resolve());
    });
    for (const connection of this.#incoming) connection.close("this node stops");
    await closed;
  }

  #connect(line: Line): void {
    line.timer = undefined;
    if (line.closed || this.#closed) return;
    const { host, port } = splitAddress(line.peer.address);
    const socket = connect({
      host,
      port,
      secureContext: createSecureContext(secure(this.#tls)),
      // The certificate's CA says that it is a peer; names and addresses say nothing.
      checkServerIdentity: () => undefined,
      servername: "trivet-replica",
    });
    const opening = setTimeout(() => socket.destroy(new Error("no answer")), connectTimeoutMs);
    const connection = new PeerConnection(
      socket,
      {
        onGreeting: (greeting) => {
          clearTimeout(opening);
          if (!this.#isExpected(line, greeting, socket)) return;
          line.open = true;
          line.retryMs = minRetryMs;
        },
        onFrame: (frame) => this.#events?.onFrame(line.peer.id, frame, (reply) => connection.send(reply)),
        onClose: (reason) => {
          clearTimeout(opening);
          this.#onLineClosed(line, connection, reason);
        },
      },
      this.#formats,
    );
    line.connection = connection;
    socket.once("secureConnect", () => connection.greet(this.#greeting(line.channel)));
  }

  #isExpected(line: Line, greeting: Greeting, socket: TLSSocket): boolean {
    const right = greeting.id === line.peer.id && greeting.clusterId === this.#options.clusterId;
    if (right && this.#isGenuine(greeting.id, socket)) return true;
    const succession = successionOf(greeting, this.#options.clusterId);
    if (succession !== undefined && !this.#closed && this.#isGenuine(greeting.id, socket))
      this.#options.onSucceeded?.(succession);
    line.connection?.close(`another node answers: ${formatMemberId(greeting.id)}`);
    return false;
  }

  /** Whether the certificate is the one of this member. A member that is not known here yet is believed. */
  #isGenuine(id: NodeId, socket: TLSSocket): boolean {
    const name = this.#names.get(id);
    const subject = socket.getPeerCertificate().subject?.CN;
    if (name === undefined || name === subject) return true;
    this.#options.logger.warn("a peer's certificate has the name of another", {
      peer: formatMemberId(id),
      name,
      certificate: String(subject),
    });
    return false;
  }

  #onLineClosed(line: Line, connection: PeerConnection, reason: string): void {
    if (line.connection !== connection) return;
    const wasOpen = line.open;
    line.connection = undefined;
    line.open = false;
    if (wasOpen) {
      const peer = formatMemberId(line.peer.id);
      this.#options.logger.debug("lost the connection to a peer", { peer, channel: line.channel, reason });
    }
    if (!line.closed) {
      line.timer = setTimeout(() => this.#connect(line), line.retryMs);
      line.retryMs = Math.min(line.retryMs * 2, maxRetryMs);
    }
    if (!this.#closed) this.#events?.onUnreachable(line.peer.id);
  }

  #closeLine(line: Line): void {
    line.closed = true;
    clearTimeout(line.timer);
    line.connection?.close("no longer needed");
  }

  #accept(socket: TLSSocket): void {
    let from: NodeId | undefined;
    const connection = new PeerConnection(
      socket,
      {
        onGreeting: (greeting) => {
          if (greeting.clusterId !== this.#options.clusterId) {
            this.#refuse(connection, greeting);
            return;
          }
          if (!this.#isGenuine(greeting.id, socket)) {
            connection.close("its certificate has the name of another");
            return;
          }
          from = greeting.id;
          connection.greet(this.#greeting(greeting.channel));
          this.#learnAddress(greeting);
        },
        onFrame: (frame) => {
          if (from !== undefined) this.#events?.onFrame(from, frame, (reply) => connection.send(reply));
        },
        onClose: () => this.#incoming.delete(connection),
      },
      this.#formats,
    );
    this.#incoming.add(connection);
  }

  /** A member of a cluster whose place this one took is told so; anybody else only that he is wrong here. */
  #refuse(connection: PeerConnection, greeting: Greeting): void {
    const successor = this.#options.successor?.();
    if (successor?.formerIds.includes(greeting.clusterId) === true) {
      connection.greet({ ...this.#greeting(greeting.channel), successor });
      setTimeout(() => connection.close("a node of a former cluster"), farewellMs);
    } else connection.close("a node of another cluster");
  }

  /** Only of members with a known name: their certificate has proved that it is them. */
  #learnAddress({ id, address }: Greeting): void {
    const peer = this.#peers.find((each) => each.id === id);
    if (peer?.name === undefined || address === undefined || this.#addresses.current(peer) === address)
      return;
    this.#options.logger.info("a peer has another address", { peer: peer.name, address });
    this.#addresses.learn(peer, address);
    this.setPeers(this.#peers);
  }

  #greeting(channel: Channel): Greeting {
    const { clusterId, id, listen } = this.#options;
    const address = this.#options.address ?? `${listen.host}:${this.port}`;
    return { version: protocolVersion, clusterId, id, channel, address, formats: this.#formats };
  }
}

function secure(tls: PeerTls) {
  return { ca: tls.ca, cert: tls.cert, key: tls.key, minVersion: "TLSv1.3" as const };
}

function splitAddress(address: string): { host: string; port: number } {
  const at = address.lastIndexOf(":");
  return { host: address.slice(0, at).replace(/^\[|\]$/g, ""), port: Number(address.slice(at + 1)) };
}
