/** `trivet lab hollow`: plays many nodes against any cluster until it is interrupted. */
import { once } from "node:events";
import { existsSync } from "node:fs";
import type { CommandContext } from "#cli/context.ts";
import { createClient } from "#client/client.ts";
import { httpsTransport } from "#client/https-transport.ts";
import { readKubeconfig } from "#client/kubeconfig.ts";
import { systemClock, systemRandom } from "#client/system-clock.ts";
import { HollowAgents } from "./agents.ts";

export interface HollowFlags {
  nodes: number;
  /** Undefined: $KUBECONFIG, else the lab's first node, else this machine's node. */
  kubeconfig?: string;
  startMs: number;
  stopMs: number;
  /** Leave the Node objects when it ends: the cluster then finds them dead. */
  keep: boolean;
}

const candidates = ["/var/lib/trivet-lab/hosts/n1/var/lib/trivet/kubeconfig", "/var/lib/trivet/kubeconfig"];

export async function labHollow(flags: HollowFlags, context: CommandContext): Promise<void> {
  const path = flags.kubeconfig ?? process.env["KUBECONFIG"] ?? candidates.find((each) => existsSync(each));
  if (path === undefined)
    throw new Error(
      "there is no cluster here: start one with trivet up or lab up, or name one with --kubeconfig",
    );
  const { transport: options, server } = readKubeconfig(path);
  const transport = httpsTransport(options);
  const agents = new HollowAgents({
    client: createClient({ transport: transport.handler, userAgent: "trivet-hollow" }),
    clock: systemClock,
    random: systemRandom,
    logger: { debug: silent, info: silent, warn: silent, error: (text) => context.progress.line(text) },
    count: flags.nodes,
    delays: { startMs: flags.startMs, stopMs: flags.stopMs },
  });
  try {
    context.progress.line(`registering ${flags.nodes} hollow nodes with ${server}`);
    let told = 0;
    await agents.start((count) => {
      if (count < flags.nodes && count < told + 100) return;
      told = count;
      context.progress.line(`  ${count} of ${flags.nodes} are registered`);
    });
    context.progress.line(
      `${flags.nodes} hollow nodes (labelled hollow.trivet.dev/node=true) take pods until you press Ctrl-C`,
    );
    await Promise.race([once(process, "SIGINT"), once(process, "SIGTERM")]);
  } finally {
    agents.stop();
    if (!flags.keep) {
      context.progress.line("removing the hollow nodes");
      await agents.remove();
    }
    await transport.close();
  }
}

function silent(): void {}
