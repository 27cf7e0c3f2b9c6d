/** Rates of the API server over the memory backend, through the real HTTP/2 listener, with 1 KiB ConfigMaps. */
import http2 from "node:http2";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { setTimeout as delay } from "node:timers/promises";
import { join } from "node:path";
import { startApiOnly } from "../scripts/serve-api.ts";
import { median, printTable } from "./table.ts";

const objects = 5000;
const concurrency = 64;
const directory = mkdtempSync(join(tmpdir(), "trivet-bench-api-"));
const server = await startApiOnly({ directory, port: 0, serviceCidr: "10.96.0.0/16" });
const kubeconfig = JSON.parse(readFileSync(server.kubeconfigPath, "utf8")) as {
  clusters: { cluster: Record<string, string> }[];
  users: { user: Record<string, string> }[];
};
const decode = (text: string | undefined): Buffer => Buffer.from(text ?? "", "base64");
const session = http2.connect(server.url, {
  ca: decode(kubeconfig.clusters[0]?.cluster["certificate-authority-data"]),
  cert: decode(kubeconfig.users[0]?.user["client-certificate-data"]),
  key: decode(kubeconfig.users[0]?.user["client-key-data"]),
});

function call(method: string, path: string, body?: unknown, type = "application/json"): Promise<number> {
  return new Promise((resolve, reject) => {
    const stream = session.request(
      { ":method": method, ":path": path, accept: "application/json", "content-type": type },
      { endStream: body === undefined },
    );
    let bytes = 0;
    stream.on("data", (chunk: Buffer) => (bytes += chunk.length));
    stream.on("end", () => resolve(bytes));
    stream.on("error", reject);
    if (body !== undefined) stream.end(JSON.stringify(body));
  });
}

async function rate(
  count: number,
  work: (index: number) => Promise<unknown>,
  parallel = concurrency,
): Promise<{ perSecond: number; p50: number }> {
  let next = 0;
  const times: number[] = [];
  const start = performance.now();
  await Promise.all(
    Array.from({ length: parallel }, async () => {
      while (next < count) {
        const index = next++;
        const before = performance.now();
        await work(index);
        times.push(performance.now() - before);
      }
    }),
  );
  return { perSecond: count / ((performance.now() - start) / 1000), p50: median(times) };
}

const path = "/api/v1/namespaces/default/configmaps";
const watchedPath = "/api/v1/namespaces/watched/configmaps";
const filler = "x".repeat(1024);
const row = (name: string, result: { perSecond: number; p50: number }): string[] => [
  name,
  result.perSecond.toFixed(0),
  result.p50.toFixed(2),
];
const create = (prefix: string) => (index: number) =>
  call("POST", path, {
    metadata: { name: `${prefix}${index}`, labels: { tenth: String(index % 10) } },
    data: { filler },
  });

/**
 * Watchers of one kind while objects change, 50 a second: how long after the start of a change each of
 * them has its event.
 */
async function watching(watchers: number, changes: number): Promise<string[][]> {
  await call("POST", "/api/v1/namespaces", { metadata: { name: "watched" } });
  const sentMs = new Map<string, number>();
  const delays: number[] = [];
  const streams = await Promise.all(
    Array.from({ length: watchers }, () =>
      openWatch((name) => delays.push(performance.now() - (sentMs.get(name) ?? 0))),
    ),
  );
  for (let index = 0; index < changes; index++) {
    const name = `seen-${index}`;
    sentMs.set(name, performance.now());
    void call("POST", watchedPath, { metadata: { name }, data: { filler } });
    await delay(20);
  }
  const deadlineMs = performance.now() + 5000;
  while (delays.length < watchers * changes && performance.now() < deadlineMs) await delay(20);
  for (const stream of streams) stream.close();
  delays.sort((left, right) => left - right);
  const at = (part: number): string => (delays[Math.floor(delays.length * part)] ?? Number.NaN).toFixed(2);
  const what = `event to ${watchers} watchers, 50 changes/s`;
  return [
    [`${what} (${delays.length} events)`, "", at(0.5)],
    [`${what}, p99`, "", at(0.99)],
  ];
}

/** Resolves when the server has answered. Calls back with the name of each object that is seen. */
function openWatch(onName: (name: string) => void): Promise<http2.ClientHttp2Stream> {
  return new Promise((resolve, reject) => {
    const stream = session.request({ ":path": `${watchedPath}?watch=1`, accept: "application/json" });
    stream.on("response", () => resolve(stream));
    stream.on("error", reject);
    stream.setEncoding("utf8");
    let rest = "";
    stream.on("data", (text: string) => {
      const lines = (rest + text).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) onName(/"name":"([^"]*)"/.exec(line)?.[1] ?? "");
    });
  });
}

const rows = [
  row("create, 1 at once", await rate(500, create("one-"), 1)),
  row(`create, ${concurrency} at once`, await rate(objects, create("many-"))),
  row(
    `get, ${concurrency} at once`,
    await rate(10_000, (index) => call("GET", `${path}/many-${index % objects}`)),
  ),
  row(
    `merge patch, ${concurrency} at once`,
    await rate(3000, (index) =>
      call("PATCH", `${path}/many-${index}`, { data: { k: String(index) } }, "application/merge-patch+json"),
    ),
  ),
  row(`list ${objects + 500}, 1 at once`, await rate(20, () => call("GET", path), 1)),
  row(
    `list by label (a tenth), 10 at once`,
    await rate(100, () => call("GET", `${path}?labelSelector=tenth%3D3`), 10),
  ),
];
rows.push(...(await watching(200, 250)));
printTable(
  "API server (memory backend, one process for client and server)",
  ["what", "per second", "p50 ms"],
  rows,
);
session.close();
await server.close();
rmSync(directory, { recursive: true, force: true });
process.exit(0);
