/** One run of one probe: exec, httpGet, tcpSocket or grpc. Never rejects for what the container does. */
import { connect } from "node:net";
import { join } from "node:path";
import * as grpc from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";
import { isDeadlineExceeded } from "../cri/runtime-client.ts";
import type { RuntimeClient } from "../cri/runtime-client.ts";
import type { AnyContainer, Probe } from "../types.ts";
import { httpProbe } from "./http-probe.ts";
import type { ProbeResult } from "./http-probe.ts";
import { portNumber } from "./target.ts";

export interface ProbeRun {
  probe: Probe;
  container: AnyContainer;
  containerId: string;
  podIp: string;
  runtime: RuntimeClient;
}

export async function runProbe(run: ProbeRun): Promise<ProbeResult> {
  const { probe, container, podIp } = run;
  const timeoutSeconds = probe.timeoutSeconds ?? 1;
  const timeoutMs = timeoutSeconds * 1000;
  if (probe.exec) return execProbe(run, probe.exec.command ?? [], timeoutSeconds);
  if (probe.httpGet) {
    const { host, port, path, scheme, httpHeaders } = probe.httpGet;
    return httpProbe({
      host: host || podIp,
      port: portNumber(port, container),
      path: path ?? "/",
      https: scheme === "HTTPS",
      headers: httpHeaders ?? [],
      userAgent: "kube-probe/1.32",
      timeoutMs,
    });
  }
  if (probe.tcpSocket) {
    const host = probe.tcpSocket.host || podIp;
    return tcpProbe(host, portNumber(probe.tcpSocket.port, container), timeoutMs);
  }
  if (probe.grpc) return grpcProbe(`${podIp}:${probe.grpc.port}`, probe.grpc.service ?? "", timeoutMs);
  return { success: true, message: "" };
}

async function execProbe(run: ProbeRun, command: string[], timeoutSeconds: number): Promise<ProbeResult> {
  try {
    const { exitCode, stdout, stderr } = await run.runtime.execSync(run.containerId, command, timeoutSeconds);
    const message = Buffer.concat([stdout, stderr])
      .toString("utf8")
      .slice(0, 10 * 1024);
    return { success: exitCode === 0, message };
  } catch (error) {
    const late = isDeadlineExceeded(error) || String(error).includes("timeout");
    const message = late
      ? `command timed out: ${JSON.stringify(command.join(" "))} timed out after ${timeoutSeconds}s`
      : String(error);
    return { success: false, message };
  }
}

function tcpProbe(host: string, port: number, timeoutMs: number): Promise<ProbeResult> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, timeout: timeoutMs });
    const end = (result: ProbeResult) => {
      socket.destroy();
      resolve(result);
    };
    socket.on("connect", () => end({ success: true, message: "" }));
    socket.on("timeout", () => end({ success: false, message: `dial tcp ${host}:${port}: i/o timeout` }));
    socket.on("error", (error: NodeJS.ErrnoException) => {
      const why = error.code === "ECONNREFUSED" ? "connect: connection refused" : error.message;
      end({ success: false, message: `dial tcp ${host}:${port}: ${why}` });
    });
  });
}

type Check = (
  request: { service: string },
  options: { deadline: number },
  callback: (error: grpc.ServiceError | null, answer: { status: string } | undefined) => void,
) => void;

let healthClient:
  | (new (address: string, credentials: grpc.ChannelCredentials) => grpc.Client & { Check: Check })
  | undefined;

function grpcProbe(address: string, service: string, timeoutMs: number): Promise<ProbeResult> {
  if (!healthClient) {
    const loaded = grpc.loadPackageDefinition(
      loadSync(join(import.meta.dirname, "health.proto"), { enums: String, defaults: true }),
    );
    const health = (loaded as unknown as { grpc: { health: { v1: { Health: typeof healthClient } } } }).grpc;
    healthClient = health.health.v1.Health!;
  }
  const client = new healthClient(address, grpc.credentials.createInsecure());
  return new Promise((resolve) => {
    client.Check({ service }, { deadline: Date.now() + timeoutMs }, (error, answer) => {
      client.close();
      if (error?.code === grpc.status.UNIMPLEMENTED)
        resolve({
          success: false,
          message: `error: this server does not implement the grpc health protocol (grpc.health.v1.Health): ${error.details}`,
        });
      else if (error?.code === grpc.status.DEADLINE_EXCEEDED)
        resolve({
          success: false,
          message: `timeout: failed to connect service ${JSON.stringify(address)} within ${timeoutMs / 1000}s: context deadline exceeded`,
        });
      else if (error) resolve({ success: false, message: `error: health rpc failed: ${error.message}` });
      else if (answer?.status === "SERVING") resolve({ success: true, message: "service healthy" });
      else
        resolve({
          success: false,
          message: `service unhealthy (responded with ${JSON.stringify(answer?.status)})`,
        });
    });
  });
}
