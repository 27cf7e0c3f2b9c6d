/** HTTP probes and hooks: 200 to 399 is success. Certificates are not checked, as upstream. */
import { request as httpRequest } from "node:http";
import { request as httpsRequest } from "node:https";
import type { IncomingMessage } from "node:http";

export interface ProbeResult {
  success: boolean;
  /** Text for the event of a failure. */
  message: string;
}

export interface HttpTarget {
  host: string;
  port: number;
  path: string;
  https: boolean;
  headers: readonly { name: string; value: string }[];
  userAgent: string;
  timeoutMs: number;
}

const bodyLimitBytes = 10 * 1024;

/** Never rejects: what goes wrong is a failed probe. */
export async function httpProbe(target: HttpTarget): Promise<ProbeResult> {
  const url = `${target.https ? "https" : "http"}://${target.host.includes(":") ? `[${target.host}]` : target.host}:${target.port}${target.path.startsWith("/") ? "" : "/"}${target.path}`;
  try {
    const { status, body } = await get(url, target, 0);
    if (status >= 200 && status < 400) return { success: true, message: body };
    return { success: false, message: `HTTP probe failed with statuscode: ${status}` };
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const text =
      code === "ECONNREFUSED"
        ? `dial tcp ${target.host}:${target.port}: connect: connection refused`
        : code === "EHOSTUNREACH"
          ? `dial tcp ${target.host}:${target.port}: connect: no route to host`
          : message;
    return { success: false, message: `Get ${JSON.stringify(url)}: ${text}` };
  }
}

async function get(
  url: string,
  target: HttpTarget,
  redirects: number,
): Promise<{ status: number; body: string }> {
  const response = await send(url, target);
  const status = response.statusCode ?? 0;
  const location = response.headers.location;
  if (status >= 300 && status < 400 && location && redirects < 10) {
    const next = new URL(location, url);
    response.resume();
    // A redirect to another host is not followed: that host's health is not this container's.
    if (next.hostname !== new URL(url).hostname) return { status, body: "Probe terminated redirects" };
    return get(next.href, target, redirects + 1);
  }
  return { status, body: await readBody(response) };
}

function send(url: string, target: HttpTarget): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const headers: Record<string, string> = {
      "user-agent": target.userAgent,
      accept: "*/*",
      connection: "close",
    };
    for (const { name, value } of target.headers) headers[name.toLowerCase()] = value;
    const options = {
      headers,
      agent: false as const,
      signal: AbortSignal.timeout(target.timeoutMs),
      ...(target.https ? { rejectUnauthorized: false } : {}),
    };
    const request = (target.https ? httpsRequest : httpRequest)(url, options, resolve);
    request.on("error", (error: NodeJS.ErrnoException) =>
      reject(
        error.name === "AbortError" || error.name === "TimeoutError"
          ? new Error("context deadline exceeded (Client.Timeout exceeded while awaiting headers)")
          : error,
      ),
    );
    request.end();
  });
}

async function readBody(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    chunks.push(chunk);
    size += chunk.length;
    if (size >= bodyLimitBytes) break;
  }
  return Buffer.concat(chunks).toString("utf8").slice(0, bodyLimitBytes);
}
