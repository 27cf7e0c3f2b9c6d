/**
 * The endpoints of the `kubernetes` Service: the API servers of the members that are online. One server
 * writes them, so that nothing flaps: the leader's own, or, when the leader has none (a witness), the
 * first that is online. Its writes carry the leader's term, so that a server that was replaced meanwhile
 * changes nothing. A member counts as offline after a few seconds of silence; the next round, at most
 * `intervalMs` later, takes its address away.
 */
import type { Backend, BackendStatus, MemberStatus } from "#base/backend.ts";
import { StatusError } from "#base/errors.ts";
import type { HttpHandler } from "#base/http.ts";
import type { Clock, Logger, Timer } from "#base/ports.ts";
import { deepEqual } from "#kinds/equality.ts";
import type { KubeObject } from "#kinds/object.ts";
import { nonSpecialIpErrors } from "#kinds/special-ip.ts";
import { serverUser } from "./bootstrap.ts";

const intervalMs = 2_000;

export interface ApiAddress {
  address: string;
  port: number;
}

export interface KubernetesEndpointsOptions {
  backend: Backend;
  handler: HttpHandler;
  clock: Clock;
  logger: Logger;
  /** Where others reach this server, if the datastore does not know it. */
  own: ApiAddress;
}

export class KubernetesEndpoints {
  readonly #options: KubernetesEndpointsOptions;
  #timer: Timer | undefined;
  #closed = false;
  /** What was last complained about; the same is not said twice. */
  #complaint = "";

  constructor(options: KubernetesEndpointsOptions) {
    this.#options = options;
  }

  start(): void {
    void this.#round();
  }

  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
  }

  async #round(): Promise<void> {
    const { clock } = this.#options;
    try {
      await this.reconcile();
      this.#complain("");
    } catch (error) {
      this.#complain(error instanceof Error ? error.message : String(error));
    }
    if (!this.#closed) this.#timer = clock.setTimer(intervalMs, () => void this.#round());
  }

  #complain(why: string): void {
    const { logger } = this.#options;
    if (this.#closed || why === this.#complaint) return;
    this.#complaint = why;
    if (why === "") logger.info("the endpoints of the kubernetes Service are up to date again");
    else logger.warn("the endpoints of the kubernetes Service could not be written", { error: why });
  }

  /** One round. Rejects when an answer is neither success nor somebody else's change. */
  async reconcile(): Promise<void> {
    const status = await this.#options.backend.status();
    if (!status.ready || writerOf(status)?.id !== status.memberId) return;
    const servers = serversOf(status, this.#options.own);
    const unusable = servers.filter((each) => nonSpecialIpErrors(each.address, "").length > 0);
    if (unusable.length > 0) {
      const addresses = unusable.map((each) => each.address).join(", ");
      throw new Error(`pods can't reach an API server at ${addresses}`);
    }
    await this.#write("/api/v1/namespaces/default/endpoints", endpointsOf(servers), status.term);
    const slices = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices";
    await this.#write(slices, sliceOf(servers), status.term);
  }

  /** Writes what is wanted unless it is there already. Other fields of the object are left alone. */
  async #write(collection: string, wanted: KubeObject, term: number): Promise<void> {
    const path = `${collection}/${wanted.metadata.name}`;
    const current = await this.#send("GET", path, undefined, term);
    if (current === undefined) {
      await this.#send("POST", collection, wanted, term);
      return;
    }
    const labels = { ...current.metadata.labels, ...wanted.metadata.labels };
    const next = { ...current, ...wanted, metadata: { ...current.metadata, labels } };
    if (!deepEqual(current, next)) await this.#send("PUT", path, next, term);
  }

  /** The object that is answered; undefined where there is none or somebody else was faster. */
  async #send(
    method: string,
    path: string,
    object: KubeObject | undefined,
    term: number,
  ): Promise<KubeObject | undefined> {
    const response = await this.#options.handler({
      method,
      path,
      query: method === "GET" ? "" : "fieldManager=kube-apiserver",
      headers: {
        "content-type": "application/json",
        accept: "application/json",
        "trivet-fence-term": String(term),
      },
      body: Buffer.from(object === undefined ? "" : JSON.stringify(object)),
      signal: new AbortController().signal,
      user: serverUser,
    });
    const text = Buffer.from(response.body as Uint8Array).toString("utf8");
    if (response.status < 300) return JSON.parse(text) as KubeObject;
    if (response.status === 404 && method === "GET") return undefined;
    if (response.status === 409) return undefined;
    throw new StatusError("InternalError", `${method} ${path}: ${response.status} ${text.slice(0, 500)}`);
  }
}

function hasServer(member: MemberStatus, status: BackendStatus): boolean {
  return member.id === status.memberId || (member.online && member.apiAddress !== "");
}

/** Every server comes to the same answer, as all follow the leader's report of who is online. */
function writerOf(status: BackendStatus): MemberStatus | undefined {
  const able = status.members
    .filter((each) => hasServer(each, status))
    .sort((left, right) => (left.id < right.id ? -1 : 1));
  return able.find((each) => each.isLeader) ?? able[0];
}

/** Without repetitions, in the order of their addresses. */
function serversOf(status: BackendStatus, own: ApiAddress): ApiAddress[] {
  const all = status.members
    .filter((each) => hasServer(each, status))
    .map((each) => (each.apiAddress === "" ? own : parseAddress(each.apiAddress)));
  const unique = new Map(all.map((each) => [`${each.address} ${each.port}`, each]));
  return [...unique.values()].sort((left, right) =>
    left.address === right.address ? left.port - right.port : left.address < right.address ? -1 : 1,
  );
}

function endpointsOf(servers: readonly ApiAddress[]): KubeObject {
  const ports = [...new Set(servers.map((each) => each.port))];
  return {
    apiVersion: "v1",
    kind: "Endpoints",
    metadata: {
      name: "kubernetes",
      namespace: "default",
      labels: { "endpointslice.kubernetes.io/skip-mirror": "true" },
    },
    subsets: ports.map((port) => ({
      addresses: servers.filter((each) => each.port === port).map((each) => ({ ip: each.address })),
      ports: [{ name: "https", port, protocol: "TCP" }],
    })),
  };
}

/** A slice has one set of ports: of servers on several ports, those on the first one's. */
function sliceOf(servers: readonly ApiAddress[]): KubeObject {
  const port = servers[0]?.port ?? 0;
  const shown = servers.filter((each) => each.port === port);
  return {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: {
      name: "kubernetes",
      namespace: "default",
      labels: { "kubernetes.io/service-name": "kubernetes" },
    },
    addressType: "IPv4",
    endpoints: shown.map((each) => ({ addresses: [each.address], conditions: { ready: true } })),
    ports: [{ name: "https", protocol: "TCP", port }],
  };
}

function parseAddress(text: string): ApiAddress {
  const colon = text.lastIndexOf(":");
  return { address: text.slice(0, colon), port: Number(text.slice(colon + 1)) };
}
