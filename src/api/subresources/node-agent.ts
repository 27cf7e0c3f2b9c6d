/**
 * What a node's agent answers: pod logs, exec, attach, port-forward, and HTTP through nodes, pods and
 * services. Plain requests are relayed; upgraded connections (WebSocket, SPDY) are joined to the agent's
 * byte by byte, which terminates them.
 */
import http from "node:http";
import type { IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import { StatusError } from "#base/errors.ts";
import type { HttpRequest, HttpResponse } from "#base/http.ts";
import type { KubeObject } from "#kinds/object.ts";
import type { ApiCore, ApiRequest, ResourceRequest } from "../api-core.ts";
import type { AgentDialer } from "../options.ts";
import { placeOf } from "../rest/stored.ts";
import type { Answer } from "../rest/answer.ts";
import { endpointOf } from "../services/endpoints.ts";
import { badRequest, methodNotAllowedOnPath, noSuchResource, notFoundError } from "../status.ts";
import type { MethodHandlers, SpecialHandler } from "./special.ts";

interface PodObject extends KubeObject {
  spec: {
    nodeName?: string;
    containers: { name: string; ports?: { name?: string; containerPort: number }[] }[];
    initContainers?: { name: string }[];
    ephemeralContainers?: { name: string }[];
  };
  status?: { podIP?: string; phase?: string };
}

interface NodeObject extends KubeObject {
  status?: {
    addresses?: { type: string; address: string }[];
    daemonEndpoints?: { kubeletEndpoint?: { Port?: number } };
  };
}

const defaultAgentPort = 10250;

export class AgentProxy {
  readonly #dialer: AgentDialer | undefined;

  constructor(dialer: AgentDialer | undefined) {
    this.#dialer = dialer;
  }

  /** A connection to the agent of a node, over which HTTP/1.1 is spoken. */
  async dial(core: ApiCore, nodeName: string): Promise<{ socket: Socket; host: string }> {
    const place = placeOf(core.registry.builtIn("", "nodes"), "", nodeName);
    const entry = core.store.cached(place) ?? (await core.store.readNewest(place));
    if (entry === undefined) throw notFoundError(place.groupResource, nodeName);
    const node = entry.decode() as NodeObject;
    const addresses = node.status?.addresses ?? [];
    const wanted = ["InternalIP", "Hostname", "InternalDNS", "ExternalDNS", "ExternalIP"];
    const address = wanted.flatMap((type) => addresses.filter((each) => each.type === type))[0]?.address;
    if (address === undefined) {
      throw new StatusError("", `no preferred addresses found; known addresses: []`);
    }
    if (this.#dialer === undefined) {
      throw new StatusError("ServiceUnavailable", "this API server is not connected with any node's agent");
    }
    const port = node.status?.daemonEndpoints?.kubeletEndpoint?.Port ?? defaultAgentPort;
    try {
      return await this.#dialer.dial({ name: nodeName, address, port });
    } catch (error) {
      if (error instanceof StatusError) throw error;
      const why = error instanceof Error ? error.message : String(error);
      throw new StatusError("", `error dialing backend: ${why}`, { cause: error });
    }
  }

  /** Relays a plain request to a path of the agent. The answer's body is streamed. */
  async relay(core: ApiCore, nodeName: string, request: HttpRequest, target: string): Promise<HttpResponse> {
    const { socket, host } = await this.dial(core, nodeName);
    const answer = await send(socket, host, request, target);
    return {
      status: answer.statusCode ?? 502,
      headers: endToEndHeaders(answer),
      body: answer,
    };
  }

  /** Joins an upgraded connection to the agent. `target` is the agent's path with query. */
  async join(
    core: ApiCore,
    nodeName: string,
    request: HttpRequest,
    target: string,
    client: { socket: Socket; head: Buffer },
  ): Promise<void> {
    const { socket: agent, host } = await this.dial(core, nodeName);
    const lines = [`${request.method} ${target} HTTP/1.1`, `host: ${host}`];
    for (const [name, value] of Object.entries(request.headers)) {
      if (name === "host" || name === "authorization" || name.startsWith("impersonate-")) continue;
      lines.push(`${name}: ${name === "sec-websocket-protocol" ? withoutToken(value) : value}`);
    }
    const { socket } = client;
    const end = (): void => {
      agent.destroy();
      socket.destroy();
    };
    agent.on("error", end);
    socket.on("error", end);
    agent.on("close", () => socket.end());
    socket.on("close", () => agent.end());
    agent.write(`${lines.join("\r\n")}\r\n\r\n`);
    if (client.head.length > 0) agent.write(client.head);
    socket.pipe(agent);
    agent.pipe(socket);
  }
}

/** A browser's bearer token travels among the subprotocols; it is not for the agent. */
function withoutToken(protocols: string): string {
  return protocols
    .split(",")
    .map((each) => each.trim())
    .filter((each) => !each.startsWith("base64url.bearer."))
    .join(", ");
}

function send(socket: Socket, host: string, request: HttpRequest, target: string): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const headers: Record<string, string> = { host };
    for (const [name, value] of Object.entries(request.headers)) {
      if (["host", "authorization", "connection", "content-length", "accept-encoding"].includes(name))
        continue;
      if (!name.startsWith("impersonate-")) headers[name] = value;
    }
    const outgoing = http.request({
      method: request.method,
      path: target,
      headers,
      signal: request.signal,
      createConnection: () => socket,
    });
    outgoing.on("response", (response) => {
      response.on("close", () => socket.destroy());
      resolve(response);
    });
    outgoing.on("error", (error) => {
      socket.destroy();
      reject(new StatusError("", `error dialing backend: ${error.message}`, { cause: error }));
    });
    outgoing.end(request.body);
  });
}

function endToEndHeaders(answer: IncomingMessage): Record<string, string> {
  const headers: Record<string, string> = {};
  for (const [name, value] of Object.entries(answer.headers)) {
    if (["connection", "transfer-encoding", "keep-alive"].includes(name) || value === undefined) continue;
    headers[name] = Array.isArray(value) ? value.join(", ") : value;
  }
  return headers;
}

export function agentHandlers(agents: AgentProxy): Readonly<Record<string, MethodHandlers>> {
  const upgradeOnly: SpecialHandler = async (core, request) => {
    await sessionTarget(core, request, request.resource.kind.plural, request.info.subresource);
    throw badRequest("Upgrade request required");
  };
  return {
    "pods/log": { GET: (core, request) => podLog(agents, core, request) },
    "pods/exec": { GET: upgradeOnly, POST: upgradeOnly },
    "pods/attach": { GET: upgradeOnly, POST: upgradeOnly },
    "pods/portforward": { GET: upgradeOnly, POST: upgradeOnly },
    "nodes/proxy": everyMethod((core, request) => nodeProxy(agents, core, request)),
    "pods/proxy": everyMethod(podProxy),
    "services/proxy": everyMethod(serviceProxy),
  };
}

function everyMethod(handler: SpecialHandler): MethodHandlers {
  return { GET: handler, POST: handler, PUT: handler, PATCH: handler, DELETE: handler };
}

async function podLog(agents: AgentProxy, core: ApiCore, request: ResourceRequest): Promise<Answer> {
  const pod = await readPod(core, request);
  const container = chooseContainer(pod, request.query.get("container"));
  const nodeName = pod.spec.nodeName ?? "";
  // A pod that no node has yet has no logs: upstream answers with nothing.
  if (nodeName === "") {
    return rawAnswer({ status: 200, headers: { "content-type": "text/plain" }, body: new Uint8Array() });
  }
  const query = new URLSearchParams(request.query);
  query.delete("container");
  const path = ["containerLogs", request.namespace, request.info.name, container]
    .map(encodeURIComponent)
    .join("/");
  return rawAnswer(
    await agents.relay(
      core,
      nodeName,
      { ...request.http, body: new Uint8Array() },
      `/${path}?${query.toString()}`,
    ),
  );
}

function rawAnswer(response: HttpResponse): Answer {
  return { type: "raw", response };
}

async function readPod(core: ApiCore, request: ApiRequest): Promise<PodObject> {
  const place = placeOf(core.registry.builtIn("", "pods"), request.info.namespace, request.info.name);
  const entry = await core.store.readNewest(place);
  if (entry === undefined) throw notFoundError(place.groupResource, request.info.name);
  return entry.decode() as PodObject;
}

/** The container that is meant: the named one, the annotated default, or the only one. */
function chooseContainer(pod: PodObject, wanted: string | null): string {
  const name = pod.metadata.name ?? "";
  const containers = pod.spec.containers.map((each) => each.name);
  const others = [...(pod.spec.initContainers ?? []), ...(pod.spec.ephemeralContainers ?? [])].map(
    (each) => each.name,
  );
  if (wanted !== null && wanted !== "") {
    if ([...containers, ...others].includes(wanted)) return wanted;
    throw badRequest(`container ${wanted} is not valid for pod ${name}`);
  }
  const annotated = pod.metadata.annotations?.["kubectl.kubernetes.io/default-container"];
  if (annotated !== undefined && containers.includes(annotated)) return annotated;
  const first = containers[0] ?? "";
  if (containers.length === 1) return first;
  const list = containers.join(" ");
  const inits = (pod.spec.initContainers ?? []).map((each) => each.name);
  const initText = inits.length === 0 ? "" : ` or one of the init containers: [${inits.join(" ")}]`;
  throw badRequest(`a container name must be specified for pod ${name}, choose one of: [${list}]${initText}`);
}

/** Where a session with a pod's container goes: its node, and the agent's path. */
export async function sessionTarget(
  core: ApiCore,
  request: ApiRequest,
  plural: string,
  subresource: string,
): Promise<{ nodeName: string; target: string }> {
  if (plural !== "pods") throw noSuchResource();
  const pod = await readPod(core, request);
  const { namespace, name } = request.info;
  const base = [namespace, name].map(encodeURIComponent).join("/");
  const assigned = (): string => {
    const nodeName = pod.spec.nodeName ?? "";
    if (nodeName === "") throw badRequest(`pod ${name} does not have a host assigned`);
    return nodeName;
  };
  if (subresource === "portforward") {
    const query = new URLSearchParams();
    for (const port of request.query.getAll("ports")) query.append("port", port);
    return { nodeName: assigned(), target: `/portForward/${base}?${query.toString()}` };
  }
  if (subresource !== "exec" && subresource !== "attach") throw noSuchResource();
  const container = chooseContainer(pod, request.query.get("container"));
  if (subresource === "exec" && request.query.getAll("command").length === 0) {
    throw badRequest("you must specify at least 1 command for the container");
  }
  const query = new URLSearchParams();
  const streams: Record<string, string> = { stdin: "input", stdout: "output", stderr: "error", tty: "tty" };
  for (const [given, agentName] of Object.entries(streams)) {
    const value = request.query.get(given);
    if (value === "true" || value === "1") query.set(agentName, "1");
  }
  for (const command of request.query.getAll("command")) query.append("command", command);
  return {
    nodeName: assigned(),
    target: `/${subresource}/${base}/${encodeURIComponent(container)}?${query.toString()}`,
  };
}

async function nodeProxy(agents: AgentProxy, core: ApiCore, request: ResourceRequest): Promise<Answer> {
  const nodeName = request.info.name.split(":")[0] ?? "";
  const query = request.http.query === "" ? "" : `?${request.http.query}`;
  return rawAnswer(await agents.relay(core, nodeName, request.http, `${restOfPath(request)}${query}`));
}

/** The path behind ".../proxy". */
function restOfPath(request: ResourceRequest): string {
  const rest = request.info.parts.slice(3).map(encodeURIComponent).join("/");
  return `/${rest}${request.http.path.endsWith("/") && rest !== "" ? "/" : ""}`;
}

/** "scheme:name:port", of which only the name must be given. */
function splitProxyName(text: string): { scheme: string; name: string; port: string } {
  const parts = text.split(":");
  if (parts.length === 3) return { scheme: parts[0] ?? "", name: parts[1] ?? "", port: parts[2] ?? "" };
  return { scheme: "", name: parts[0] ?? "", port: parts[1] ?? "" };
}

async function podProxy(core: ApiCore, request: ResourceRequest): Promise<Answer> {
  const { scheme, name, port } = splitProxyName(request.info.name);
  const pod = await readPod(core, { ...request, info: { ...request.info, name } });
  const ip = pod.status?.podIP;
  if (ip === undefined) throw badRequest("address not allowed");
  const number = portNumber(pod, port);
  return rawAnswer(await fetchDirect(request, scheme, ip, number));
}

function portNumber(pod: PodObject, port: string): number {
  if (/^\d+$/.test(port)) return Number(port);
  const ports = pod.spec.containers.flatMap((each) => each.ports ?? []);
  const found = port === "" ? ports[0] : ports.find((each) => each.name === port);
  return found?.containerPort ?? 80;
}

interface ServiceObject extends KubeObject {
  spec: { clusterIP?: string; ports?: { name?: string; port: number }[] };
}

async function serviceProxy(core: ApiCore, request: ResourceRequest): Promise<Answer> {
  const { scheme, name, port } = splitProxyName(request.info.name);
  const place = placeOf(core.registry.builtIn("", "services"), request.namespace, name);
  const entry = await core.store.readNewest(place);
  if (entry === undefined) throw notFoundError(place.groupResource, name);
  const service = entry.decode() as ServiceObject;
  const ports = service.spec.ports ?? [];
  const found =
    port === "" ? ports[0] : ports.find((each) => each.name === port || String(each.port) === port);
  const address = endpointOf(core.registry, request.namespace, name, found?.name ?? "");
  if (found === undefined || address === undefined) {
    throw new StatusError(
      "ServiceUnavailable",
      `no endpoints available for service ${JSON.stringify(request.info.name)}`,
    );
  }
  return rawAnswer(await fetchDirect(request, scheme, address.ip, address.port));
}

async function fetchDirect(
  request: ResourceRequest,
  scheme: string,
  ip: string,
  port: number,
): Promise<HttpResponse> {
  if (scheme === "https")
    throw new StatusError("NotImplemented", "proxying to https endpoints is not implemented");
  const net = await import("node:net");
  const socket = net.connect({ host: ip, port });
  const query = request.http.query === "" ? "" : `?${request.http.query}`;
  const answer = await send(socket, `${ip}:${port}`, request.http, `${restOfPath(request)}${query}`);
  return { status: answer.statusCode ?? 502, headers: endToEndHeaders(answer), body: answer };
}

/** Methods that the path of a session allows; for callers that route upgrades. */
export function checkSessionMethod(method: string): void {
  if (method !== "GET" && method !== "POST") throw methodNotAllowedOnPath();
}
