/** Lifecycle hooks: runs postStart and preStop handlers (exec, httpGet, sleep). */
import type { RuntimeClient } from "./cri/runtime-client.ts";
import { httpProbe } from "./probes/http-probe.ts";
import { portNumber } from "./probes/target.ts";
import type { AnyContainer } from "./types.ts";
import type { Clock } from "#base/ports.ts";

type Handler = NonNullable<NonNullable<AnyContainer["lifecycle"]>["postStart"]> & {
  sleep?: { seconds: number };
};

export interface HookInput {
  handler: Handler;
  container: AnyContainer;
  containerId: string;
  podIp: string;
  runtime: RuntimeClient;
  clock: Clock;
}

/** Rejects with the text that the event carries. */
export async function runHook(input: HookInput): Promise<void> {
  const { handler, runtime, containerId, container } = input;
  if (handler.exec) {
    const command = handler.exec.command ?? [];
    const { exitCode, stdout, stderr } = await runtime.execSync(containerId, command, 0);
    if (exitCode !== 0) {
      const output = Buffer.concat([stdout, stderr]).toString("utf8");
      throw new Error(`command '${command.join(" ")}' exited with ${exitCode}: ${output}`);
    }
  } else if (handler.httpGet) {
    const { port, host, path, scheme, httpHeaders } = handler.httpGet;
    const result = await httpProbe({
      host: host || input.podIp,
      port: portNumber(port, container),
      path: path ?? "/",
      https: scheme === "HTTPS",
      headers: httpHeaders ?? [],
      userAgent: "kube-lifecycle/1.32",
      timeoutMs: 60_000,
    });
    if (!result.success) throw new Error(result.message);
  } else if (handler.sleep) {
    const seconds = handler.sleep.seconds;
    await new Promise<void>((resolve) => {
      input.clock.setTimer(seconds * 1000, resolve);
    });
  }
}
