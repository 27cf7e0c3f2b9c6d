/**
 * Calls webhooks: a JSON document is posted over HTTPS to a URL or to a Service of the cluster, and a
 * JSON document comes back. What can go wrong is told as a WebhookError in the words of upstream's
 * client, which callers put behind what they were doing.
 */
import https from "node:https";
import type { IncomingMessage } from "node:http";
import type { KubeObject } from "#kinds/object.ts";
import type { ResourceRegistry } from "../registry.ts";
import { endpointOf } from "../services/endpoints.ts";
import { storedOf } from "../rest/stored.ts";

/** A webhook's clientConfig, as definitions and admission configurations have it. */
export interface WebhookTarget {
  url?: string;
  service?: { namespace: string; name: string; path?: string; port?: number };
  /** PEM in base64: the authorities whose server certificates are accepted. Absent: the system's. */
  caBundle?: string;
}

export class WebhookError extends Error {
  override name = "WebhookError";
}

const answerLimitBytes = 64 * 1024 * 1024;
const idleSocketsMax = 8;

interface Address {
  host: string;
  port: number;
}

export class WebhookClient {
  readonly #registry: ResourceRegistry;
  readonly #agent = new https.Agent({ keepAlive: true, maxFreeSockets: idleSocketsMax });

  constructor(registry: ResourceRegistry) {
    this.#registry = registry;
  }

  /** The decoded answer to `body`. Throws WebhookError, also when `timeoutSeconds` have passed. */
  async post(target: WebhookTarget, body: unknown, timeoutSeconds: number): Promise<unknown> {
    const url = new URL(urlOf(target));
    url.searchParams.set("timeout", `${timeoutSeconds}s`);
    try {
      const answer = await this.#send(target, url, JSON.stringify(body), timeoutSeconds * 1000);
      return parseAnswer(answer);
    } catch (error) {
      if (error instanceof WebhookError) throw error;
      throw new WebhookError(`Post ${JSON.stringify(shown(target, url))}: ${goNetworkError(error)}`, {
        cause: error,
      });
    }
  }

  close(): void {
    this.#agent.destroy();
  }

  #send(
    target: WebhookTarget,
    url: URL,
    body: string,
    timeoutMs: number,
  ): Promise<{ status: number; text: string }> {
    const { host, port } = this.#locate(target, url);
    return new Promise((resolve, reject) => {
      const request = https.request({
        agent: this.#agent,
        method: "POST",
        host,
        port,
        path: url.pathname + url.search,
        servername: /^[\d.]+$|:/.test(url.hostname) ? "" : url.hostname,
        headers: {
          host: url.host,
          "content-type": "application/json",
          accept: "application/json",
          "content-length": Buffer.byteLength(body),
        },
        ...(target.caBundle === undefined ? {} : { ca: Buffer.from(target.caBundle, "base64") }),
        signal: AbortSignal.timeout(timeoutMs),
      });
      request.on("response", (response) => {
        readAll(response).then(
          (text) => resolve({ status: response.statusCode ?? 0, text }),
          (error: unknown) => reject(error instanceof Error ? error : new Error(String(error))),
        );
      });
      request.on("error", reject);
      request.end(body);
    });
  }

  /** Services are reached at an endpoint: the cluster's DNS and service addresses need not work here. */
  #locate({ service }: WebhookTarget, url: URL): Address {
    if (service === undefined)
      return { host: url.hostname.replace(/^\[|\]$/g, ""), port: Number(url.port || 443) };
    const { namespace, name } = service;
    const { cache, keyPrefix } = storedOf(this.#registry.builtIn("", "services"));
    const object = cache.get(`${keyPrefix}${namespace}/${name}`)?.decode() as ServiceObject | undefined;
    if (object === undefined) throw new Error(`service ${JSON.stringify(name)} not found`);
    const wanted = service.port ?? 443;
    if (object.spec.type === "ExternalName") return { host: object.spec.externalName ?? "", port: wanted };
    const port = object.spec.ports?.find((each) => each.port === wanted);
    if (port === undefined)
      throw new Error(`no service port ${wanted} found for service ${JSON.stringify(name)}`);
    const endpoint = endpointOf(this.#registry, namespace, name, port.name ?? "");
    if (endpoint === undefined) throw new Error(`no endpoints available for service ${JSON.stringify(name)}`);
    return { host: endpoint.ip, port: endpoint.port };
  }
}

interface ServiceObject extends KubeObject {
  spec: { type?: string; externalName?: string; ports?: { name?: string; port: number }[] };
}

function urlOf({ url, service }: WebhookTarget): string {
  if (service === undefined) return url ?? "";
  return `https://${service.name}.${service.namespace}.svc:${service.port ?? 443}${service.path ?? "/"}`;
}

/** As written: a URL's own text leaves out the usual port. */
function shown(target: WebhookTarget, url: URL): string {
  const text = urlOf(target);
  return `${text}${url.pathname === "/" && !text.endsWith("/") ? "/" : ""}${url.search}`;
}

async function readAll(response: IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  let bytes = 0;
  for await (const part of response as AsyncIterable<Buffer>) {
    bytes += part.byteLength;
    if (bytes > answerLimitBytes)
      throw new WebhookError(`the webhook's answer is longer than ${answerLimitBytes} bytes`);
    parts.push(part);
  }
  return Buffer.concat(parts).toString("utf8");
}

function parseAnswer({ status, text }: { status: number; text: string }): unknown {
  if (status >= 400) throw new WebhookError(refusal(status, text));
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new WebhookError(`couldn't get version/kind; json parse error: ${(error as Error).message}`, {
      cause: error,
    });
  }
}

/** A Status speaks for itself; anything else is shown with its code. */
function refusal(status: number, text: string): string {
  try {
    const { kind, message } = JSON.parse(text) as { kind?: string; message?: string };
    if (kind === "Status" && message !== undefined) return message;
  } catch {
    // Not JSON: shown as it is.
  }
  return `the server returned ${status}: ${text.slice(0, 256).trim()}`;
}

function goNetworkError(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error.name === "TimeoutError" || error.name === "AbortError") return "context deadline exceeded";
  const { code, address, port, message } = error as NodeJS.ErrnoException & {
    address?: string;
    port?: number;
  };
  const dialled = `dial tcp ${address ?? ""}:${port ?? ""}`;
  switch (code) {
    case "ECONNREFUSED":
      return `${dialled}: connect: connection refused`;
    case "EHOSTUNREACH":
      return `${dialled}: connect: no route to host`;
    case "ENOTFOUND":
      return `dial tcp: lookup ${(error as { hostname?: string }).hostname ?? ""}: no such host`;
    case "ECONNRESET":
      return "EOF";
    case "DEPTH_ZERO_SELF_SIGNED_CERT":
    case "SELF_SIGNED_CERT_IN_CHAIN":
    case "UNABLE_TO_GET_ISSUER_CERT_LOCALLY":
    case "UNABLE_TO_VERIFY_LEAF_SIGNATURE":
      return "tls: failed to verify certificate: x509: certificate signed by unknown authority";
    case "CERT_HAS_EXPIRED":
      return "tls: failed to verify certificate: x509: certificate has expired or is not yet valid";
    case "ERR_TLS_CERT_ALTNAME_INVALID":
      return `tls: failed to verify certificate: x509: ${message}`;
    default:
      return message;
  }
}
