/** Calls the management API of the node of a data directory, as its administrator. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { StatusError } from "#base/errors.ts";
import type { HttpResponse } from "#base/http.ts";
import { httpsTransport } from "#client/https-transport.ts";
import { readKubeconfig } from "#client/kubeconfig.ts";

export class NotRunningError extends Error {
  override name = "NotRunningError";
}

export function kubeconfigPath(dataDir: string): string {
  return join(dataDir, "kubeconfig");
}

/** One call. Rejects with NotRunningError where no API server answers, else with the server's StatusError. */
export async function callManagement<T>(
  dataDir: string,
  method: "GET" | "POST" | "DELETE",
  pathAndQuery: string,
  body?: unknown,
  timeoutMs = 30_000,
  /** host:port of other nodes to ask, instead of this one. */
  endpoints?: readonly string[],
): Promise<T> {
  const path = kubeconfigPath(dataDir);
  if (!existsSync(path))
    throw new NotRunningError(`there is no node in ${dataDir}: run "trivet up" or "trivet join" first`);
  const transport = httpsTransport({
    ...readKubeconfig(path).transport,
    connectTimeoutMs: 3_000,
    ...(endpoints === undefined ? {} : { endpoints }),
  });
  const [pathPart = "", query = ""] = pathAndQuery.split("?");
  try {
    let response: HttpResponse;
    try {
      response = await transport.handler({
        method,
        path: `/trivet/v1/${pathPart}`,
        query,
        headers: { "content-type": "application/json", accept: "application/json" },
        body: new TextEncoder().encode(body === undefined ? "" : JSON.stringify(body)),
        signal: AbortSignal.timeout(timeoutMs),
      });
    } catch (cause) {
      throw new NotRunningError(
        `the node does not answer: see "trivet status", start it with "trivet start"`,
        {
          cause,
        },
      );
    }
    const text = await readText(response);
    const value = JSON.parse(text) as T & { message?: string };
    if (response.status === 200) return value;
    throw new StatusError("", value.message ?? text, { code: response.status });
  } finally {
    await transport.close();
  }
}

async function readText(response: HttpResponse): Promise<string> {
  if (response.body instanceof Uint8Array) return new TextDecoder().decode(response.body);
  const chunks: Uint8Array[] = [];
  for await (const chunk of response.body) chunks.push(chunk);
  return Buffer.concat(chunks).toString("utf8");
}
