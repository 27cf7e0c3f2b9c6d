/**
 * The agent's listener (port 10250): logs, exec, attach, port-forward, run, and what the node says about
 * itself. Mutual TLS only: who has no certificate of the cluster, or isn't allowed, gets nothing but
 * an error. Knows HTTP; the sessions themselves are in the files beside it.
 */
import { createServer } from "node:https";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import type { PeerCertificate, TLSSocket } from "node:tls";
import { WebSocketServer } from "ws";
import { StatusError } from "#base/errors.ts";
import type { AgentContext } from "../context.ts";
import { errorText } from "../cri/runtime-client.ts";
import { containerLogPath } from "../paths.ts";
import { statsSummary } from "../stats/summary.ts";
import type { Pod } from "../types.ts";
import { readLog } from "./logs.ts";
import { logInstance, runningInstance } from "./log-source.ts";
import { passThrough } from "./passthrough.ts";
import { openPortForward, tunnel, tunnelProtocol } from "./port-forward.ts";
import { bridge, openRemoteCommand, remoteCommandProtocols } from "./remote-command.ts";

/** Who asks, by the client certificate. */
export interface PeerIdentity {
  commonName: string;
  organizations: string[];
}

export interface ServingOptions {
  port: number;
  /** Default: all addresses. */
  host?: string;
  cert: string | Buffer;
  key: string | Buffer;
  /** Certificates of those who may sign clients. */
  clientCa: string | Buffer;
  /** Beyond a valid certificate: whether this peer may do this. Default: yes. */
  authorize?(peer: PeerIdentity, request: { method: string; path: string }): boolean | Promise<boolean>;
}

export interface AgentServer {
  readonly port: number;
  /** For connections that are made from now on. */
  setCertificate(cert: string, key: string): void;
  close(): Promise<void>;
}

interface NodeView {
  nodeName: string;
  pods(): Pod[];
}

interface Route {
  verb: string;
  pod: Pod;
  container: string;
  query: URLSearchParams;
}

const webSocketOptions = { noServer: true, perMessageDeflate: false, maxPayload: 64 * 1024 * 1024 };

const tunnels = new WebSocketServer(webSocketOptions);
tunnels.on("headers", (headers) => headers.push(`Sec-WebSocket-Protocol: ${tunnelProtocol}`));

const webSockets = new WebSocketServer({
  ...webSocketOptions,
  handleProtocols: (offered) => remoteCommandProtocols.find((protocol) => offered.has(protocol)) ?? false,
});

export async function startAgentServer(
  context: AgentContext,
  options: ServingOptions,
  node: NodeView,
): Promise<AgentServer> {
  const { cert, key, clientCa: ca } = options;
  const server = createServer({
    cert,
    key,
    ca,
    requestCert: true,
    rejectUnauthorized: false,
    minVersion: "TLSv1.2",
  });
  const sockets = new Set<Duplex>();
  server.on("secureConnection", (socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
  });
  server.on("request", (request, response) => {
    handle(context, options, node, request, response).catch((error: unknown) => {
      context.logger.debug("a request to the agent failed", { path: request.url, error: errorText(error) });
      if (response.headersSent) response.destroy();
      else refuse(response, error);
    });
  });
  server.on("upgrade", (request, socket, head) => {
    socket.on("error", () => socket.destroy());
    handleUpgrade(context, options, node, request, socket, head).catch((error: unknown) => {
      const code = error instanceof StatusError ? error.code : 500;
      const text = `${errorText(error)}\n`;
      socket.end(
        `HTTP/1.1 ${code} Error\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: ${Buffer.byteLength(text)}\r\nConnection: close\r\n\r\n${text}`,
      );
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(options.port, options.host, () => {
      server.off("error", reject);
      resolve();
    });
  });
  return {
    port: (server.address() as AddressInfo).port,
    setCertificate: (renewed, itsKey) => server.setSecureContext({ cert: renewed, key: itsKey, ca }),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  };
}

async function authorize(options: ServingOptions, request: IncomingMessage): Promise<void> {
  const socket = request.socket as TLSSocket;
  if (!socket.authorized) throw new StatusError("Unauthorized", "Unauthorized");
  const { subject } = socket.getPeerCertificate() as Partial<PeerCertificate>;
  const organizations = subject?.O === undefined ? [] : [subject.O].flat();
  const peer = { commonName: [subject?.CN].flat()[0] ?? "", organizations };
  const path = new URL(request.url ?? "/", "https://agent").pathname;
  const allowed = (await options.authorize?.(peer, { method: request.method ?? "GET", path })) ?? true;
  if (!allowed) throw new StatusError("Forbidden", `Forbidden (user=${peer.commonName}, path=${path})`);
}

async function handle(
  context: AgentContext,
  options: ServingOptions,
  node: NodeView,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  await authorize(options, request);
  const url = new URL(request.url ?? "/", "https://agent");
  const [, verb] = url.pathname.split("/");
  if (url.pathname === "/healthz") answer(response, 200, "ok");
  else if (url.pathname === "/pods")
    answerJson(response, { kind: "PodList", apiVersion: "v1", metadata: {}, items: node.pods() });
  else if (url.pathname === "/stats/summary")
    answerJson(response, await statsSummary(context, node.nodeName));
  else if (url.pathname === "/metrics") answer(response, 200, metrics(context, node));
  else if (verb === "containerLogs") await sendLogs(context, route(node, url), response);
  else if (verb === "run") await runCommand(context, route(node, url), response);
  else if (["exec", "attach", "portForward"].includes(verb ?? ""))
    throw new StatusError("BadRequest", "Upgrade request required");
  else answer(response, 404, "404 page not found\n");
}

function route(node: NodeView, url: URL): Route {
  const [verb = "", namespace, name, ...rest] = url.pathname.split("/").slice(1).map(decodeURIComponent);
  const pod = node
    .pods()
    .find((each) => each.metadata.namespace === namespace && each.metadata.name === name);
  if (!pod) throw new StatusError("NotFound", `pod ${JSON.stringify(name)} not found`);
  // Either /verb/namespace/pod/container or /verb/namespace/pod/uid/container.
  return { verb, pod, container: rest.at(-1) ?? "", query: url.searchParams };
}

async function sendLogs(
  context: AgentContext,
  { pod, container, query }: Route,
  response: ServerResponse,
): Promise<void> {
  const uid = pod.metadata.uid ?? "";
  const instance = logInstance(context.cache.view(uid), pod, container, query.get("previous") === "true");
  const abort = new AbortController();
  response.on("close", () => abort.abort());
  const path = `${context.paths.podLogsOf(pod)}/${containerLogPath(container, instance.restartCount)}`;
  const isRunning = () =>
    context.cache.view(uid).containers.some((each) => each.id === instance.id && each.phase === "running");
  const log = readLog({
    path,
    follow: query.get("follow") === "true",
    timestamps: query.get("timestamps") === "true",
    sinceMs: sinceMs(query, context.clock.nowMs()),
    tailLines: integer(query, "tailLines"),
    limitBytes: integer(query, "limitBytes"),
    running: isRunning,
    signal: abort.signal,
  });
  let started = false;
  const begin = () => {
    if (started) return;
    started = true;
    response.writeHead(200, { "content-type": "text/plain" });
    response.flushHeaders();
  };
  if (query.get("follow") === "true") begin();
  try {
    for await (const chunk of log) {
      begin();
      if (!response.write(chunk) && !abort.signal.aborted)
        await new Promise<void>((resolve) => {
          response.once("drain", resolve);
          abort.signal.addEventListener("abort", () => resolve(), { once: true });
        });
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT" || started) throw error;
    throw new StatusError(
      "NotFound",
      `failed to try resolving symlinks in path ${JSON.stringify(path)}: no such file or directory`,
    );
  }
  begin();
  response.end();
}

function sinceMs(query: URLSearchParams, nowMs: number): number | undefined {
  const seconds = integer(query, "sinceSeconds");
  if (seconds !== undefined) return nowMs - seconds * 1000;
  const time = query.get("sinceTime");
  return time ? Date.parse(time) : undefined;
}

function integer(query: URLSearchParams, name: string): number | undefined {
  const text = query.get(name);
  if (text === null || text === "") return undefined;
  const value = Number(text);
  if (!Number.isInteger(value) || value < 0) throw new StatusError("BadRequest", `invalid ${name}: ${text}`);
  return value;
}

async function runCommand(context: AgentContext, route: Route, response: ServerResponse): Promise<void> {
  const { id } = runningInstance(context.cache.view(route.pod.metadata.uid ?? ""), route.container);
  const command = (route.query.get("cmd") ?? "").split(" ");
  const { stdout, stderr, exitCode } = await context.runtime.execSync(id, command, 0);
  const output = Buffer.concat([stdout, stderr]);
  if (exitCode === 0) answer(response, 200, output);
  else
    answer(
      response,
      500,
      `command '${command.join(" ")}' exited with ${exitCode}: ${output.toString("utf8")}\n`,
    );
}

async function handleUpgrade(
  context: AgentContext,
  options: ServingOptions,
  node: NodeView,
  request: IncomingMessage,
  socket: Duplex,
  head: Buffer,
): Promise<void> {
  await authorize(options, request);
  const where = route(node, new URL(request.url ?? "/", "https://agent"));
  const webSocket = (request.headers.upgrade ?? "").toLowerCase() === "websocket";
  const offered = (request.headers["sec-websocket-protocol"] ?? "").split(",").map((each) => each.trim());
  if (where.verb === "portForward") {
    const url = await portForwardUrl(context, where);
    if (!webSocket || !offered.includes(tunnelProtocol)) return passThrough(request, socket, head, url);
    const remote = await openPortForward(url);
    // The name is no token as RFC 6455 wants it, so the library must not see it.
    delete request.headers["sec-websocket-protocol"];
    tunnels.handleUpgrade(request, socket, head, (client) => tunnel(client, remote.socket, remote.head));
    return;
  }
  if (where.verb !== "exec" && where.verb !== "attach")
    throw new StatusError("NotFound", "404 page not found");
  const selected = selection(where.query);
  const url = await commandUrl(context, where, selected);
  if (!webSocket) return passThrough(request, socket, head, url);
  if (!offered.some((each) => remoteCommandProtocols.includes(each)))
    throw new StatusError(
      "BadRequest",
      `unable to upgrade: none of the protocols [${offered.join(" ")}] is known`,
    );
  const connection = await openRemoteCommand(url);
  webSockets.handleUpgrade(request, socket, head, (client) => bridge(client, connection, selected));
}

function selection(query: URLSearchParams) {
  // The API server speaks of input and output to a kubelet, clients of stdin and stdout.
  const on = (...names: string[]) => names.some((name) => ["1", "true"].includes(query.get(name) ?? ""));
  const tty = on("tty");
  return {
    stdin: on("stdin", "input"),
    stdout: on("stdout", "output"),
    stderr: on("stderr", "error") && !tty,
    tty,
  };
}

async function commandUrl(
  context: AgentContext,
  { verb, pod, container, query }: Route,
  selected: ReturnType<typeof selection>,
): Promise<string> {
  const { id } = runningInstance(context.cache.view(pod.metadata.uid ?? ""), container);
  if (verb === "attach") return context.runtime.attach({ containerId: id, ...selected });
  return context.runtime.exec({ containerId: id, cmd: query.getAll("command"), ...selected });
}

async function portForwardUrl(context: AgentContext, { pod, query }: Route): Promise<string> {
  const sandbox = context.cache.view(pod.metadata.uid ?? "").sandboxes[0];
  if (!sandbox?.ready) throw new StatusError("NotFound", `sandbox not found for pod ${pod.metadata.name}`);
  const ports = [...query.getAll("port"), ...query.getAll("ports")]
    .flatMap((each) => each.split(","))
    .map(Number);
  return context.runtime.portForward(
    sandbox.id,
    ports.filter((port) => port > 0),
  );
}

function metrics(context: AgentContext, node: NodeView): string {
  const running = context.cache
    .all()
    .flatMap((pod) => pod.containers)
    .filter((each) => each.phase === "running");
  return [
    "# HELP kubelet_running_pods Number of pods on this node.",
    "# TYPE kubelet_running_pods gauge",
    `kubelet_running_pods ${node.pods().length}`,
    "# HELP kubelet_running_containers Number of containers by state.",
    "# TYPE kubelet_running_containers gauge",
    `kubelet_running_containers{container_state="running"} ${running.length}`,
    "",
  ].join("\n");
}

/** As a Status, which the API server hands on to the client as it is. */
function refuse(response: ServerResponse, error: unknown): void {
  const status = error instanceof StatusError ? error : new StatusError("InternalError", errorText(error));
  response.writeHead(status.code, { "content-type": "application/json" });
  response.end(JSON.stringify(status.toStatus()));
}

function answer(response: ServerResponse, status: number, body: string | Uint8Array): void {
  response.writeHead(status, { "content-type": "text/plain; charset=utf-8" });
  response.end(body);
}

function answerJson(response: ServerResponse, body: unknown): void {
  response.writeHead(200, { "content-type": "application/json" });
  response.end(JSON.stringify(body));
}
