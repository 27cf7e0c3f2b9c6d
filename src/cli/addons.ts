/** `trivet enable`, `disable` and `addons`: the node knows the add-ons; the command line asks it. */
import type { CommandContext } from "./context.ts";
import { callManagement } from "./management-client.ts";
import { table } from "./status.ts";

interface AddonState {
  name: string;
  description: string;
  requires: string[];
  enabled: boolean;
  running: boolean;
  trouble: string;
}

export async function addonsCommand(
  context: CommandContext,
  flags: { dataDir: string; format: "pretty" | "json" },
): Promise<void> {
  const { addons } = await callManagement<{ addons: AddonState[] }>(flags.dataDir, "GET", "addons");
  if (flags.format === "json") context.print(JSON.stringify({ addons }, undefined, 2));
  else
    context.print(
      table(
        ["ADD-ON", "STATE", "DESCRIPTION"],
        addons.map((each) => [each.name, stateOf(each), each.description]),
      ),
    );
}

export async function enableCommand(
  context: CommandContext,
  names: string[],
  flags: { dataDir: string },
): Promise<void> {
  const { addons, nextSteps } = await change(flags.dataDir, { enable: names });
  report(context, addons, names, "enabled", nextSteps);
}

export async function disableCommand(
  context: CommandContext,
  names: string[],
  flags: { dataDir: string },
): Promise<void> {
  const { addons } = await change(flags.dataDir, { disable: names });
  report(context, addons, names, "disabled", []);
}

async function change(
  dataDir: string,
  wish: { enable?: string[]; disable?: string[] },
): Promise<{ addons: AddonState[]; nextSteps: string[] }> {
  return callManagement(dataDir, "POST", "addons", wish);
}

/** The change is the cluster's even where this node has trouble with it, and then it tries again by itself. */
function report(
  context: CommandContext,
  addons: AddonState[],
  names: string[],
  what: string,
  nextSteps: string[],
): void {
  const changed = addons.filter(({ name }) => names.includes(name));
  const lines = changed.map(({ name }) => `${name} is ${what}`);
  context.print([...lines, ...nextSteps.map((each) => `  ${each}`)].join("\n"));
  for (const { name, trouble } of changed.filter((each) => each.trouble !== "")) {
    context.progress.line(`${name}: ${trouble} (this node goes on trying)`);
    process.exitCode = 1;
  }
}

function stateOf({ enabled, running, trouble }: AddonState): string {
  if (trouble !== "") return `${enabled ? "enabled" : "disabled"}, in trouble: ${trouble}`;
  if (enabled) return running ? "enabled" : "enabled, starting";
  return "disabled";
}
